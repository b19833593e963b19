//! `toeplite-train eval`: loss of a checkpoint on a text, at any length.

use super::text::Coding;
use super::{Backend, Placement, output};
use crate::data::{Masking, TextSet, Tokens};
use crate::train::TrainError;
use crate::train::evaluate::{Windows, evaluate};
use anyhow::{Result, bail};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use std::path::PathBuf;
use std::process::ExitCode;
use toeplite_checkpoint::{Checkpoint, config::Task};

/// Evaluate a checkpoint on a text: loss, perplexity, bits per byte, accuracy.
///
/// Windows start at 0, N, 2N, ... and know nothing of each other; every token but the first is
/// predicted once.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train eval runs/first/best --data val.txt
  toeplite-train eval runs/first/best --data val.txt --length 512,2048,16384 --json

With --json one object a line and length: {loss, perplexity, bits_per_byte, accuracy, length, tokens}.")]
pub struct Cmd {
    /// A checkpoint folder, or a fairseq checkpoint (.pt).
    checkpoint: PathBuf,
    /// The text.
    #[arg(long, value_name = "FILE")]
    data: PathBuf,
    /// Window lengths [default: the training length].
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = positive)]
    length: Vec<usize>,
    /// Tokens computed at a time, in whole windows.
    #[arg(long, default_value = "16384", value_name = "N", value_parser = positive)]
    tokens: usize,
    /// The tokenizer [default: tokenizer.json beside the checkpoint or in its run; else bytes].
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Masked language models: the mask [default: the last token].
    #[arg(long, value_name = "TOKEN")]
    mask_token: Option<u32>,
    /// Masked language models: share of tokens to predict.
    #[arg(long, default_value = "0.15", value_name = "P", value_parser = share)]
    mask_probability: f64,
    #[command(flatten)]
    placement: Placement,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What went wrong with checkpoint, data or device.
    pub fn run(self, backend: &dyn Backend) -> Result<ExitCode> {
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        let config = &checkpoint.config;
        let coding = Coding::of(
            &self.checkpoint,
            self.tokenizer.as_deref(),
            config.vocab_size,
        )?;
        let tokens = Tokens::open(&self.data, coding.tokenizer(), config.vocab_size)?;
        if tokens.len() < 2 {
            bail!(
                "{} has fewer than two tokens: nothing to predict",
                self.data.display()
            );
        }
        let last = config.vocab_size as u32 - 1;
        let masking = (config.task == Task::MaskedLm).then_some(Masking {
            probability: self.mask_probability,
            token: self.mask_token.unwrap_or(last).min(last),
            seed: 0,
        });
        let source = TextSet::new(&self.data, tokens, 1, masking)?;
        let mut model = backend
            .load(&checkpoint, self.placement)
            .map_err(TrainError::Model)?;
        if !self.json {
            output::line("| length | targets | loss | perplexity | bits/byte | accuracy |")?;
            output::line("| ---: | ---: | ---: | ---: | ---: | ---: |")?;
        }
        let lengths = if self.length.is_empty() {
            vec![config.train_len]
        } else {
            self.length.clone()
        };
        for length in lengths {
            let windows = Windows {
                length,
                sequences: (self.tokens / length).max(1),
                max_targets: 0,
            };
            let bar = bar(length, source.targets() as u64);
            let mut look = |done| {
                bar.set_position(done);
                true
            };
            let done = evaluate(&mut *model, &source, windows, &mut look)?;
            bar.finish_and_clear();
            let Some(done) = done else { continue };
            if self.json {
                output::json(&done)?;
            } else {
                let bits = done
                    .bits_per_byte
                    .map_or("-".to_owned(), |b| format!("{b:.5}"));
                output::line(format!(
                    "| {} | {} | {:.5} | {:.4} | {bits} | {:.5} |",
                    done.length, done.tokens, done.loss, done.perplexity, done.accuracy
                ))?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn bar(length: usize, targets: u64) -> ProgressBar {
    let template = "{msg} [{bar:30}] {human_pos}/{human_len} targets, {eta} left";
    let style = ProgressStyle::with_template(template).expect("a valid template");
    ProgressBar::new(targets)
        .with_style(style.progress_chars("=> "))
        .with_message(format!("windows of {length}"))
}

/// A number of at least 1.
pub(super) fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a number of at least 1 is expected".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A number above 0, at most 1.
pub(super) fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|p| *p > 0.0 && *p <= 1.0);
    number.ok_or_else(|| "a number above 0, at most 1 is expected".to_owned())
}
