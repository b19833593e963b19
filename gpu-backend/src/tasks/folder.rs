//! A folder that is there whole or not at all.

use super::{MadeFile, Result, TaskError};
use serde::Serialize;
use std::fs;
use std::path::{Path, PathBuf, absolute};
use tempfile::TempDir;

/// Name of the file that says what a folder holds.
const ABOUT: &str = "dataset.json";

/// A dataset's folder while it is made: it lies beside its place under another name, and is renamed when
/// it is whole. What was not kept is removed.
pub struct NewFolder {
    place: PathBuf,
    making: TempDir,
}

impl NewFolder {
    /// Begins the folder at `place`; folders around it are made.
    ///
    /// # Errors
    /// [`TaskError::Exists`]; the folder around it cannot be written.
    pub fn begin(place: &Path) -> Result<Self> {
        let place = absolute(place).map_err(TaskError::io("find", place))?;
        if place.symlink_metadata().is_ok() {
            return Err(TaskError::Exists(place));
        }
        let around = place.parent().unwrap_or(&place);
        fs::create_dir_all(around).map_err(TaskError::io("create", around))?;
        let making = tempfile::Builder::new()
            .prefix(".making-")
            .tempdir_in(around);
        let making = making.map_err(TaskError::io("write to", around))?;
        Ok(Self { place, making })
    }

    /// Where files are to be written for now.
    pub fn path(&self) -> &Path {
        self.making.path()
    }

    /// Adds a description of the dataset and puts the folder in its place.
    ///
    /// # Errors
    /// It cannot be written, or something is in its place by now.
    pub fn keep(self, about: &impl Serialize, files: &[MadeFile]) -> Result<PathBuf> {
        #[derive(Serialize)]
        struct About<'a, T> {
            #[serde(flatten)]
            about: &'a T,
            files: &'a [MadeFile],
        }
        let text = serde_json::to_string_pretty(&About { about, files });
        let text = text.expect("names and numbers serialize") + "\n";
        let file = self.path().join(ABOUT);
        fs::write(&file, text).map_err(TaskError::io("write", &file))?;
        open_to_all(self.path())?;
        if self.place.symlink_metadata().is_ok() {
            return Err(TaskError::Exists(self.place));
        }
        fs::rename(self.path(), &self.place).map_err(TaskError::io("write", &self.place))?;
        // It is no longer where it would be removed.
        let _ = self.making.keep();
        Ok(self.place)
    }
}

/// Temporary folders are for their owner alone; a dataset is as readable as any folder.
#[cfg(unix)]
fn open_to_all(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let inside = folder.join(ABOUT);
    let file = fs::metadata(&inside).map_err(TaskError::io("read", &inside))?;
    let readable = file.permissions().mode() & 0o444;
    let mode = 0o700 | readable | readable >> 2 & 0o011;
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
        .map_err(TaskError::io("write", folder))
}

#[cfg(not(unix))]
fn open_to_all(_: &Path) -> Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_whole_or_not_there() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("sets/one");
        let folder = NewFolder::begin(&place).unwrap();
        fs::write(folder.path().join("a"), "x").unwrap();
        assert!(!place.exists());
        drop(folder);
        assert_eq!(fs::read_dir(dir.path().join("sets")).unwrap().count(), 0);
        let folder = NewFolder::begin(&place).unwrap();
        let other = NewFolder::begin(&place).unwrap();
        folder.keep(&serde_json::json!({"task": "x"}), &[]).unwrap();
        assert!(
            fs::read_to_string(place.join(ABOUT))
                .unwrap()
                .contains("\"task\": \"x\"")
        );
        for error in [
            NewFolder::begin(&place).err().unwrap(),
            other.keep(&serde_json::json!({}), &[]).unwrap_err(),
        ] {
            assert!(matches!(error, TaskError::Exists(ref p) if *p == place));
        }
        assert_eq!(fs::read_dir(dir.path().join("sets")).unwrap().count(), 1);
    }
}
