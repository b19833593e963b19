//! Blobs in memory and on disk.

use super::any::AnyModel;
use std::io::Write;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use toeplite::Model;
use toeplite::format::ALIGNMENT;

/// A model blob at an aligned address, so that the runtime can read it in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    words: Vec<u128>,
    len: usize,
}

/// Why a blob file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum BlobFileError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file cannot be written. An older file of that name is untouched.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The bytes are not a model that the runtime accepts.
    #[error("{}: {source}", path.display())]
    Model {
        /// The file.
        path: PathBuf,
        /// What the runtime says.
        source: toeplite::ModelError,
    },
}

impl Blob {
    /// Copies `bytes` to an aligned address.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let mut words = vec![0u128; bytes.len().div_ceil(ALIGNMENT)];
        bytemuck::cast_slice_mut::<u128, u8>(&mut words)[..bytes.len()].copy_from_slice(bytes);
        Self {
            words,
            len: bytes.len(),
        }
    }

    /// Reads a blob and checks it with the runtime.
    ///
    /// # Errors
    /// [`BlobFileError`] names the file and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, BlobFileError> {
        let bytes = std::fs::read(path).map_err(|source| BlobFileError::Read {
            path: path.into(),
            source,
        })?;
        let blob = Self::from_bytes(&bytes);
        blob.any().map_err(|source| BlobFileError::Model {
            path: path.into(),
            source,
        })?;
        Ok(blob)
    }

    /// Writes the blob to a temporary file beside `path`, then renames it.
    ///
    /// # Errors
    /// [`BlobFileError::Write`]; nothing is left half-written.
    pub fn write(&self, path: &Path) -> Result<(), BlobFileError> {
        write_atomically(path, self.bytes())
    }

    /// The bytes, at an aligned address.
    pub fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice::<u128, u8>(&self.words)[..self.len]
    }

    /// The runtime's view of a blob of any contract.
    ///
    /// # Errors
    /// What the runtime finds wrong.
    pub fn any(&self) -> Result<AnyModel<'_>, toeplite::ModelError> {
        AnyModel::from_bytes(self.bytes())
    }

    /// The runtime's view of a blob of the contract `f32`.
    ///
    /// # Errors
    /// What the runtime finds wrong.
    pub fn model(&self) -> Result<Model<'_>, toeplite::ModelError> {
        Model::from_bytes(self.bytes())
    }
}

/// Session memory of the size that a model needs.
#[derive(Clone, Debug)]
pub struct SessionMemory {
    words: Vec<u128>,
    len: usize,
}

impl SessionMemory {
    /// Memory for one session of `model`.
    pub fn for_model(model: &Model<'_>) -> Self {
        Self::of_bytes(model.memory_needed())
    }

    /// Memory of `len` bytes.
    pub fn of_bytes(len: usize) -> Self {
        Self {
            words: vec![0; len.div_ceil(ALIGNMENT)],
            len,
        }
    }

    /// The bytes, at an aligned address.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut::<u128, u8>(&mut self.words)[..self.len]
    }
}

/// Writes `bytes` to a temporary file in `path`'s folder, flushes it to disk and renames it, so
/// that `path` is the old file or the whole new one, whatever happens in between.
///
/// # Errors
/// [`BlobFileError::Write`].
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BlobFileError> {
    Staged::new(path, bytes)?.commit()
}

/// A file that is on disk in full, under a temporary name until [`commit`](Self::commit). Dropped
/// without, it is removed.
#[derive(Debug)]
pub struct Staged {
    file: NamedTempFile,
    path: PathBuf,
}

impl Staged {
    /// Writes `bytes` to a temporary file in `path`'s folder and flushes it to disk.
    ///
    /// # Errors
    /// [`BlobFileError::Write`].
    pub fn new(path: &Path, bytes: &[u8]) -> Result<Self, BlobFileError> {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new("."));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".toeplite-");
        // Temporary files are private by default; the result is an ordinary file.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let write = || {
            let mut file = builder.tempfile_in(folder)?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            Ok(file)
        };
        let error = |source| BlobFileError::Write {
            path: path.into(),
            source: without_temporary_name(source),
        };
        Ok(Self {
            file: write().map_err(error)?,
            path: path.into(),
        })
    }

    /// Gives the file its name.
    ///
    /// # Errors
    /// [`BlobFileError::Write`].
    pub fn commit(self) -> Result<(), BlobFileError> {
        let path = self.path;
        match self.file.persist(&path) {
            Ok(_) => Ok(()),
            Err(refused) => Err(BlobFileError::Write {
                path,
                source: refused.error,
            }),
        }
    }
}

/// The kind of error alone, where `tempfile` has added the temporary file's name: that says nothing to
/// a user.
fn without_temporary_name(error: std::io::Error) -> std::io::Error {
    match error.get_ref() {
        Some(_) => error.kind().into(),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.toep");
        write_atomically(&path, b"old").unwrap();
        let missing = folder.path().join("absent").join("model.toep");
        let error = write_atomically(&missing, b"new").unwrap_err().to_string();
        assert!(
            error.contains("absent") && !error.contains(".toeplite-"),
            "{error}"
        );
        write_atomically(&path, b"new").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"new");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn not_a_model_is_refused_with_the_files_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.toep");
        std::fs::write(&path, "To be, or not to be").unwrap();
        let text = Blob::read(&path).unwrap_err().to_string();
        assert!(
            text.contains("text.toep") && text.contains("not a Toeplite model"),
            "{text}"
        );
    }
}
