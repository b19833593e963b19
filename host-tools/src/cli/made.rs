//! What a conversion made, and what is told of it.

use super::allocate::Allocation;
use super::layers::{self, Converted};
use super::output::{self, bytes};
use super::weights::{self, Rounded};
use crate::blob::Blob;
use crate::checkpoint::{AnyFrontEnd, Checkpoint, CheckpointError, Config, FRONT_END};
use anyhow::{Context, Result};
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// A converted model, and what to say of it.
pub struct Made {
    /// The recurrences.
    pub layers: Converted,
    /// The model.
    pub blob: Blob,
    /// What became of the matrices.
    pub rounded: Rounded,
    /// What layers were judged by, if not each by itself.
    pub allocation: Option<Allocation>,
}

impl Made {
    /// Prints it for people.
    pub fn print_table(&self, path: &Path, took: Duration) -> Result<()> {
        let allocation = self.allocation.as_ref();
        layers::print(&self.layers, allocation.map(Allocation::layers))?;
        weights::print(&self.rounded)?;
        allocation.map_or(Ok(()), Allocation::print)?;
        let model = self.blob.any()?;
        let window = model.window();
        let window = window.map_or(String::new(), |n| format!(" for windows of {}", bytes(n)));
        Ok(output::line(format!(
            "{}: {} bytes of flash, {} bytes of session memory{window}; converted in {:.1} s",
            path.display(),
            bytes(model.blob_bytes()),
            bytes(model.memory_needed()),
            took.as_secs_f64()
        ))?)
    }

    /// Prints it for programs.
    pub fn print_json(&self, warnings: &[String], took: Duration) -> Result<()> {
        let model = self.blob.any()?;
        output::json(&json!({
            "contract": model.contract(),
            "blob_bytes": model.blob_bytes(),
            "memory_bytes": model.memory_needed(),
            "seconds": took.as_secs_f64(),
            "identity": format!("{:08x}", model.identity()),
            "packed_for": model.shape().weight_order.name(),
            "window": model.window(),
            "layers": self.layers.json(),
            "allocation": self.allocation,
            "calibration": self.rounded.calibration,
            "matrices": self.rounded.report,
            "warnings": warnings,
        }))
    }
}

/// What the user should know, a line each.
pub fn warnings(checkpoint: &Checkpoint, made: &Made, length: usize) -> Vec<String> {
    let mut out: Vec<String> = made
        .layers
        .named()
        .flat_map(|(name, l)| l.warnings.iter().map(move |w| format!("layer {name}: {w}")))
        .collect();
    out.extend(made.allocation.as_ref().and_then(Allocation::warning));
    let config = &checkpoint.config;
    if config.toeplitz.rpe_input.is_scaled() {
        out.push(format!(
            "the checkpoint scales positions by the sequence's length, so its kernels differ from length to length; the \
             model has those of length {length} (--length), and is the trained network's equal there alone"
        ));
    }
    out
}

/// What made the frames beside the checkpoint `path`, if it is for this network.
pub fn front_end(path: &Path, network: &Config) -> Result<Option<AnyFrontEnd>> {
    let Some(front_end) = AnyFrontEnd::of_checkpoint(path)? else {
        return Ok(None);
    };
    front_end
        .check(network)
        .map_err(|cause| CheckpointError::FrontEnd {
            path: path.join(FRONT_END),
            cause,
        })?;
    Ok(Some(front_end))
}

/// Rust constants that firmware includes, and what makes the frames of a model that listens, in the contract's arithmetic, or watches a sensor. Each by itself may go unused, which is no fault: a lint
/// for the whole file cannot stand in a file that is included.
pub fn meta(blob: &Blob, front_end: Option<AnyFrontEnd>) -> Result<String> {
    let model = blob.any().context("the model just written")?;
    let front_end = front_end.map(|made| made.in_integers(model.is_fixed()).rust());
    let prefill = model.prefill_memory_needed(2).map(|bytes| {
        (
            "Bytes of a workspace for a prefill in blocks of two tokens.",
            format!("PREFILL_BYTES: usize = {bytes}"),
        )
    });
    let reads = match model.shape().frame_dim {
        0 => (
            "Tokens that the model knows.",
            format!("VOCAB_SIZE: usize = {}", model.vocab_size()),
        ),
        frame => ("Numbers of a frame.", format!("FRAME_DIM: usize = {frame}")),
    };
    let classes = model.is_classifier().then(|| {
        (
            "Classes that the model tells apart.",
            format!("CLASSES: usize = {}", model.outputs()),
        )
    });
    let window = model.window().map(|tokens| {
        (
            "Most tokens of a window.",
            format!("WINDOW: usize = {tokens}"),
        )
    });
    let constants = [
        (
            "Bytes of session memory that the model needs.",
            format!("MEMORY_BYTES: usize = {}", model.memory_needed()),
        ),
        (
            "Bytes of the model in flash.",
            format!("BLOB_BYTES: usize = {}", model.blob_bytes()),
        ),
        reads,
        (
            "The model's identity, as `toeplite inspect` shows it.",
            format!("IDENTITY: u32 = {:#010x}", model.identity()),
        ),
    ];
    let line =
        |(what, constant)| format!("/// {what}\n#[allow(dead_code)]\npub const {constant};\n");
    let scratch = model.scratch_bytes().map(|bytes| {
        (
            "Bytes of the session memory that the session lends between its calls.",
            format!("SCRATCH_BYTES: usize = {bytes}"),
        )
    });
    let reader = model.is_classifier().then(|| {
        let module = if model.is_fixed() { "fixed::" } else { "" };
        let window = if model.window().is_some() { "window::" } else { "" };
        format!(
            "/// The runtime's type that reads the model.\n#[allow(dead_code)]\npub type Model<'a> = \
             toeplite::{module}classifier::{window}Model<'a>;\n"
        )
    });
    let constants = constants
        .into_iter()
        .chain(scratch)
        .chain(classes)
        .chain(prefill)
        .chain(window);
    let constants = constants.map(line);
    Ok(constants.chain(reader).chain(front_end).collect())
}
