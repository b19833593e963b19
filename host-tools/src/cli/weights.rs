//! The weights of `toeplite convert`: how they are rounded, and what became of each matrix.

use super::{input, output};
use crate::blob::{self, WeightType, WriteError};
use crate::checkpoint::Checkpoint;
use crate::convert::modal::Modal;
use crate::quantize::calibrate::{Calibrated, Sample, calibrate, sqnr};
use crate::quantize::sampled::sampled;
use crate::quantize::{MatrixName, Weights};
use anyhow::{Context, Result, ensure};
use serde::{Serialize, Serializer};
use std::path::Path;

/// Most tokens of a calibration.
const TOKENS: usize = 16_384;
/// Most tokens of a calibration times parameters of the model: seconds of work, and the activations of
/// all its tokens in a quarter of a gigabyte.
const WORK: usize = 100_000_000_000;
/// The same of a model that writes the text itself, token by token.
const WRITING: usize = 8_000_000_000;

/// Rounded weights, and what calibration says of them.
pub struct Rounded {
    /// The weights.
    pub weights: Weights,
    /// A line for each matrix.
    pub report: Vec<MatrixReport>,
    /// What they were calibrated on.
    pub calibration: Option<Calibration>,
}

/// What weights were calibrated on.
#[derive(Serialize)]
pub struct Calibration {
    /// "text", or "sampled" where the model wrote it.
    pub source: &'static str,
    /// Tokens of it that were used.
    pub tokens: usize,
}

/// What became of a matrix.
#[derive(Serialize)]
pub struct MatrixReport {
    #[serde(serialize_with = "display")]
    name: MatrixName,
    dtype: &'static str,
    rows: usize,
    columns: usize,
    bytes: usize,
    bits_per_weight: f64,
    /// Decibels; nothing where weights are as trained.
    weight_sqnr: Option<f64>,
    /// Decibels; nothing without calibration.
    output_sqnr: Option<f64>,
}

fn display<S: Serializer>(name: &MatrixName, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(name)
}

/// The checkpoint's weights in one type: int4 calibrated, on `text` or on what the model itself writes.
pub fn round(
    checkpoint: &Checkpoint,
    recurrences: &[Modal],
    weight_type: WeightType,
    text: Option<&Path>,
) -> Result<Rounded> {
    if weight_type != WeightType::Int4 {
        let weights = blob::nearest(checkpoint, |_| weight_type)?;
        return Ok(Rounded {
            report: report(checkpoint, &weights, &[])?,
            weights,
            calibration: None,
        });
    }
    let (source, sample) = match text {
        Some(path) => ("text", text_sample(checkpoint, path)?),
        None => {
            ensure!(
                checkpoint.config.causal,
                "--weights int4 of a bidirectional checkpoint needs --calibrate FILE: a network that sees what comes after a token writes no text itself"
            );
            ("sampled", written_text(checkpoint, recurrences)?)
        }
    };
    let layers = checkpoint.config.layers as u64;
    let bar = output::progress("calibrating".into(), "layers", layers);
    let done = |layers| bar.set_position(layers as u64);
    let calibrated = calibrate(checkpoint, &sample, |_| weight_type, done);
    bar.finish_and_clear();
    let Calibrated {
        weights,
        output_sqnr,
    } = calibrated?;
    Ok(Rounded {
        report: report(checkpoint, &weights, &output_sqnr)?,
        weights,
        calibration: Some(Calibration {
            source,
            tokens: sample.len(),
        }),
    })
}

/// A sample of a text, or of the tokens in a safetensors file.
fn text_sample(checkpoint: &Checkpoint, path: &Path) -> Result<Sample> {
    let is_tokens = path.extension().is_some_and(|e| e == "safetensors");
    let tokens = if is_tokens {
        input::token_file(path)
    } else {
        input::refuse_empty(path, "a text to calibrate on")?;
        input::text_tokens(path, checkpoint.config.vocab_size)
    };
    let tokens = tokens.context("--calibrate")?;
    let window = checkpoint.config.train_len.max(1);
    Ok(Sample::spread(&tokens, window, budget(checkpoint, WORK)))
}

/// What the model writes, with int8 weights, which cost it next to nothing.
fn written_text(checkpoint: &Checkpoint, recurrences: &[Modal]) -> Result<Sample> {
    let model = blob::write(checkpoint, recurrences, WeightType::Int8)?;
    let count = budget(checkpoint, WRITING);
    let window = checkpoint.config.train_len.clamp(1, count);
    Ok(sampled(&model.model()?, window, count))
}

/// Tokens for so much work.
fn budget(checkpoint: &Checkpoint, work: usize) -> usize {
    (work / checkpoint.parameters().max(1)).clamp(1, TOKENS)
}

fn report(
    checkpoint: &Checkpoint,
    weights: &Weights,
    output_sqnr: &[f64],
) -> Result<Vec<MatrixReport>, WriteError> {
    let line = |(i, (name, matrix)): (usize, (MatrixName, &crate::quantize::Matrix))| {
        let trained = blob::trained(checkpoint, name)?;
        let (rows, columns) = matrix.dim();
        let decibels = sqnr(trained.view(), matrix.values().view());
        Ok(MatrixReport {
            name,
            dtype: matrix.weight_type().name(),
            rows,
            columns,
            bytes: matrix.bytes(),
            bits_per_weight: 8.0 * matrix.bytes() as f64 / (rows * columns) as f64,
            weight_sqnr: Some(decibels).filter(|x| x.is_finite()),
            output_sqnr: output_sqnr.get(i).copied().filter(|x| x.is_finite()),
        })
    };
    weights.matrices().enumerate().map(line).collect()
}

/// Prints the table of matrices.
pub fn print(rounded: &Rounded) -> Result<()> {
    let decibels = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.1}"));
    let rows = rounded.report.iter().map(|m| {
        [
            m.name.to_string(),
            m.dtype.into(),
            format!("{} x {}", m.rows, m.columns),
            output::bytes(m.bytes),
            format!("{:.2}", m.bits_per_weight),
            decibels(m.weight_sqnr),
            decibels(m.output_sqnr),
        ]
    });
    let header = [
        "matrix",
        "type",
        "size",
        "bytes",
        "bits a weight",
        "SQNR, dB",
        "of outputs",
    ];
    output::line(output::table(header, rows))?;
    if let Some(Calibration { source, tokens }) = &rounded.calibration {
        let tokens = output::bytes(*tokens);
        output::line(match *source {
            "text" => format!("calibrated on {tokens} tokens of the text given"),
            _ => format!(
                "calibrated on {tokens} tokens that the model wrote; --calibrate takes a text"
            ),
        })?;
    }
    Ok(())
}
