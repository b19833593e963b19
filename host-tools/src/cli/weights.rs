//! The weights of `toeplite convert`: how they are rounded, and what became of each matrix.

use super::{input, output};
use crate::allocate::Sensitivity;
use crate::blob::{self, WeightType, WriteError};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::config::Config;
use crate::classify::Chosen;
use crate::convert::modal::Modal;
use crate::quantize::calibrate::{Calibrated, Sample, calibrate, sqnr};
use crate::quantize::sampled::sampled;
use crate::quantize::{MatrixName, Weights};
use anyhow::{Context, Result, ensure};
use ndarray::Array2;
use serde::{Serialize, Serializer};
use std::fmt;
use std::path::Path;
use toeplite_clips::ClipSet;

/// What became of all weights.
pub struct Rounded {
    /// The weights that the model stores, in the order of the report.
    pub stored: Stored,
    /// A line for each matrix.
    pub report: Vec<MatrixReport>,
    /// What they were calibrated on.
    pub calibration: Option<Calibration>,
}

/// Weights in the numbers of a contract.
pub enum Stored {
    /// `f32`.
    F32(Weights),
    /// `fixed`: what its integers stand for.
    Fixed(Vec<(MatrixName, Array2<f32>)>),
}

/// A text, or clips, that something was measured on.
#[derive(Clone, Serialize)]
pub struct Calibration {
    /// "text", "sampled" where the model wrote it, or "clips".
    pub source: &'static str,
    /// Tokens of it that were used; of clips positions.
    pub tokens: usize,
}

/// What predictions are compared and weights calibrated on.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    /// What the model itself writes.
    Own,
    /// A text for byte-level models, or a file of tokens.
    Text(&'a Path),
    /// Clips, at most `limit` of them.
    Clips {
        /// All of them.
        set: &'a ClipSet,
        /// Most that are used.
        limit: Option<usize>,
    },
}

/// What became of a matrix.
#[derive(Serialize)]
pub struct MatrixReport {
    /// Which one.
    #[serde(serialize_with = "display")]
    pub name: MatrixName,
    /// Type of its weights.
    pub dtype: &'static str,
    /// Its rows.
    pub rows: usize,
    /// Its columns.
    pub columns: usize,
    /// Its bytes, scales included.
    pub bytes: usize,
    /// The same in bits a weight.
    pub bits_per_weight: f64,
    /// Decibels; nothing where weights are as trained.
    pub weight_sqnr: Option<f64>,
    /// Divergence of the predictions with this matrix as it is stored and all others as trained, in bits a
    /// token; nothing where it was not measured.
    pub change: Option<f64>,
    /// Decibels; nothing without calibration.
    pub output_sqnr: Option<f64>,
}

fn display<S: Serializer>(name: &MatrixName, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(name)
}

/// Fewest tokens of a text that is worth being calibrated on, and fewest windows of the training length.
const FEW: (usize, usize) = (2048, 2);

/// Looks at `text` before the work, which takes a while: a bidirectional network needs one for weights of four bits, and it has
/// to be there and to have tokens of the network. Gives a warning where it is short.
pub fn check_text(
    config: &Config,
    weights: Option<WeightType>,
    text: Option<&Path>,
) -> Result<Option<String>> {
    let Some(path) = text else {
        ensure!(
            config.causal || config.classifier.is_some() || weights != Some(WeightType::Int4),
            "--weights int4 of a bidirectional checkpoint needs --calibrate FILE: a network that sees what comes after a token writes no text itself"
        );
        return Ok(None);
    };
    let tokens = input::sequence(path, config.vocab_size).context("--calibrate")?;
    let enough = FEW.0.max(FEW.1 * config.train_len);
    Ok((tokens.len() < enough).then(|| {
        format!(
            "--calibrate {}: {} tokens are few to go by; {} or more are better",
            path.display(),
            output::bytes(tokens.len()),
            output::bytes(enough)
        )
    }))
}

