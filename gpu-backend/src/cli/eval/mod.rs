//! `toeplite-train eval`: loss of a checkpoint on data, at any length.

mod error;
mod source;
mod streams;
mod table;

pub use error::EvalError;

use super::origin::run_of;
use super::{Backend, Placement};
use crate::config::Precision;
use crate::data::Source;
use crate::train::evaluate::{Evaluation, Windows, evaluate, evaluate_classes};
use crate::train::{TrainError, Trainable};
use anyhow::Result;
use clap::Args;
use source::Asked;
use std::path::PathBuf;
use std::process::ExitCode;
use toeplite_checkpoint::Checkpoint;
use toeplite_checkpoint::config::Task;
use toeplite_streams::Options;
use toeplite_terminal as output;

/// Evaluate a checkpoint: loss, perplexity, bits per byte, accuracy.
///
/// Language models read a text, in windows that start at 0, N, 2N, ... and know nothing of each other;
/// every token but the first is predicted once. Of masked language models some tokens are hidden, the
/// same ones each time. Classifiers read clips: a folder with one folder of wav files or texts a class,
/// frames and labels in an npz or safetensors file, or tokens and labels in a safetensors file. Sounds
/// become frames as in training: run.toml, beside the checkpoint or around it, says how.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train eval runs/first/best --data val.txt
  toeplite-train eval runs/first/best --data val.txt --length 512,2048,16384 --json
  toeplite-train eval runs/words/best --data words/test
  toeplite-train eval runs/words/best --stream recordings --thresholds 0.5,0.7,0.9

With --json one object a line and length: {loss, perplexity, bits_per_byte, accuracy, length, tokens}.
length is that of the windows: a shorter text is one. tokens are the targets: tokens predicted, or
clips. bits_per_byte is null unless every token of a text
was predicted. Classifiers add classes, [{name, clips, correct, accuracy}], and confusion, clips by
class (rows) and by what they were taken for (columns); null beyond 1024 classes; and speakers, as classes, where
files are called SPEAKER_NAME.wav.

--stream hears long recordings as a device does: a mean of all frames that forgets, decisions, smoothed posteriors,
events. A row for each threshold: words that were missed, events that were another word or none, false accepts in recordings
without words, seconds from a word's end to its event. With --json one object a threshold: {threshold, words, hits, missed,
wrong, false_accepts, hours, false_accepts_per_hour, delay, delay_90}.")]
pub struct Cmd {
    /// A checkpoint folder, or a fairseq checkpoint (.pt).
    checkpoint: PathBuf,
    /// The text, the folder of class folders, or the file of frames or tokens.
    #[arg(long, value_name = "PATH", required_unless_present = "stream")]
    data: Option<PathBuf>,
    /// Window lengths, or positions of a clip [default: the training length].
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = positive)]
    length: Vec<usize>,
    /// Positions computed at a time, in whole windows.
    #[arg(long, default_value = "16384", value_name = "N", value_parser = positive)]
    tokens: usize,
    /// The configuration that it was trained with [default: run.toml beside the checkpoint or in its run].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The tokenizer [default: tokenizer.json beside the checkpoint or in its run; else bytes].
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    /// Masked language models: the mask [default: the run's].
    #[arg(long, value_name = "TOKEN")]
    mask_token: Option<u32>,
    /// Masked language models: share of tokens to predict [default: the run's].
    #[arg(long, value_name = "P", value_parser = share)]
    mask_probability: Option<f64>,
    /// Masked language models: decides which tokens are hidden [default: the run's seed, else 0].
    #[arg(long, value_name = "N")]
    mask_seed: Option<u64>,
    #[command(flatten)]
    listening: Options,
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
        self.listening.check()?;
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        let config = &checkpoint.config;
        let run = run_of(&self.checkpoint, self.config.as_deref(), config)?;
        let asked = |data| {
            Asked {
                checkpoint: &self.checkpoint,
                model: config,
                run: run.as_ref(),
                data,
                tokenizer: self.tokenizer.as_deref(),
                mask_token: self.mask_token,
                mask_probability: self.mask_probability,
                mask_seed: self.mask_seed,
            }
            .open()
        };
        let source = self.data.as_deref().map(asked).transpose()?;
        let mut placement = self.placement;
        if let (Precision::Auto, Some(run)) = (placement.precision, &run)
            && run.train.precision == Precision::F32
        {
            // What was trained in f32 is judged in f32, also on GPUs.
            placement.precision = Precision::F32;
        }
        let mut model = backend
            .load(&checkpoint, placement)
            .map_err(TrainError::Model)?;
        if let Some(stream) = &self.listening.stream {
            let run = run.as_ref();
            let options = &self.listening;
            streams::run(
                options,
                stream,
                &self.checkpoint,
                run,
                &mut *model,
                self.json,
            )?;
        }
        match source {
            Some(source) => self.tables(&mut *model, &*source, config),
            None => Ok(ExitCode::SUCCESS),
        }
    }

    fn tables(
        &self,
        model: &mut dyn Trainable,
        source: &dyn Source,
        config: &toeplite_checkpoint::Config,
    ) -> Result<ExitCode> {
        let lengths = if self.length.is_empty() {
            vec![config.train_len]
        } else {
            self.length.clone()
        };
        let classifier = config.task == Task::Classifier;
        if !self.json {
            table::header(classifier)?;
        }
        let mut results = Vec::new();
        for length in lengths {
            let done = self.evaluate(model, source, length, classifier)?;
            if self.json {
                output::json_line(&done)?;
            } else {
                table::row(&done)?;
                results.push(done);
            }
        }
        for done in &results {
            if let Some(classes) = &done.classes {
                table::classes(done.length, classes)?;
            }
            if let Some(speakers) = &done.speakers {
                table::speakers(done.length, speakers)?;
            }
        }
        Ok(ExitCode::SUCCESS)
    }

    fn evaluate(
        &self,
        model: &mut dyn Trainable,
        source: &dyn Source,
        length: usize,
        classifier: bool,
    ) -> Result<Evaluation, TrainError> {
        // A text shorter than the window is one window.
        let first = source.evaluation(0, length, 1)?;
        let length = first.map_or(length, |batch| batch.length);
        let windows = Windows {
            length,
            sequences: (self.tokens / length).max(1),
            max_targets: 0,
        };
        let (what, unit) = if classifier {
            (format!("clips of {length} positions"), "clips")
        } else {
            (format!("windows of {length}"), "targets")
        };
        let bar = output::progress(what, unit, source.targets());
        let mut look = |done| {
            bar.set_position(done);
            true
        };
        let done = if classifier {
            evaluate_classes(model, source, windows, &mut look)
        } else {
            evaluate(model, source, windows, &mut look)
        };
        bar.finish_and_clear();
        // Nobody asks it to stop.
        done?.ok_or(TrainError::NoTargets)
    }
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
