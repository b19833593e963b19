//! Folders of texts as sequences of bytes.

use super::folders::Folders;
use super::token_clips::{Cut, TokenClips};
use super::{ClipError, Clips, Result};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use twox_hash::XxHash3_128;

/// Texts with a class each, and which files they come from.
pub struct TextFolders {
    /// The texts in windows.
    pub clips: TokenClips,
    /// Hashes of the texts, which texts of another set must not have.
    files: HashMap<u128, PathBuf>,
}

impl TextFolders {
    /// Reads a folder with one folder of text files a class. Every text is cut into windows of
    /// `clips.length` bytes; the last one ends with the text. Where `clips` does not name the classes,
    /// labels count the folders by name.
    ///
    /// # Errors
    /// There is no such folder, class or file; classes or tokens that are not what `clips` asks.
    pub fn open(path: &Path, clips: &Clips) -> Result<Self> {
        let folders = Folders::open(path, "text files", Path::is_file)?;
        let classes = folders.classes(clips)?;
        let (mut texts, mut files) = (Vec::new(), HashMap::new());
        for (label, file) in folders.files(&classes)? {
            let text = fs::read(&file).map_err(ClipError::read(&file))?;
            files.insert(XxHash3_128::oneshot(&text), file);
            texts.push((label, text));
        }
        let largest = texts.iter().flat_map(|(_, text)| text).max();
        clips.check_tokens(path, largest.map(|b| u32::from(*b)))?;
        let name = path.display().to_string();
        Ok(Self {
            clips: TokenClips::in_memory(name, classes, texts, clips.length, Cut::Windows),
            files,
        })
    }

    /// Refuses a text that `train` has too.
    ///
    /// # Errors
    /// [`ClipError::SameText`].
    pub fn check_apart(&self, train: &Self) -> Result<()> {
        let mut both = self.files.iter();
        let same = both.find_map(|(hash, valid)| Some((valid, train.files.get(hash)?)));
        match same {
            None => Ok(()),
            Some((valid, train)) => Err(ClipError::SameText {
                valid: valid.clone(),
                train: train.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clips::Reads;
    use super::super::testing::sequences;
    use super::*;

    fn write(folder: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    #[test]
    fn folders_are_classes_and_no_text_is_in_both_sets() {
        let dir = tempfile::tempdir().unwrap();
        let (train, valid) = (dir.path().join("train"), dir.path().join("valid"));
        write(&train, &[("sad/a.txt", "alas, alas"), ("glad/b.txt", "ha")]);
        write(&valid, &[("sad/c.txt", "woe"), ("sad/.hidden", "x")]);
        let clips = Clips {
            reads: Reads::Tokens(256),
            classes: 2,
            names: None,
            length: 4,
            image: None,
        };
        let set = TextFolders::open(&train, &clips).unwrap();
        assert_eq!(set.clips.classes(), ["glad", "sad"]);
        let (_, labels) = sequences(&set.clips, 4);
        assert_eq!(labels, [0, 1, 1, 1]);
        let known = Clips {
            names: Some(set.clips.classes().to_vec()),
            ..clips.clone()
        };
        let others = TextFolders::open(&valid, &known).unwrap();
        others.check_apart(&set).unwrap();
        assert_eq!(others.clips.windows().len(), 1);
        write(&valid, &[("glad/d.txt", "alas, alas")]);
        let both = TextFolders::open(&valid, &known).unwrap();
        let error = both.check_apart(&set).unwrap_err().to_string();
        assert!(
            error.contains("d.txt") && error.contains("a.txt"),
            "{error}"
        );
        let three = Clips {
            classes: 3,
            ..clips
        };
        let error = TextFolders::open(&train, &three).err().unwrap().to_string();
        assert!(error.contains("2 classes (glad, sad)"), "{error}");
    }
}
