//! Where recordings come from.

use super::super::{Result, TaskError};
use flate2::read::GzDecoder;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use tar::Archive;
use toeplite_clips::{Sound, decode_sound, read_sound};

/// Folders below the one that is given in which files are looked for.
const DEPTH: usize = 8;
/// Largest file that is read of an archive: it can claim any size.
const MAX_FILE: u64 = 1 << 27;
/// Folders that hold the very words, in the recorded prompts of telephone systems.
const WORDS: &str = "digits";

/// A recording of a word.
pub struct Word {
    pub word: String,
    pub speaker: String,
    pub index: usize,
    pub sound: Sound,
}

/// The recordings `WORD_SPEAKER_INDEX.wav` of a `.tar.gz` or a folder, by name.
///
/// # Errors
/// It cannot be read, or holds none.
pub fn words(source: &Path) -> Result<Vec<Word>> {
    let mut words = Vec::new();
    let mut others = Vec::new();
    if source.is_dir() {
        for file in recordings(source)? {
            match named(&file) {
                Some(named) => words.push(word(named, read_sound(&file)?)),
                None => others.push(file),
            }
        }
    } else {
        let file = File::open(source).map_err(TaskError::io("read", source))?;
        let damaged = |cause: io::Error| TaskError::Archive {
            path: source.to_owned(),
            cause,
        };
        let mut archive = Archive::new(GzDecoder::new(BufReader::new(file)));
        for entry in archive.entries().map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            let path = entry.path().map_err(damaged)?.into_owned();
            match named(&path) {
                Some(named) => words.push(word(named, decode_sound(entry.take(MAX_FILE), &path)?)),
                None if is_wav(&path) => others.push(path),
                None => (),
            }
        }
        words.sort_by(|a, b| key(a).cmp(&key(b)));
    }
    if words.is_empty() {
        return Err(TaskError::Options(format!(
            "{} holds no recordings WORD_SPEAKER_INDEX.wav: give the Free Spoken Digit Dataset, or files that are named so",
            source.display()
        )));
    }
    if let Some(other) = others.first() {
        toeplite_terminal::tell(format_args!(
            "warning: {} wav files are not called WORD_SPEAKER_INDEX.wav and are left out, {} among them",
            others.len(),
            other.display()
        ));
    }
    Ok(words)
}

fn key(word: &Word) -> (&str, &str, usize) {
    (&word.word, &word.speaker, word.index)
}

fn word((word, speaker, index): (String, String, usize), sound: Sound) -> Word {
    Word {
        word,
        speaker,
        index,
        sound,
    }
}

/// What a file's name says. Words may have a `_`, speakers have none.
fn named(path: &Path) -> Option<(String, String, usize)> {
    if !is_wav(path) {
        return None;
    }
    let name = path.file_stem()?.to_str()?;
    let mut parts = name.rsplitn(3, '_');
    let (index, speaker, word) = (parts.next()?, parts.next()?, parts.next()?);
    let index = index.parse().ok()?;
    (!word.is_empty() && !speaker.is_empty()).then(|| (word.to_owned(), speaker.to_owned(), index))
}

fn is_wav(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("wav"))
}

/// All wav files in a folder and the folders in it, by path; but those in folders called `digits`.
///
/// # Errors
/// It cannot be read.
pub fn recordings(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    walk(folder, DEPTH, &mut files)?;
    files.sort();
    Ok(files)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).map_err(TaskError::io("read", folder))?;
    for entry in entries {
        let path = entry.map_err(TaskError::io("read", folder))?.path();
        if path.is_dir() {
            let is_words = path.file_name().is_some_and(|name| name == WORDS);
            if depth > 0 && !is_words && !path.is_symlink() {
                walk(&path, depth - 1, files)?;
            }
        } else if is_wav(&path) {
            files.push(path);
        }
    }
    Ok(())
}
