//! `toeplite-train eval --stream`: long recordings as a device hears them.

use super::error::EvalError;
use crate::config::{DataKind, RunConfig};
use crate::data::sounds::front_end;
use crate::train::Trainable;
use crate::train::streams::{decide, frame_logits};
use anyhow::Result;
use std::path::Path;
use toeplite_checkpoint::FrontEnd;
use toeplite_checkpoint::config::Pooling;
use toeplite_streams::{Ear, Listening, Options};

/// Evaluates `model` on the streams at `path`.
pub(super) fn run(
    options: &Options,
    path: &Path,
    checkpoint: &Path,
    run: Option<&RunConfig>,
    model: &mut dyn Trainable,
    json: bool,
) -> Result<()> {
    let run = run.ok_or_else(|| EvalError::NoRun {
        checkpoint: checkpoint.to_owned(),
        data: path.to_owned(),
    })?;
    let front_end = of_run(path, checkpoint, run)?;
    let classifier = run.model.classifier.as_ref();
    let ear = Ear {
        front_end: &front_end,
        pooling: classifier.map_or(Pooling::Mean, |classifier| classifier.pooling),
    };
    let (bands, classes) = (front_end.config.bands, front_end.classes.len());
    let mut network = |features: &[f32], listening: &Listening| {
        let logits = frame_logits(model, features, bands)?;
        Ok(decide(&logits, classes, listening))
    };
    options.run(path, ear, &mut network, json)
}

/// The front end of a run, and the names of its classes.
fn of_run(path: &Path, checkpoint: &Path, run: &RunConfig) -> Result<FrontEnd> {
    let missing = |key| EvalError::Incomplete {
        checkpoint: checkpoint.to_owned(),
        key,
    };
    if run.data.kind != DataKind::WavFeatures {
        return Err(EvalError::Kind {
            data: path.to_owned(),
            found: "a stream of sounds",
            kind: run.data.kind.name(),
            remedy: "--data, or a network of data.kind = \"wav-features\"",
        }
        .into());
    }
    let rate = run.data.rate.ok_or_else(|| missing("data.rate"))?;
    let classes = run.data.classes.clone();
    Ok(FrontEnd {
        classes: classes.ok_or_else(|| missing("data.classes"))?,
        ..front_end(&run.data.features.unwrap_or_default(), rate)?
    })
}
