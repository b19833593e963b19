//! Which audio front end a classifier hears by: what recordings become before it sees them.

use super::{Asked, ClipArgsError};
use crate::checkpoint::{AnyFrontEnd, CheckpointError, FRONT_END, FrontEnd};
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};
use toeplite_clips::Reads;

/// What says which front end.
#[derive(Args, Default)]
pub struct FrontEndArgs {
    /// The audio front end that the classifier was trained with: front_end.json of its checkpoint, or the checkpoint's
    /// folder [default: front_end.json in the checkpoint, or beside the model].
    #[arg(long, value_name = "FILE")]
    front_end: Option<PathBuf>,
}

/// A front end, and the file that it comes from.
#[derive(Clone, Debug, PartialEq)]
pub struct FoundFrontEnd {
    /// The file.
    pub path: PathBuf,
    /// What it says.
    pub front_end: AnyFrontEnd,
}

impl FrontEndArgs {
    /// Whether one is given.
    pub fn given(&self) -> bool {
        self.front_end.is_some()
    }

    /// The front end that is given, or else the one of the checkpoint `subject` or beside the model `subject`, if there
    /// is any there.
    ///
    /// # Errors
    /// The file cannot be read, makes no sense, or is none of a network that reads what is `asked`.
    pub fn find(&self, subject: &Path, asked: Asked) -> Result<Option<FoundFrontEnd>> {
        let inside = |path: &Path| match path.is_dir() {
            true => path.join(FRONT_END),
            false => path.to_owned(),
        };
        let path = match (&self.front_end, subject.is_dir()) {
            (Some(given), _) => inside(given),
            (None, true) => subject.join(FRONT_END),
            (None, false) => subject.with_file_name(FRONT_END),
        };
        if !self.given() && !path.is_file() {
            return Ok(None);
        }
        let front_end = AnyFrontEnd::read(&path)?;
        let front_end = match asked.in_integers {
            Some(integers) => front_end.in_integers(integers),
            None => front_end,
        };
        let frame_dim = match asked.reads {
            Reads::Frames(width) => Some(width),
            Reads::Tokens(_) => None,
        };
        match front_end.check_sizes(frame_dim, asked.classes) {
            Ok(()) => Ok(Some(FoundFrontEnd { path, front_end })),
            Err(cause) => Err(CheckpointError::FrontEnd { path, cause }.into()),
        }
    }

    /// The front end of sounds that [`find`](Self::find) finds.
    ///
    /// # Errors
    /// Those, [`ClipArgsError::NeedsFrontEnd`] and [`ClipArgsError::SensorFrontEnd`].
    pub fn need_sound(&self, subject: &Path, asked: Asked) -> Result<FrontEnd> {
        match self.find(subject, asked)? {
            Some(FoundFrontEnd {
                front_end: AnyFrontEnd::Sound(sound),
                ..
            }) => Ok(sound),
            Some(FoundFrontEnd { path, .. }) => {
                Err(ClipArgsError::SensorFrontEnd { front_end: path }.into())
            }
            None => Err(ClipArgsError::NeedsFrontEnd {
                subject: subject.to_owned(),
            }
            .into()),
        }
    }
}
