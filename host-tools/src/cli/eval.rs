//! `toeplite eval`: logits or bits per byte of one model or checkpoint.

use super::clips::{self, Answers, Asked, ClipArgs, ClipArgsError, FrontEndArgs};
use super::files::{self, Output};
use super::input::{self, Subject};
use super::output;
use super::reference::Precision;
use super::streams::{self, NoStreamError};
use crate::blob::{AnyModel, write_atomically};
use crate::checkpoint::Checkpoint;
use crate::reference::{Network, evaluate};
use crate::stream;
use anyhow::{Context, Result};
use clap::{ArgGroup, Args};
use ndarray::Array2;
use safetensors::{Dtype, tensor::TensorView};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use thiserror::Error;
use toeplite_streams::Options;

/// Evaluate a model or a checkpoint: logits of given tokens, bits per byte of a text, accuracy on clips with a
/// class each, or what a device hears in long recordings.
///
/// A model is run by the device's own runtime: what is printed is what a device answers, to the bit. Recordings become
/// features by the audio front end that the classifier was trained with.
#[derive(Args)]
#[command(group = ArgGroup::new("sequence").required(true).arg("stream"), after_help = "\
Examples:
  toeplite eval checkpoint --text val.txt --length 512,2048
  toeplite eval model.toep --tokens tokens.safetensors --logits logits.safetensors
  toeplite eval classifier.toep --clips test.safetensors --json
  toeplite eval keywords.toep --clips keywords/test --front-end runs/keywords/best
  toeplite eval keywords.toep --stream keywords/streams/test --front-end runs/keywords/best --thresholds 0.5,0.7,0.9

With --json a classifier has, for every length, {length, clips, accuracy, classes, confusion}: classes
are [{name, clips, correct, accuracy}], confusion counts clips by class (rows) and by what they were
taken for (columns); null beyond 1024 classes. Where some classes are no words (silence, unknown, _...), words are
the others together, as a class; speakers, as classes, where recordings are called SPEAKER_NAME.wav.

--stream hears long recordings as a device does: a mean of all frames that forgets, decisions, smoothed posteriors,
events. A row for each threshold: words that were missed, events that were another word or none, false accepts in recordings
without words, seconds from a word's end to its event. With --json one object a threshold: {threshold, words, hits, missed,
wrong, false_accepts, hours, false_accepts_per_hour, delay, delay_90}. `toeplite-train eval --stream` prints the same of a
checkpoint.")]
pub struct Cmd {
    /// A model (.toep), a checkpoint folder, or a fairseq checkpoint (.pt).
    subject: PathBuf,
    /// Tokens to evaluate: the tensor "tokens" of a safetensors file, [n] or [1, n].
    #[arg(long, value_name = "FILE", group = "sequence")]
    tokens: Option<PathBuf>,
    /// Text to evaluate, for byte-level models.
    #[arg(long, value_name = "FILE", group = "sequence")]
    text: Option<PathBuf>,
    #[command(flatten)]
    clips: ClipArgs,
    #[command(flatten)]
    listening: Options,
    #[command(flatten)]
    front_end: FrontEndArgs,
    /// Write the logits [n, vocabulary] of all tokens, as one sequence, or [clips, classes] of all clips, to this
    /// safetensors file.
    #[arg(long, value_name = "OUT", conflicts_with = "stream")]
    logits: Option<PathBuf>,
    /// Window lengths for the bits per byte, or positions of a clip; the state is reset at each one's start
    /// [default: 512, of clips the training length, of a model of a bidirectional network its window].
    #[arg(long, value_delimiter = ',', value_name = "N", value_parser = input::positive, allow_negative_numbers = true, conflicts_with_all = ["logits", "stream"])]
    length: Vec<usize>,
    /// Floating-point type that a checkpoint is computed in; models have their own.
    #[arg(long, value_enum, default_value_t = Precision::F64)]
    precision: Precision,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Bits per byte are asked for of a network that has none.
#[derive(Debug, Error)]
#[error(
    "{} is bidirectional: it does not predict the next token but sees it, so its bits per byte say nothing; --logits OUT writes \
     its logits at every token of a window, and toeplite compare tells how far a model's are from its checkpoint's",
    path.display()
)]
struct Bidirectional {
    path: PathBuf,
}

impl Cmd {
    /// Runs the subcommand.
    pub fn run(self) -> Result<ExitCode> {
        self.check_options()?;
        self.check_outputs()?;
        match input::open(&self.subject)? {
            Subject::Model(blob) => {
                let model = blob.any()?;
                if let Some(path) = &self.listening.stream {
                    let options = (&self.listening, &self.front_end);
                    streams::run(options, path, (&model, &self.subject), self.json)?;
                    return Ok(ExitCode::SUCCESS);
                }
                let wanted = Asked::of_model(&model);
                self.clips.check(&self.subject, wanted.is_some())?;
                if let Some(wanted) = wanted {
                    let default = model.window().unwrap_or(model.shape().train_len);
                    return self.clips(&model, wanted, default);
                }
                self.check_direction(model.window().is_none())?;
                self.evaluate(model.vocab_size(), |tokens| scored(&model, tokens))
            }
            Subject::Checkpoint(_) if self.listening.stream.is_some() => {
                Err(NoStreamError::Checkpoint(self.subject).into())
            }
            Subject::Checkpoint(checkpoint) => match self.precision {
                Precision::F64 => self.checkpoint::<f64>(&checkpoint),
                Precision::F32 => self.checkpoint::<f32>(&checkpoint),
            },
        }
    }

