//! What can be wrong with a run's configuration.

use std::path::PathBuf;
use thiserror::Error;

/// Why a run's configuration was refused. Texts are complete: which file, which key, what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// The file is not TOML.
    #[error("{} is not valid TOML: {message}", path.display())]
    Toml {
        /// The file.
        path: PathBuf,
        /// Line, column and what was expected there.
        message: String,
    },
    /// A key is unknown or missing, or its value is of the wrong type.
    #[error("{}: `{key}`: {message}", path.display())]
    Key {
        /// The file.
        path: PathBuf,
        /// The key, dotted: `train.batch`.
        key: String,
        /// What is wrong with it.
        message: String,
    },
    /// Values out of range, or that do not go together: all of them.
    #[error("{}: values that cannot be used:\n{}", path.display(), .problems.join("\n"))]
    Values {
        /// The file.
        path: PathBuf,
        /// One line each, naming the key.
        problems: Vec<String>,
    },
    /// A `--set` that is not `key=value`.
    #[error("--set {text}: expected key=value with a dotted key, for example train.batch=16")]
    Override {
        /// What was given.
        text: String,
    },
    /// A `--set` on top of a run that goes on, of a key that would make it another run.
    #[error(
        "--set {key}: a resumed run can change train.steps, train.device, train.log_every, \
         evaluation.*, checkpoints.* and the paths of its data; for anything else start a new run"
    )]
    Frozen {
        /// The key.
        key: String,
    },
}
