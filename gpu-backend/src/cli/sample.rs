//! `toeplite-train sample`: text that a checkpoint makes up.

use super::eval::positive;
use super::origin::run_of;
use super::text::Coding;
use super::{Backend, Placement};
use crate::data::mix;
use crate::train::TrainError;
use anyhow::{Result, bail, ensure};
use clap::Args;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use toeplite_checkpoint::{Checkpoint, config::Task};
use toeplite_terminal as output;

/// Let a language model go on with a text.
///
/// Every token is computed anew from the whole context, by FFT; `toeplite run` does the same with a
/// converted model at a constant cost a token.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train sample runs/first/best --prompt 'To be' --tokens 200
  toeplite-train sample runs/first/best --prompt 'To be' --tokens 200 --temperature 0")]
pub struct Cmd {
    /// A checkpoint folder, or a fairseq checkpoint (.pt).
    checkpoint: PathBuf,
    /// The text to go on with.
    #[arg(long, value_name = "S")]
    prompt: String,
    /// Tokens to add.
    #[arg(long, default_value = "200", value_name = "N")]
    tokens: usize,
    /// 0: always the likeliest token; 1: as likely as the model says.
    #[arg(long, default_value = "0.8", value_name = "T", value_parser = temperature)]
    temperature: f64,
    /// Choose among the K likeliest tokens only; 0: among all.
    #[arg(long, default_value = "0", value_name = "K")]
    top_k: usize,
    /// Decides the choices.
    #[arg(long, default_value = "0")]
    seed: u64,
    /// Tokens of context at most [default: the training length].
    #[arg(long, value_name = "N", value_parser = positive)]
    context: Option<usize>,
    /// The tokenizer [default: tokenizer.json beside the checkpoint or in its run; else bytes].
    #[arg(long, value_name = "FILE")]
    tokenizer: Option<PathBuf>,
    #[command(flatten)]
    placement: Placement,
    /// Print JSON: {text, tokens}.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What went wrong with checkpoint, prompt or device.
    pub fn run(self, backend: &dyn Backend) -> Result<ExitCode> {
        let checkpoint = Checkpoint::open(&self.checkpoint)?;
        let config = &checkpoint.config;
        ensure!(
            config.task == Task::CausalLm,
            "{} does not predict the next token: it cannot be sampled from",
            self.checkpoint.display()
        );
        let coding = Coding::of(
            &self.checkpoint,
            self.tokenizer.as_deref(),
            run_of(&self.checkpoint, None, config)?.as_ref(),
            config.vocab_size,
        )?;
        let mut tokens = coding.encode(&self.prompt)?;
        if let Some(token) = tokens.iter().find(|t| **t as usize >= config.vocab_size) {
            bail!(
                "--prompt holds token {token}, {} has a vocabulary of {}: give the tokenizer that it \
                 was trained with",
                self.checkpoint.display(),
                config.vocab_size
            );
        }
        ensure!(
            !tokens.is_empty(),
            "--prompt holds no token: give some text"
        );
        let mut model = backend
            .load(&checkpoint, self.placement)
            .map_err(TrainError::Model)?;
        let context = self.context.unwrap_or(config.train_len);
        let start = tokens.len();
        for i in 0..self.tokens {
            let known = &tokens[tokens.len().saturating_sub(context)..];
            let logits = model.next_logits(known).map_err(TrainError::Model)?;
            let random = (mix(mix(self.seed) ^ i as u64) >> 11) as f64 / (1u64 << 53) as f64;
            let choice = choose(&logits, self.temperature, self.top_k, random);
            let Some(choice) = choice else {
                bail!("the model's logits are no numbers: the training diverged");
            };
            tokens.push(choice);
        }
        let text = coding.decode(&tokens)?;
        if self.json {
            output::json_line(&json!({ "text": text, "tokens": &tokens[start..] }))?;
        } else {
            output::line(text)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn temperature(text: &str) -> Result<f64, String> {
    let number = text
        .parse()
        .ok()
        .filter(|t: &f64| (0.0..=100.0).contains(t));
    number.ok_or_else(|| "a number from 0 to 100 is expected".to_owned())
}

/// Chooses a token; `random` is from 0 to below 1. `None` where the logits are no numbers.
pub(super) fn choose(logits: &[f32], temperature: f64, top_k: usize, random: f64) -> Option<u32> {
    if logits.is_empty() || logits.iter().any(|l| l.is_nan() || *l == f32::INFINITY) {
        return None;
    }
    // The likeliest first, the lowest token among equals.
    let mut order: Vec<u32> = (0..logits.len() as u32).collect();
    order.sort_by(|a, b| {
        logits[*b as usize]
            .total_cmp(&logits[*a as usize])
            .then(a.cmp(b))
    });
    let best = order[0];
    if temperature == 0.0 || logits[best as usize] == f32::NEG_INFINITY {
        return Some(best);
    }
    if top_k > 0 {
        order.truncate(top_k);
    }
    let most = f64::from(logits[best as usize]);
    let weight = |t: &u32| ((f64::from(logits[*t as usize]) - most) / temperature).exp();
    let mut left = random * order.iter().map(weight).sum::<f64>();
    for token in &order {
        left -= weight(token);
        if left < 0.0 {
            return Some(*token);
        }
    }
    Some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_as_likely_as_the_model_says() {
        let logits = [0.0, 3f32.ln(), f32::NEG_INFINITY];
        let count = |t: f64, k: usize| {
            let picks = (0..4000).map(|i| choose(&logits, t, k, f64::from(i) / 4000.0).unwrap());
            picks.filter(|c| *c == 1).count()
        };
        assert!((2999..=3001).contains(&count(1.0, 0)));
        assert_eq!(count(0.0, 0), 4000);
        assert_eq!(count(1.0, 1), 4000);
        assert_eq!(choose(&[f32::NAN, 1.0], 1.0, 0, 0.5), None);
        assert_eq!(choose(&[], 1.0, 0, 0.5), None);
        assert_eq!(choose(&[1.0, 1.0], 0.0, 0, 0.5), Some(0));
    }
}
