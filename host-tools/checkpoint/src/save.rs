//! Writing the native format.

use super::folder::{CONFIG, MODEL, io};
use super::{Checkpoint, CheckpointError};
use safetensors::tensor::{Dtype, View, serialize};
use std::borrow::Cow;
use std::fs;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;

impl Checkpoint {
    /// Writes `config.json` and `model.safetensors` (f32) into the folder `dir`, which is created if
    /// need be; both replace files of those names. Each file is written under a temporary name, synced
    /// and renamed, the configuration last: whatever interrupts this, no half-written file is left under
    /// a checkpoint's name.
    ///
    /// # Errors
    /// [`Checkpoint::check`]'s, before anything is written; [`CheckpointError::Io`].
    pub fn save(&self, dir: &Path) -> Result<(), CheckpointError> {
        self.check(dir)?;
        fs::create_dir_all(dir).map_err(io("create", dir))?;
        let views = self
            .tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), Stored(tensor)));
        let model = serialize(views, None).map_err(|cause| CheckpointError::Safetensors {
            path: dir.join(MODEL),
            cause,
        })?;
        // Both are on disk in full before either takes its name.
        let model = temporary(dir, &model)?;
        let config = temporary(dir, self.config.to_json().as_bytes())?;
        rename(model, &dir.join(MODEL))?;
        rename(config, &dir.join(CONFIG))
    }
}

pub(super) fn temporary(dir: &Path, contents: &[u8]) -> Result<NamedTempFile, CheckpointError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".checkpoint-").suffix(".partial");
    // Temporary files are private by default; a checkpoint is an ordinary file.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let write = || {
        let mut file = builder.tempfile_in(dir)?;
        file.write_all(contents)?;
        file.as_file().sync_all()?;
        Ok(file)
    };
    write().map_err(io("write a file in", dir))
}

pub(super) fn rename(file: NamedTempFile, to: &Path) -> Result<(), CheckpointError> {
    file.persist(to)
        .map_err(|refused| io("write", to)(refused.error))?;
    Ok(())
}

/// A tensor as safetensors stores it.
struct Stored<'a>(&'a ndarray::ArrayD<f32>);

impl View for Stored<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        self.0.shape()
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.0.len() * 4
    }
}
