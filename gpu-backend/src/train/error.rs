//! Why a run stopped.

use super::model::ModelError;
use crate::config::ConfigError;
use crate::data::DataError;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toeplite_checkpoint::CheckpointError;

/// Why a run stopped, or could not begin. Texts say what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// A checkpoint could not be written. Those before it are untouched.
    #[error(
        "the checkpoint of step {step} could not be written: {cause}; earlier checkpoints are as they \
         were: make room or mend the folder, then go on with --resume {}", run.display()
    )]
    Save {
        /// The step.
        step: u64,
        /// The run folder.
        run: PathBuf,
        /// What failed.
        cause: Box<TrainError>,
    },
    /// The configuration was refused.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The sequences of a step cannot be shared out.
    #[error(
        "train.batch = {batch} cannot be shared by {processes} processes with train.micro_batches = \
         {micro_batches} each: it must be a multiple of {}", processes.saturating_mul(*micro_batches)
    )]
    Portions {
        /// Sequences of a step.
        batch: usize,
        /// Portions of each process.
        micro_batches: usize,
        /// Processes.
        processes: usize,
    },
    /// The checkpoint to begin with heard other features.
    #[error(
        "train.from: {} was trained on other features or frames than data.train gives, see its front_end.json: set data.features as they were there \
         (integers = true among them), or begin without train.from", path.display()
    )]
    OtherFeatures {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The data was refused.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A checkpoint could not be read or written.
    #[error(transparent)]
    Checkpoint(Box<CheckpointError>),
    /// The network or its device failed.
    #[error("{0}")]
    Model(ModelError),
    /// The loss, the gradients or the parameters are no numbers any more.
    #[error(
        "the {what} is {value} after step {step}: the training diverged; try a smaller optimiser.rate, \
         a longer schedule.warmup or a smaller optimiser.clip. Checkpoints up to here are kept"
    )]
    Diverged {
        /// The step.
        step: u64,
        /// What is no number.
        what: String,
        /// What it is instead.
        value: f64,
    },
    /// A line of the metrics, before the last one, cannot be read.
    #[error(
        "{}, line {line}: {problem}; no interrupted run leaves such a line: mend or remove it, then go \
         on with --resume", path.display()
    )]
    Metrics {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A folder that cannot take a new run.
    #[error("{path} already holds a run: go on with --resume {path}, or give another --out", path = .0.display())]
    RunExists(PathBuf),
    /// A folder that is no run.
    #[error("{} holds no run.toml: it is no run folder", .0.display())]
    NotARun(PathBuf),
    /// A run is to end before where it is.
    #[error("the run has done {done} steps, more than train.steps = {steps}: give at least {done}")]
    Passed {
        /// Steps of its last checkpoint.
        done: u64,
        /// Steps that were asked for.
        steps: u64,
    },
    /// Another process works on the run.
    #[error("{} is in use by another toeplite-train: wait for it, or end it", .0.display())]
    Busy(PathBuf),
    /// A checkpoint's training state is damaged or does not belong to it.
    #[error("{}: {problem}; remove its folder to go on from the checkpoint before it", path.display())]
    State {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Nothing to evaluate.
    #[error("the evaluation has no targets: give more data")]
    NoTargets,
}

impl From<CheckpointError> for TrainError {
    fn from(error: CheckpointError) -> Self {
        Self::Checkpoint(Box::new(error))
    }
}

impl TrainError {
    /// Names the action and the file in an operating system error.
    pub(super) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io {
            action,
            path,
            cause,
        }
    }
}
