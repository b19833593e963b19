//! `toeplite convert --report`: the page, from what a conversion found.

use super::allocate::Allocation;
use super::output;
use super::weights::{MatrixReport, Rounded};
use super::{files, input};
use crate::allocate::Limits;
use crate::blob::{Blob, Staged};
use crate::checkpoint::Checkpoint;
use crate::convert::layer::Method;
use crate::convert::search::Search;
use crate::report::{self, Bits, Layer, Matrix, Model, Report, Sizes, Text};
use anyhow::{Context, Result};
use std::path::Path;

/// `--report` and what goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The page, which does not exist yet or may be replaced.
    pub path: &'a Path,
    /// A text to measure bits a byte on.
    pub text: Option<&'a Path>,
}

/// A conversion as the page shows it.
pub struct Conversion<'a> {
    /// What was converted.
    pub subject: &'a Path,
    /// How.
    pub method: &'a Method,
    /// What layers were judged by, if not each by itself.
    pub allocation: Option<&'a Allocation>,
    /// Its layers.
    pub layers: Vec<Layer>,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What a conversion of a checkpoint adds.
pub struct Written<'a> {
    /// The checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// The model.
    pub blob: &'a Blob,
    /// Its matrices, where they were looked at.
    pub rounded: &'a Rounded,
    /// Budgets that were given.
    pub limits: Limits,
}

impl Conversion<'_> {
    /// Whether each layer was judged by its own error.
    fn by_itself(&self, search: &Search) -> bool {
        self.allocation.is_none() && search.order.is_none()
    }
}

impl<'a> Wanted<'a> {
    /// `--report` as a file to be written.
    pub fn output(&self) -> files::Output<'a> {
        files::Output {
            option: "--report",
            path: self.path,
        }
    }

    /// The page about the conversion of a checkpoint.
    pub fn about_model(&self, conversion: Conversion<'_>, written: &Written<'_>) -> Result<Staged> {
        let Written {
            checkpoint, blob, ..
        } = written;
        let model = blob.any()?;
        let allocation = conversion.allocation;
        let instructions = allocation.and_then(Allocation::instructions);
        let mut report = start("checkpoint", conversion);
        report.facts.extend(allocation.map(Allocation::fact));
        report.trained_at = Some(checkpoint.config.train_len);
        report.facts.extend([
            (
                "trained at length",
                output::bytes(checkpoint.config.train_len),
            ),
            ("numeric contract", model.contract().into()),
            ("weights", model.weights().into()),
            ("packed for", model.shape().weight_order.name().into()),
            ("flash, bytes", output::bytes(model.blob_bytes())),
            (
                "session memory, bytes",
                output::bytes(model.memory_needed()),
            ),
            ("identity", format!("{:08x}", model.identity())),
        ]);
        let matrices = &written.rounded.report;
        report.model = Some(Model {
            sizes: Sizes::of(blob)?,
            limits: written.limits,
            instructions: instructions.filter(|_| written.limits.instructions.is_some()),
            matrices: matrices.iter().map(matrix).collect(),
            bits: self
                .text
                .map(|path| bits(path, checkpoint, blob))
                .transpose()?,
        });
        self.stage(&report)
    }

    /// The page about the conversion of a bare kernel.
    pub fn about_kernel(&self, conversion: Conversion<'_>, lags: usize) -> Result<Staged> {
        let mut report = start("kernel", conversion);
        report.facts.push(("lags", output::bytes(lags)));
        self.stage(&report)
    }

    fn stage(&self, report: &Report) -> Result<Staged> {
        Ok(Staged::new(self.path, report::page(report).as_bytes())?)
    }
}

/// What all reports begin with.
fn start(kind: &'static str, conversion: Conversion<'_>) -> Report {
    let tolerance = match conversion.method {
        Method::Reduced(search) if conversion.by_itself(search) => Some(search.tolerance),
        _ => None,
    };
    let path = conversion.subject.display().to_string();
    let name = conversion.subject.file_name();
    Report {
        subject: name.map_or(path.clone(), |name| name.to_string_lossy().into_owned()),
        facts: vec![
            (kind, path),
            ("method", method(&conversion)),
            (
                "channels",
                conversion
                    .layers
                    .first()
                    .map_or(0, |l| l.channels)
                    .to_string(),
            ),
            ("layers", conversion.layers.len().to_string()),
        ],
        command: command_line(),
        warnings: conversion.warnings,
        tolerance,
        trained_at: None,
        layers: conversion.layers,
        model: None,
    }
}

/// The method, and what it was told.
fn method(conversion: &Conversion<'_>) -> String {
    let name = conversion.method.name();
    match conversion.method {
        Method::Reduced(_) if conversion.allocation.is_some() => name.into(),
        Method::Reduced(search) => {
            let given = |what, number: Option<usize>| {
                number.map(|n| format!(", {what} {n}")).unwrap_or_default()
            };
            let aim = match search.order {
                Some(order) => format!(", order {order}"),
                None => format!(", tolerance {:e}", search.tolerance),
            };
            format!("{name}{aim}{}", given("taps", search.taps))
        }
        Method::Etsc { lags } if *lags == usize::MAX => format!("{name} of all lags"),
        Method::Etsc { lags } => format!("{name} of {lags} lags"),
        Method::Fir { taps } if *taps == usize::MAX => format!("{name} of all lags"),
        Method::Fir { taps } => format!("{name} of {taps} taps"),
    }
}

/// This command as a shell takes it.
fn command_line() -> String {
    let words: Vec<String> = std::env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .enumerate()
        // whoever repeats it has the program elsewhere
        .map(|(i, word)| if i == 0 { "toeplite".into() } else { word })
        .collect();
    // no argument holds a NUL
    shlex::try_join(words.iter().map(String::as_str)).unwrap_or_else(|_| words.join(" "))
}

fn matrix(of: &MatrixReport) -> Matrix {
    Matrix {
        name: of.name.to_string(),
        dtype: of.dtype,
        size: (of.rows, of.columns),
        bytes: of.bytes,
        bits_per_weight: of.bits_per_weight,
        weight_sqnr: of.weight_sqnr,
        output_sqnr: of.output_sqnr,
        change: of.change,
    }
}

/// Bits a byte on the text in `path`.
fn bits(path: &Path, checkpoint: &Checkpoint, blob: &Blob) -> Result<Bits> {
    let vocabulary = checkpoint.config.vocab_size;
    let tokens = input::sequence(path, vocabulary).context("--report-text")?;
    const STEPS: f64 = 1000.0;
    let bar = output::progress("bits by length".into(), "permille", STEPS as u64);
    let progress = |share: f64| bar.set_position((share * STEPS) as u64);
    let lengths = report::bits_by_length(checkpoint, blob.any()?, &tokens, progress)
        .with_context(|| format!("--report-text {}", path.display()))?;
    bar.finish_and_clear();
    Ok(Bits {
        text: Text {
            name: path.display().to_string(),
            tokens: tokens.len(),
        },
        unit: input::bits_unit(vocabulary),
        lengths,
    })
}
