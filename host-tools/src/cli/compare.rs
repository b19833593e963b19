//! `toeplite compare`: what a conversion costs.

use super::clips::{self, Asked, ClipArgs, FrontEndArgs};
use super::masked::{self, MaskArgs};
use super::{input, output};
use crate::blob::AnyModel;
use crate::compare::{BitsPerByte, LengthComparison, check_sizes, compare};
use crate::reference::Network;
use anyhow::{Context, Result, bail, ensure};
use clap::{ArgGroup, Args};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Compare a model with the checkpoint that it came from, on a text or on clips with a class each.
///
/// Three forms of the network are run: as trained, by FFT ("fft"); its f32 weights with the
/// model's recurrences ("recurrence"); the model itself through the device's runtime ("blob").
/// The state is reset at each window's start, and every byte after a window's first is predicted once.
///
/// From masked language models tokens are hidden as in training, of 100 that are chosen 80 behind the mask and 10
/// behind another token, the same ones each time; they are judged by how well they tell those.
///
/// Of classifiers it is told how many clips each form takes for what they are, and how many it takes for what the
/// network as trained takes them for.
#[derive(Args)]
#[command(group = ArgGroup::new("sequence").required(true), after_help = "\
Examples:
  toeplite compare checkpoint model.toep --text val.txt --length 512,2048,8192
  toeplite compare masked model.toep --text val.txt --mask-token 256 --mask-probability 0.15
  toeplite compare classifier model.toep --clips test.safetensors --limit 1000
  toeplite compare words model.toep --clips words/test --hop 160 --classes no,yes")]
