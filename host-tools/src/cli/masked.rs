//! `toeplite compare` of masked language models, which are judged by tokens that are hidden from them.

use super::{input, output};
use crate::blob::AnyModel;
use crate::checkpoint::Config;
use crate::checkpoint::config::Task;
use crate::masked::{MaskedComparison, compare_masked};
use crate::reference::Network;
use anyhow::{Result, ensure};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;
use toeplite_clips::Masking;

/// Share of tokens to hide unless something else is asked for: the trainer's default too.
const PROBABILITY: f64 = 0.15;

/// What is hidden from a masked language model.
#[derive(Args)]
pub struct MaskArgs {
    /// Of masked language models: the token that stands for a hidden one, data.mask_token of the training [default:
    /// the last token, of vocabularies of 257 to 511, whose first 256 are the bytes].
    #[arg(long, value_name = "TOKEN")]
    mask_token: Option<u32>,
    /// Of masked language models: share of tokens to hide and to tell [default: 0.15].
    #[arg(long, value_name = "P", value_parser = share, allow_negative_numbers = true)]
    mask_probability: Option<f64>,
    /// Of masked language models: decides which tokens are hidden; with train.seed of the training, and its length,
    /// those that it was validated on [default: 0].
    #[arg(long, value_name = "N")]
    mask_seed: Option<u64>,
}

/// A masking that does not go with the network.
#[derive(Debug, Error)]
pub enum MaskArgsError {
    /// An option of masked language models for something else.
    #[error("{option} is for masked language models, which {} is not: leave it out", checkpoint.display())]
    NotMasked {
        /// The option.
        option: &'static str,
        /// The checkpoint.
        checkpoint: PathBuf,
    },
    /// A vocabulary that does not tell which token is the mask.
    #[error(
        "{} is a masked language model with a vocabulary of {vocabulary} tokens: --mask-token TOKEN says which of them stands \
         for a hidden one, data.mask_token in the run.toml of its training", checkpoint.display()
    )]
    NoMask {
        /// The checkpoint.
        checkpoint: PathBuf,
        /// Its tokens.
        vocabulary: usize,
    },
}

impl MaskArgs {
    /// How tokens are hidden from the network in `checkpoint`; nothing unless it is a masked language model.
    ///
    /// # Errors
    /// [`MaskArgsError`].
    pub fn masking(
        &self,
        checkpoint: &Path,
        config: &Config,
    ) -> Result<Option<Masking>, MaskArgsError> {
        let checkpoint = checkpoint.to_owned();
        if config.task != Task::MaskedLm {
            return match self.given() {
                None => Ok(None),
                Some(option) => Err(MaskArgsError::NotMasked { option, checkpoint }),
            };
        }
        let vocabulary = config.vocab_size;
        let token = self.mask_token.or_else(|| last_beyond_bytes(vocabulary));
        let token = token.ok_or(MaskArgsError::NoMask {
            checkpoint,
            vocabulary,
        })?;
        Ok(Some(Masking {
            token,
            probability: self.mask_probability.unwrap_or(PROBABILITY),
            seed: self.mask_seed.unwrap_or(0),
        }))
    }

    /// An option that is given, if any is.
    fn given(&self) -> Option<&'static str> {
        let options = [
            ("--mask-token", self.mask_token.is_some()),
            ("--mask-probability", self.mask_probability.is_some()),
            ("--mask-seed", self.mask_seed.is_some()),
        ];
        let given = options.into_iter().find(|(_, given)| *given);
        given.map(|(option, _)| option)
    }
}

/// The last token of a vocabulary of bytes and more.
fn last_beyond_bytes(vocabulary: usize) -> Option<u32> {
    let beyond = input::is_byte_level(vocabulary) && vocabulary > 256;
    beyond.then(|| vocabulary as u32 - 1)
}

/// A share of something, not none of it.
fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|p| *p > 0.0 && *p <= 1.0);
    number.ok_or_else(|| "a number above 0, at most 1 is expected".to_owned())
}