/// The checkpoint's weights in the type of each matrix: if there is int4 among them, calibrated on what `source`
/// says.
pub fn round(
    checkpoint: &Checkpoint,
    recurrences: &[Modal],
    weight_type: impl Fn(MatrixName) -> WeightType,
    source: Source<'_>,
) -> Result<Rounded> {
    let names = MatrixName::all(&checkpoint.config);
    if !names
        .iter()
        .any(|name| weight_type(*name) == WeightType::Int4)
    {
        let weights = blob::nearest(checkpoint, weight_type)?;
        return Ok(Rounded {
            report: report(checkpoint, &weights, &[])?,
            stored: Stored::F32(weights),
            calibration: None,
        });
    }
    let (calibration, sample) = sample(checkpoint, recurrences, source, &CALIBRATION)?;
    let layers = checkpoint.config.layers as u64;
    let bar = output::progress("calibrating".into(), "layers", layers);
    let done = |layers| bar.set_position(layers as u64);
    let calibrated = calibrate(checkpoint, &sample, weight_type, done);
    bar.finish_and_clear();
    let Calibrated {
        weights,
        output_sqnr,
    } = calibrated?;
    Ok(Rounded {
        report: report(checkpoint, &weights, &output_sqnr)?,
        stored: Stored::F32(weights),
        calibration: Some(calibration),
    })
}

/// The checkpoint's weights as the contract `fixed` has them, rounded to nearest.
pub fn fixed(
    checkpoint: &Checkpoint,
    weight_type: impl Fn(MatrixName) -> WeightType,
) -> Result<Rounded> {
    let matrices = blob::fixed_matrices(checkpoint, &weight_type)?;
    let line = |(name, values): &(MatrixName, Array2<f32>)| {
        let weight_type = weight_type(*name);
        let (rows, columns) = values.dim();
        // as a multiplier of 16 bits takes half of a scale in f32
        let bytes = weight_type.bytes(rows, columns) - 2 * rows;
        let trained = blob::trained(checkpoint, *name)?;
        Ok(MatrixReport::new(
            (*name, weight_type),
            bytes,
            &trained,
            values,
        ))
    };
    let report = matrices.iter().map(line).collect::<Result<_, WriteError>>();
    Ok(Rounded {
        report: report?,
        stored: Stored::Fixed(matrices),
        calibration: None,
    })
}

/// How much text is worth its time.
pub struct Effort {
    /// Most tokens.
    tokens: usize,
    /// Least tokens.
    least: usize,
    /// Most tokens times parameters of the model, of a given text.
    reading: usize,
    /// The same of a text that the model writes itself, token by token.
    writing: usize,
    /// Most clips.
    clips: usize,
    /// Most positions of all of them.
    positions: usize,
}

impl Effort {
    /// Clips of so many positions that are worth their time, to a model with so many parameters.
    fn clips(&self, length: usize, parameters: usize) -> usize {
        let positions = (self.reading / parameters.max(1)).min(self.positions);
        (positions / length.max(1)).clamp(FEWEST_CLIPS, self.clips)
    }
}

/// Clips below which a measurement says nothing, whatever they cost.
const FEWEST_CLIPS: usize = 16;

/// Of a calibration: seconds of work, and the activations of all its tokens in a quarter of a gigabyte.
const CALIBRATION: Effort = Effort {
    tokens: 16_384,
    least: 1,
    reading: 100_000_000_000,
    writing: 8_000_000_000,
    clips: 1024,
    positions: 16_384,
};

/// Of a measurement of what layers are worth, for which the network runs a few times.
pub const MEASUREMENT: Effort = Effort {
    tokens: 1024,
    least: 128,
    reading: 10_000_000_000,
    writing: 1_000_000_000,
    // each has one prediction
    clips: 128,
    positions: 131_072,
};

