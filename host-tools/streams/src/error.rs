//! Why streams could not be heard.

use std::path::PathBuf;
use thiserror::Error;
use toeplite_clips::ClipError;

/// Why streams could not be heard. Texts are complete: what is wrong, where, what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StreamsError {
    /// The operating system refused.
    #[error("cannot {what} {}: {cause}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        cause: std::io::Error,
    },
    /// A folder without recordings.
    #[error("{} holds no wav files right in it", .0.display())]
    NoRecordings(PathBuf),
    /// A recording that cannot be read, or a front end that cannot be.
    #[error(transparent)]
    Clip(#[from] ClipError),
    /// Another sampling rate.
    #[error(
        "{}: {found} samples a second, the network was trained with {expected}: resample it, as by `sox in.wav -r {expected} out.wav`",
        path.display()
    )]
    Rate {
        /// The recording.
        path: PathBuf,
        /// Its samples a second.
        found: u32,
        /// Those of the training.
        expected: u32,
    },
    /// A line that is no label.
    #[error(
        "{}: line {line}: `START<tab>END<tab>CLASS` is expected, seconds and a class of {}", path.display(), classes.join(", ")
    )]
    Track {
        /// The label track.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The network's classes.
        classes: Vec<String>,
    },
    /// An option of streams without one.
    #[error("{option} is for long recordings: give some, --stream PATH, or leave it out")]
    NoStream {
        /// The option.
        option: &'static str,
    },
    /// A half-life for a network without a mean.
    #[error(
        "--half-life is for networks with pooling = \"mean\", of which this is none: leave it out"
    )]
    HalfLife,
    /// More classes than a detector tells apart.
    #[error("the network has {0} classes: events are of 64 classes at most")]
    Classes(usize),
    /// A name that is no class.
    #[error("--no-words {name}: the network has no such class, but {}", classes.join(", "))]
    NoWord {
        /// The name.
        name: String,
        /// The network's classes.
        classes: Vec<String>,
    },
}

impl StreamsError {
    /// Names the file in an operating system error.
    pub(crate) fn io(
        what: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::Io { what, path, cause }
    }
}
