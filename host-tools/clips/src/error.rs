//! What can be wrong with clips.

use super::npy::NpyError;
use std::path::PathBuf;
use thiserror::Error;

/// Why clips could not be read. Texts are complete: which file, what is wrong, what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClipError {
    /// The operating system refused.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// Tokens that the model has no row for.
    #[error(
        "{}: its tokens go up to {token}, the model has a vocabulary of {vocabulary}: set model.vocab_size = {}",
        path.display(), u64::from(*token) + 1
    )]
    Vocabulary {
        /// The text's or the tokenizer's file.
        path: PathBuf,
        /// The largest token.
        token: u32,
        /// Size of the model's vocabulary.
        vocabulary: usize,
    },
    /// Data that is not what the network takes.
    #[error("{}: {found}; the network has {key} = {value}: {remedy}", path.display())]
    Misfit {
        /// The file or folder.
        path: PathBuf,
        /// What it is or holds.
        found: String,
        /// The key of the network's configuration that asks for something else.
        key: &'static str,
        /// Its value.
        value: String,
        /// What to do.
        remedy: String,
    },
    /// A folder of classes without what makes it one.
    #[error("{}: {problem}; a folder with one folder of {files} a class is expected", path.display())]
    Classes {
        /// The folder.
        path: PathBuf,
        /// What the folders should hold.
        files: &'static str,
        /// What is wrong.
        problem: String,
    },
    /// A front end that cannot be.
    #[error("features cannot be computed so: {}", .0.message())]
    FrontEnd(toeplite_audio::ConfigError),
    /// A damaged wav file, or one of a kind that is not read.
    #[error("{}: {problem}", path.display())]
    Wav {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to do.
        problem: String,
    },
    /// A recording of a sensor that cannot be read.
    #[error(transparent)]
    Sensor(#[from] toeplite_checkpoint::RecordingError),
    /// A damaged array inside an npz file.
    #[error("{}: {name}: {cause}", path.display())]
    Npy {
        /// The file.
        path: PathBuf,
        /// The array.
        name: String,
        /// What is wrong.
        cause: NpyError,
    },
    /// A file of features that is damaged, or does not hold what it should.
    #[error("{}: {problem}; `features` [clips, frames, width] and `labels` [clips] in one npz or safetensors file are expected", path.display())]
    Features {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file of tokens with classes that is damaged, or does not hold what it should.
    #[error("{}: {problem}; `tokens` [clips, length] (u8, u16 or i32), `lengths` and `labels` [clips] (i32) in one safetensors file are expected", path.display())]
    TokenClasses {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A text that is both trained on and validated with.
    #[error("{} is the same text as {}: what a network was trained on says nothing of what it can do; remove one of them", valid.display(), train.display())]
    SameText {
        /// The file that is validated with.
        valid: PathBuf,
        /// The file that is trained on.
        train: PathBuf,
    },
}

impl ClipError {
    /// Names the file in an operating system error.
    pub fn read(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Read { path, cause }
    }
}