pub struct Cmd {
    /// The checkpoint: a folder with config.json and model.safetensors, or a fairseq .pt file.
    checkpoint: PathBuf,
    /// The model (.toep).
    model: PathBuf,
    /// Text to compare on, for byte-level models.
    #[arg(long, value_name = "FILE", group = "sequence")]
    text: Option<PathBuf>,
    /// Tokens to compare on: the tensor "tokens" of a safetensors file, [n] or [1, n].
    #[arg(long, value_name = "FILE", group = "sequence")]
    tokens: Option<PathBuf>,
    #[command(flatten)]
    clips: ClipArgs,
    #[command(flatten)]
    mask: MaskArgs,
    /// Window lengths, or positions of a clip [default: 512, of clips the training length, of a bidirectional
    /// model its window].
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = input::positive, allow_negative_numbers = true)]
    length: Vec<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    /// Runs the subcommand.
    pub fn run(self) -> Result<ExitCode> {
        let checkpoint = input::checkpoint(&self.checkpoint)?;
        let blob = input::model(&self.model)?;
        let model = blob.any()?;
        check_sizes(&checkpoint.config, model).with_context(|| {
            let (model, checkpoint) = (self.model.display(), self.checkpoint.display());
            format!("cannot compare {model} with {checkpoint}")
        })?;
        let masking = self.mask.masking(&self.checkpoint, &checkpoint.config)?;
        let network = Network::<f32>::from_checkpoint(&checkpoint)?;
        let wanted = Asked::of_config(&checkpoint.config);
        self.clips.check(&self.checkpoint, wanted.is_some())?;
        self.clips
            .check(&self.model, Asked::of_model(&model).is_some())?;
        if let Some(wanted) = wanted {
            let lengths = self.lengths(&model, checkpoint.config.train_len)?;
            let given = FrontEndArgs::default();
            let front_end = self.clips.front_end(&given, &self.checkpoint, wanted)?;
            let front_end = front_end.as_ref().map(|found| &found.front_end);
            let model = (&model, wanted, front_end);
            return clips::compare(&self.clips, &network, model, &lengths, self.json);
        }
        let tokens = match (&self.tokens, &self.text) {
            (Some(path), _) => input::token_file(path)?,
            (None, Some(path)) => input::text_tokens(path, network.vocab())?,
            (None, None) => anyhow::bail!("give --text or --tokens"),
        };
        let wanted = self.lengths(&model, 512)?;
        if let Some(masking) = masking {
            let text = (&tokens[..], masking);
            return masked::compare(&network, &model, text, &wanted, self.json);
        }
        let mut lengths = Vec::new();
        for length in wanted {
            let bar = output::progress(
                format!("windows of {length}"),
                "tokens",
                tokens.len().saturating_sub(1) as u64,
            );
            let compared = compare(&network, model, &tokens, length, |done| {
                bar.set_position(done as u64)
            })?;
            bar.finish_and_clear();
            check_finite(&compared)?;
            lengths.push(compared);
        }
        let unit = input::bits_unit(network.vocab());
        let warnings: Vec<_> = lengths.iter().filter_map(LengthComparison::doubt).collect();
        for warning in &warnings {
            eprintln!("warning: {warning}");
        }
        if self.json {
            print_json(&lengths, &warnings)?
        } else {
            print_table(&lengths, unit)?
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Cmd {
    /// Lengths of windows or clips that the model takes, by default its window or `default`.
    fn lengths(&self, model: &AnyModel<'_>, default: usize) -> Result<Vec<usize>> {
        let most = model.window();
        if self.length.is_empty() {
            return Ok(vec![most.unwrap_or(default)]);
        }
        let too_long = self
            .length
            .iter()
            .find(|n| most.is_some_and(|most| **n > most));
        match (too_long, most) {
            (Some(length), Some(most)) => bail!(
                "--length {length}: the model's window has {most} positions; convert the checkpoint with --window {length}"
            ),
            _ => Ok(self.length.clone()),
        }
    }
}

/// Logits that are no numbers would vanish in maxima and print as nulls.
fn check_finite(compared: &LengthComparison) -> Result<()> {
    let forms = match compared.bits_per_byte {
        Some(bits) => vec![
            ("fft", bits.fft),
            ("recurrence", bits.recurrence),
            ("blob", bits.blob),
        ],
        None => vec![
            ("recurrence", compared.divergence.recurrence),
            ("blob", compared.divergence.blob),
        ],
    };
    for (form, figure) in forms {
        let length = compared.length;
        ensure!(
            figure.is_finite(),
            "the logits of form \"{form}\" are not finite in windows of {length}"
        );
    }
    Ok(())
}

fn largest(lengths: &[LengthComparison], error: impl Fn(&LengthComparison) -> f64) -> f64 {
    lengths.iter().map(error).fold(0.0, f64::max)
}

fn print_json(lengths: &[LengthComparison], warnings: &[String]) -> Result<()> {
    let blob = largest(lengths, |l| l.max_logit_error.blob);
    let recurrence = largest(lengths, |l| l.max_logit_error.recurrence);
    output::json(&json!({
        "lengths": lengths,
        "max_logit_error": blob,
        "max_logit_error_recurrence": recurrence,
        "warnings": warnings,
    }))
}

fn print_table(lengths: &[LengthComparison], unit: &str) -> Result<()> {
    let rows = lengths.iter().flat_map(|l| {
        let bits = |form: fn(BitsPerByte) -> f64| {
            let bits = l.bits_per_byte.map(form);
            bits.map_or("-".into(), |bits| format!("{bits:.5}"))
        };
        let change = |form: fn(BitsPerByte) -> f64| {
            let change = l
                .bits_per_byte
                .map(|bits| (form(bits) / bits.fft - 1.0) * 100.0);
            change.map_or("-".into(), |percent| format!("{percent:+.3}%"))
        };
        let percent = |x: f64| format!("{:.2}%", x * 100.0);
        let row = |form: &str, bits: String, [change, divergence, agrees, error]: [String; 4]| {
            [
                form.into(),
                l.length.to_string(),
                bits,
                change,
                divergence,
                agrees,
                error,
            ]
        };
        let (agreement, error) = (l.argmax_agreement, l.max_logit_error);
        [
            row("fft", bits(|b| b.fft), Default::default()),
            row(
                "recurrence",
                bits(|b| b.recurrence),
                [
                    change(|b| b.recurrence),
                    format!("{:.5}", l.divergence.recurrence),
                    percent(agreement.recurrence),
                    format!("{:.4}", error.recurrence),
                ],
            ),
            row(
                "blob",
                bits(|b| b.blob),
                [
                    change(|b| b.blob),
                    format!("{:.5}", l.divergence.blob),
                    percent(agreement.blob),
                    format!("{:.4}", error.blob),
                ],
            ),
        ]
    });
    let header = [
        "form",
        "window",
        unit,
        "change",
        "divergence, bits",
        "argmax agrees",
        "largest logit error",
    ];
    Ok(output::line(output::table(header, rows))?)
}