/// As much of `source` as the `effort` allows. What the model writes itself it writes with int8 weights, which
/// cost it next to nothing.
pub fn sample(
    checkpoint: &Checkpoint,
    recurrences: &[Modal],
    source: Source<'_>,
    effort: &Effort,
) -> Result<(Calibration, Sample)> {
    let (train_len, parameters) = (checkpoint.config.train_len, checkpoint.parameters());
    let count = |work: usize| (work / parameters.max(1)).clamp(effort.least, effort.tokens);
    let (source, sample) = match source {
        Source::Text(path) => {
            let vocabulary = checkpoint.config.vocab_size;
            let tokens = input::sequence(path, vocabulary).context("--calibrate")?;
            let sample = Sample::spread(&tokens, train_len.max(1), count(effort.reading));
            ("text", sample)
        }
        Source::Clips { set, limit } => {
            let count = effort.clips(train_len, parameters);
            let count = count.min(limit.unwrap_or(count));
            ("clips", Chosen::new(set, Some(count)).sample()?)
        }
        Source::Own => {
            let model = blob::write(checkpoint, recurrences, WeightType::Int8)?;
            let count = count(effort.writing);
            let sample = sampled(&model.model()?, train_len.clamp(1, count), count);
            ("sampled", sample)
        }
    };
    let tokens = sample.len();
    Ok((Calibration { source, tokens }, sample))
}

fn report(
    checkpoint: &Checkpoint,
    weights: &Weights,
    output_sqnr: &[f64],
) -> Result<Vec<MatrixReport>, WriteError> {
    let line = |(i, (name, matrix)): (usize, (MatrixName, &crate::quantize::Matrix))| {
        let trained = blob::trained(checkpoint, name)?;
        let kind = (name, matrix.weight_type());
        let output_sqnr = output_sqnr.get(i).copied().filter(|x| x.is_finite());
        Ok(MatrixReport {
            output_sqnr,
            ..MatrixReport::new(kind, matrix.bytes(), &trained, &matrix.values())
        })
    };
    weights.matrices().enumerate().map(line).collect()
}

impl MatrixReport {
    /// Of a matrix that is stored in so many bytes as `values`.
    fn new(
        (name, weight_type): (MatrixName, WeightType),
        bytes: usize,
        trained: &Array2<f32>,
        values: &Array2<f32>,
    ) -> Self {
        let (rows, columns) = values.dim();
        let decibels = sqnr(trained.view(), values.view());
        Self {
            name,
            dtype: weight_type.name(),
            rows,
            columns,
            bytes,
            bits_per_weight: 8.0 * bytes as f64 / (rows * columns) as f64,
            change: None,
            weight_sqnr: Some(decibels).filter(|x| x.is_finite()),
            output_sqnr: None,
        }
    }
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
            m.change.map_or("-".into(), |bits| format!("{bits:.1e}")),
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
        "bits lost",
    ];
    output::line(output::table(header, rows))?;
    if let Some(calibration) = &rounded.calibration {
        output::line(format!("calibrated on {calibration}"))?;
    }
    Ok(())
}

impl Rounded {
    /// Measures what each matrix changes in the predictions.
    pub fn measure(&mut self, sensitivity: &Sensitivity<'_>) {
        let change = |name, values: Array2<f32>| Some(sensitivity.of_matrix(name, values.view()));
        let lines = self.report.iter_mut();
        match &self.stored {
            Stored::F32(weights) => {
                for (line, (name, matrix)) in lines.zip(weights.matrices()) {
                    line.change = change(name, matrix.values());
                }
            }
            Stored::Fixed(matrices) => {
                for (line, (name, values)) in lines.zip(matrices) {
                    line.change = change(*name, values.clone());
                }
            }
        }
    }
}

impl fmt::Display for Calibration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tokens = output::bytes(self.tokens);
        match self.source {
            "text" => write!(f, "{tokens} tokens of the text given"),
            "clips" => write!(f, "{tokens} positions of the clips given"),
            _ => write!(
                f,
                "{tokens} tokens that the model wrote; --calibrate takes a text"
            ),
        }
    }
}