/// Compares a masked language model with its network on `text`, in windows of each of `lengths`.
///
/// # Errors
/// The text has unknown tokens, or a form fails on it.
pub fn compare(
    network: &Network<f32>,
    model: &AnyModel<'_>,
    (text, masking): (&[u32], Masking),
    lengths: &[usize],
    as_json: bool,
) -> Result<ExitCode> {
    let mut compared = Vec::new();
    for &length in lengths {
        let title = format!("windows of {length}");
        let bar = output::progress(title, "tokens", text.len() as u64);
        let progress = |done: usize| bar.set_position(done as u64);
        let of_length = compare_masked(network, model, text, &masking, length, progress)?;
        bar.finish_and_clear();
        check_finite(&of_length)?;
        compared.push(of_length);
    }
    let doubts = compared.iter().filter_map(MaskedComparison::doubt);
    let warnings: Vec<_> = doubts.collect();
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    if as_json {
        print_json(&compared, &masking, &warnings)?;
    } else {
        print_table(&compared, &masking)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Logits that are no numbers would vanish in maxima and print as nulls.
fn check_finite(compared: &MaskedComparison) -> Result<()> {
    let nats = compared.nats;
    for (form, figure) in [
        ("fft", nats.fft),
        ("recurrence", nats.recurrence),
        ("blob", nats.blob),
    ] {
        let length = compared.length;
        ensure!(
            figure.is_finite(),
            "the logits of form \"{form}\" are not finite in windows of {length}"
        );
    }
    Ok(())
}

fn print_json(compared: &[MaskedComparison], masking: &Masking, warnings: &[String]) -> Result<()> {
    let largest =
        |error: fn(&MaskedComparison) -> f64| compared.iter().map(error).fold(0.0, f64::max);
    let Masking {
        token,
        probability,
        seed,
    } = masking;
    output::json(&json!({
        "masking": { "token": token, "probability": probability, "seed": seed },
        "lengths": compared,
        "max_logit_error": largest(|c| c.max_logit_error.blob),
        "max_logit_error_recurrence": largest(|c| c.max_logit_error.recurrence),
        "warnings": warnings,
    }))
}

fn print_table(compared: &[MaskedComparison], masking: &Masking) -> Result<()> {
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    let rows = compared.iter().flat_map(|c| {
        let row =
            |form: &str, nats: f64, accuracy: f64, [divergence, agrees, error]: [String; 3]| {
                [
                    form.into(),
                    c.length.to_string(),
                    output::bytes(c.targets),
                    percent(accuracy),
                    format!("{nats:.5}"),
                    divergence,
                    agrees,
                    error,
                ]
            };
        let others = [
            c.divergence.recurrence,
            c.argmax_agreement.recurrence,
            c.max_logit_error.recurrence,
        ];
        let blob = [
            c.divergence.blob,
            c.argmax_agreement.blob,
            c.max_logit_error.blob,
        ];
        let figures = |[divergence, agreement, error]: [f64; 3]| {
            [
                format!("{divergence:.5}"),
                percent(agreement),
                format!("{error:.4}"),
            ]
        };
        let (nats, accuracy) = (c.nats, c.accuracy);
        [
            row("fft", nats.fft, accuracy.fft, Default::default()),
            row(
                "recurrence",
                nats.recurrence,
                accuracy.recurrence,
                figures(others),
            ),
            row("blob", nats.blob, accuracy.blob, figures(blob)),
        ]
    });
    let header = [
        "form",
        "window",
        "hidden tokens",
        "accuracy",
        "nats",
        "divergence, bits",
        "argmax agrees",
        "largest logit error",
    ];
    output::line(output::table(header, rows))?;
    let Masking {
        token,
        probability,
        seed,
    } = masking;
    Ok(output::line(format!(
        "hidden: {} of all tokens, behind token {token}, seed {seed}",
        percent(*probability)
    ))?)
}