    /// Refuses bits per byte of what sees the next byte.
    fn check_direction(&self, causal: bool) -> Result<(), Bidirectional> {
        if causal || self.logits.is_some() {
            return Ok(());
        }
        let path = self.subject.clone();
        Err(Bidirectional { path })
    }

    /// Refuses options of what is not given, which clap lets pass beside something else to evaluate.
    fn check_options(&self) -> Result<()> {
        self.listening.check()?;
        self.clips.check_given()?;
        let heard = self.clips.given() || self.listening.stream.is_some();
        match self.front_end.given() && !heard {
            true => Err(ClipArgsError::NoRecordings.into()),
            false => Ok(()),
        }
    }

    fn check_outputs(&self) -> Result<()> {
        let outputs = [
            ("--logits", self.logits.as_deref()),
            ("--posteriors", self.listening.posteriors()),
        ];
        let outputs = outputs.into_iter();
        let outputs: Vec<_> = outputs
            .filter_map(|(option, path)| {
                Some(Output {
                    option,
                    path: path?,
                })
            })
            .collect();
        let mut inputs = files::of_checkpoint(&self.subject);
        inputs.extend(self.tokens.iter().chain(&self.text).cloned());
        inputs.extend(self.clips.path().map(PathBuf::from));
        inputs.extend(self.listening.stream.clone());
        Ok(files::check(&outputs, &inputs)?)
    }

    fn checkpoint<T: crate::reference::Real>(&self, checkpoint: &Checkpoint) -> Result<ExitCode> {
        let config = &checkpoint.config;
        let wanted = Asked::of_config(config);
        self.clips.check(&self.subject, wanted.is_some())?;
        if wanted.is_none() {
            self.check_direction(config.causal)?;
        }
        let network = Network::<T>::from_checkpoint(checkpoint)?;
        if let Some(wanted) = wanted {
            return self.clips(&network, wanted, config.train_len);
        }
        let mix = network.trained_mix();
        let score = network.scorer(&mix);
        self.evaluate(network.vocab(), |tokens| Ok(score(tokens)?))
    }

    /// Of a classifier, by default in clips of `length`.
    fn clips(&self, answers: &dyn Answers, wanted: Asked, length: usize) -> Result<ExitCode> {
        let front_end = self
            .clips
            .front_end(&self.front_end, &self.subject, wanted)?;
        let lengths = self.lengths(length);
        let asked = (wanted, front_end.as_ref().map(|found| &found.front_end));
        let evaluated = clips::evaluate(&self.clips, answers, asked, &lengths)?;
        match &self.logits {
            // no length goes with it
            Some(out) => {
                for (_, done) in &evaluated {
                    self.write(out, &done.logits, "clips")?;
                }
            }
            None if self.json => clips::print_json(&evaluated, front_end.as_ref())?,
            None => clips::print_table(&evaluated, front_end.as_ref())?,
        }
        Ok(ExitCode::SUCCESS)
    }

    fn lengths(&self, default: usize) -> Vec<usize> {
        if self.length.is_empty() {
            return vec![default];
        }
        self.length.clone()
    }

    /// Writes the logits of so many `what`, and says so.
    fn write(&self, out: &Path, logits: &Array2<f32>, what: &str) -> Result<()> {
        write_logits(out, logits)?;
        if self.json {
            return output::json(&json!({ "logits": out, "shape": logits.shape() }));
        }
        let count = logits.nrows();
        let told = format!("logits of {count} {what} written to {}", out.display());
        Ok(output::line(told)?)
    }

    fn evaluate(
        &self,
        vocab: usize,
        score: impl Fn(&[u32]) -> Result<Array2<f32>> + Sync,
    ) -> Result<ExitCode> {
        let tokens = match (&self.tokens, &self.text) {
            (Some(path), _) => input::token_file(path)?,
            (None, Some(path)) => input::text_tokens(path, vocab)?,
            (None, None) => anyhow::bail!("give --tokens or --text"),
        };
        if let Some(out) = &self.logits {
            self.write(out, &score(&tokens)?, "tokens")?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut results = Vec::new();
        for length in self.lengths(512) {
            let bar = output::progress(
                format!("windows of {length}"),
                "tokens",
                tokens.len().saturating_sub(1) as u64,
            );
            let done = evaluate(&tokens, length, &score, &|done: usize| {
                bar.set_position(done as u64)
            })
            .map_err(|e| anyhow::anyhow!("{e}"))?;
            bar.finish_and_clear();
            results.push((length, done));
        }
        if self.json {
            let rows = results.iter().map(|(length, e)| json!({ "length": length, "targets": e.targets, "bits_per_byte": e.bits_per_token }));
            output::json(&json!({ "lengths": rows.collect::<Vec<_>>() }))?;
        } else {
            let rows = results.iter().map(|(length, e)| {
                [
                    length.to_string(),
                    e.targets.to_string(),
                    format!("{:.5}", e.bits_per_token),
                ]
            });
            let unit = input::bits_unit(vocab);
            output::line(output::table(["window", "targets", unit], rows))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn scored(model: &AnyModel<'_>, tokens: &[u32]) -> Result<Array2<f32>> {
    Ok(stream::logits(model, tokens)?)
}

fn write_logits(path: &Path, logits: &Array2<f32>) -> Result<()> {
    let bytes: Vec<u8> = logits.iter().flat_map(|x| x.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![logits.nrows(), logits.ncols()], &bytes)
        .context("logits as a tensor")?;
    let file = safetensors::serialize([("logits", view)], None).context("writing safetensors")?;
    Ok(write_atomically(path, &file)?)
}
