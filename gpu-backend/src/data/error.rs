//! What can be wrong with data.

use std::path::{Path, PathBuf};
use thiserror::Error;
use toeplite_clips::ClipError;

/// Why data could not be read. Texts are complete: which file, what is wrong, what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DataError {
    /// A file that cannot be read, or what is wrong with clips.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// Fewer tokens than one sequence needs.
    #[error(
        "{} has {tokens} tokens; sequences of {length} and the token after them need {}: \
         give more text, or a smaller train.length", path.display(), length + 1
    )]
    TooShort {
        /// The file.
        path: PathBuf,
        /// Tokens that it has.
        tokens: u64,
        /// Positions of a sequence.
        length: usize,
    },
    /// The tokenizer's file is damaged or something else.
    #[error("{} is no tokenizer that this program reads: {message}", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the library says.
        message: String,
    },
    /// This program was built without tokenizers.
    #[error(
        "{} needs the feature `tokenizer`, which this program was built without: \
         build it without --no-default-features", path.display()
    )]
    NoTokenizers {
        /// The tokenizer's file.
        path: PathBuf,
    },
    /// Text that is not UTF-8, which tokenizers need.
    #[error(
        "{} is not UTF-8 at byte {at}: convert it, or train on bytes with data.kind = \"text-bytes\"",
        path.display()
    )]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Where.
        at: usize,
    },
}

impl DataError {
    /// Names the file in an operating system error.
    pub(super) fn read(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        |cause| ClipError::read(path)(cause).into()
    }
}
