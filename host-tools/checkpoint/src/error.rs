//! What can be wrong with a checkpoint.

use super::fairseq::FairseqError;
use super::front_end::FrontEndError;
use super::tensors::TensorProblems;
use super::validate::ConfigError;
use std::path::PathBuf;
use thiserror::Error;

/// Why a checkpoint could not be read or written. The text of every variant is complete: what is
/// wrong, in which file, and what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The operating system refused.
    #[error("cannot {action} {}: {cause}", path.display())]
    Io {
        /// What was tried ("read", "write", ...).
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// A folder lacks one of the two files of a checkpoint.
    #[error(
        "{} holds no {file}; a checkpoint is a folder with config.json and model.safetensors, or a .pt file written by fairseq",
        folder.display()
    )]
    MissingFile {
        /// The folder.
        folder: PathBuf,
        /// The file it lacks.
        file: &'static str,
    },
    /// A file of a kind that holds no checkpoint.
    #[error(
        "{} is not a checkpoint: it {found}; give a folder with config.json and model.safetensors, or a .pt file written by fairseq",
        path.display()
    )]
    NotACheckpoint {
        /// The file.
        path: PathBuf,
        /// What its first bytes say.
        found: &'static str,
    },
    /// A file that is larger than files of its kind ever are.
    #[error("{} has {bytes} bytes, more than the {limit} that such a file may have", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its length.
        bytes: u64,
        /// The largest length accepted.
        limit: u64,
    },
    /// `config.json`, or the configuration inside a foreign file, makes no sense.
    #[error("{}: {cause}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: ConfigError,
    },
    /// `model.safetensors` is damaged or something else.
    #[error(
        "{}: not a valid safetensors file: {cause}; it may be truncated, copy or export it again",
        path.display()
    )]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: safetensors::SafeTensorError,
    },
    /// Tensors are missing, unknown, or of the wrong shape or type: all of them.
    #[error("{}: the tensors do not fit the configuration:\n{problems}", path.display())]
    Tensors {
        /// The file.
        path: PathBuf,
        /// Each of them.
        problems: TensorProblems,
    },
    /// A tensor holds NaN or an infinity.
    #[error(
        "{}: tensor {tensor} is {value} at {index:?} ({count} of its values are not finite); the training diverged or the file is damaged",
        path.display()
    )]
    NonFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where the first such value stands, one number a dimension.
        index: Vec<usize>,
        /// The first such value, as f32: f64 values beyond f32's range are infinite here.
        value: f32,
        /// How many values of the tensor are not finite.
        count: usize,
    },
    /// A fixed decay that makes no kernel die out.
    #[error(
        "{}: tensor {tensor} is {value} at {index:?} ({count} of its values are not within 0 to 1): a fixed decay is a factor a lag; \
         if it was learned, set toeplitz.decay to false and toeplitz.learned_decay to true in the configuration",
        path.display()
    )]
    Decay {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Where the first such value stands, one number a dimension.
        index: Vec<usize>,
        /// The first such value.
        value: f32,
        /// How many values of the tensor are outside.
        count: usize,
    },
    /// A fairseq file that cannot be read or holds a network that cannot be represented.
    #[error("{}: {cause}", path.display())]
    Fairseq {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: FairseqError,
    },
    /// The description of an audio front end beside a checkpoint makes no sense, or is another network's.
    #[error("{}: {cause}", path.display())]
    FrontEnd {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: FrontEndError,
    },
}
