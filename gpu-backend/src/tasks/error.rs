//! Why a dataset could not be made.

use std::path::{Path, PathBuf};
use thiserror::Error;

/// Why a dataset could not be made. Texts say what to do.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TaskError {
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
    /// The folder is there already.
    #[error("{} is there already: give another --out, or remove it", .0.display())]
    Exists(PathBuf),
    /// Nobody said where the package lies.
    #[error(
        "this dataset is made from the package {package}: get it with `{command}`, then give --source FILE-OR-FOLDER"
    )]
    NoSource {
        /// The package.
        package: &'static str,
        /// The command that gets it.
        command: &'static str,
    },
    /// The package lacks a file.
    #[error("{} has no file {file}: it is not the package {package}, which `{command}` gets", path.display())]
    Missing {
        /// The package.
        package: &'static str,
        /// The command that gets it.
        command: &'static str,
        /// Where it was looked for.
        path: PathBuf,
        /// The file.
        file: String,
    },
    /// The package is no archive, or a damaged one.
    #[error("{} cannot be unpacked: {cause}; a .tgz or .tar.gz file or its unpacked folder is expected", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        cause: std::io::Error,
    },
    /// A file of the package does not hold what it should.
    #[error("{} of {}: {problem}", file, path.display())]
    Damaged {
        /// The package.
        path: PathBuf,
        /// The file.
        file: String,
        /// What is wrong.
        problem: String,
    },
    /// A recording cannot be read.
    #[error(transparent)]
    Recording(#[from] toeplite_clips::ClipError),
    /// Options that nothing can be made of.
    #[error("{0}")]
    Options(String),
}

impl TaskError {
    /// Whether the arguments were wrong, rather than the files.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Options(_) | Self::NoSource { .. })
    }

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
