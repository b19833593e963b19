//! A folder with one folder of files a class.

use super::{ClipError, Clips, Result};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder with one folder of files a class, the classes by name.
pub(super) struct Folders {
    path: PathBuf,
    /// What the files are, for errors.
    kind: &'static str,
    /// Names of the classes and their files.
    found: Vec<(String, Vec<PathBuf>)>,
}

impl Folders {
    /// Lists the folder at `path`, whose files are those that `wanted` says yes to.
    ///
    /// # Errors
    /// It cannot be read, or holds none of them.
    pub fn open(path: &Path, kind: &'static str, wanted: fn(&Path) -> bool) -> Result<Self> {
        let mut found = Vec::new();
        for folder in list(path)?.into_iter().filter(|p| p.is_dir()) {
            let mut files = list(&folder)?;
            files.retain(|p| wanted(p));
            found.push((name(&folder), files));
        }
        let folders = Self {
            path: path.to_owned(),
            kind,
            found,
        };
        if folders.found.iter().all(|(_, files)| files.is_empty()) {
            return Err(folders.wrong(format!("its folders hold no {kind} right in them")));
        }
        Ok(folders)
    }

    /// Names of the folders, which are in alphabetical order.
    pub fn names(&self) -> Vec<String> {
        self.found.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Names of the classes by label: those that `clips` knows, or else the folders'.
    ///
    /// # Errors
    /// They are not as many as the network's.
    pub fn classes(&self, clips: &Clips) -> Result<Vec<String>> {
        let classes = clips.names.clone().unwrap_or_else(|| self.names());
        clips.check_classes(&self.path, Some(&classes))?;
        Ok(classes)
    }

    /// All files with their labels in `classes`.
    ///
    /// # Errors
    /// A folder is none of the classes.
    pub fn files(self, classes: &[String]) -> Result<Vec<(u32, PathBuf)>> {
        let mut all = Vec::new();
        for (class, files) in &self.found {
            let label = classes.iter().position(|c| c == class).ok_or_else(|| {
                self.wrong(format!(
                    "class {class:?} is not one of the training data's, which are {}",
                    classes.join(", ")
                ))
            })?;
            all.extend(files.iter().map(|file| (label as u32, file.clone())));
        }
        Ok(all)
    }

    fn wrong(&self, problem: String) -> ClipError {
        ClipError::Classes {
            path: self.path.clone(),
            files: self.kind,
            problem,
        }
    }
}

/// What a folder holds, by name; hidden files aside.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || {
        let entries = fs::read_dir(folder)?.map(|e| e.map(|e| e.path()));
        entries.collect::<std::io::Result<Vec<PathBuf>>>()
    };
    let mut entries = read().map_err(ClipError::read(folder))?;
    entries.retain(|p| !name(p).starts_with('.'));
    entries.sort();
    Ok(entries)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}
