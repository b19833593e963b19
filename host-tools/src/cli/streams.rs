//! `toeplite eval --stream`: long recordings through the device's runtime and detector.

use super::clips::{Asked, FrontEndArgs};
use crate::blob::AnyModel;
use crate::checkpoint::config::Pooling;
use crate::listen::decisions;
use anyhow::Result;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toeplite::classifier;
use toeplite_streams::{Ear, Listening, Options};

/// Streams for what does not listen.
#[derive(Debug, Error)]
pub enum NoStreamError {
    /// A checkpoint.
    #[error(
        "{path} is a checkpoint, --stream is for models (.toep): `toeplite-train eval {path} --stream ...` hears streams by it, \
         `toeplite convert {path} -o model.toep` makes a model of it", path = .0.display()
    )]
    Checkpoint(PathBuf),
    /// A language model, or a classifier of tokens.
    #[error("{} hears no recordings: --stream is for classifiers of frames", .0.display())]
    NoFrames(PathBuf),
    /// A classifier of windows.
    #[error(
        "{} is of a bidirectional network, which sees a whole clip at a time and cannot listen for ever: --stream is for models \
         of causal ones; --clips FOLDER judges it clip by clip", .0.display()
    )]
    Bidirectional(PathBuf),
}

/// Hears the streams at `path` by the model that was read from `subject`.
///
/// # Errors
/// The model is none that listens; no front end is known; what [`Options::run`] finds.
pub fn run(
    (options, front_end): (&Options, &FrontEndArgs),
    path: &Path,
    (model, subject): (&AnyModel<'_>, &Path),
    json: bool,
) -> Result<()> {
    let pooling = listens(model, subject)?;
    let asked = Asked::of_classifier(model);
    let sound = front_end.need_sound(subject, asked)?;
    let ear = Ear {
        front_end: &sound,
        pooling: match pooling {
            classifier::Pooling::Mean => Pooling::Mean,
            classifier::Pooling::Last => Pooling::Last,
        },
    };
    let mut network =
        |features: &[f32], listening: &Listening| Ok(decisions(model, features, listening)?);
    options.run(path, ear, &mut network, json)
}

/// What the model, which must be one that listens, looks at.
fn listens(model: &AnyModel<'_>, subject: &Path) -> Result<classifier::Pooling, NoStreamError> {
    let subject = subject.to_owned();
    match model.pooling() {
        Some(_) if model.shape().frame_dim == 0 => Err(NoStreamError::NoFrames(subject)),
        Some(_) if model.window().is_some() => Err(NoStreamError::Bidirectional(subject)),
        Some(pooling) => Ok(pooling),
        None => Err(NoStreamError::NoFrames(subject)),
    }
}
