//! Files as they lie on disk.

use super::{ClipError, Result};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

/// Refuses tokens that a network with such a vocabulary has no row for; `largest` of those in the file at `path`.
///
/// # Errors
/// [`ClipError::Vocabulary`].
pub fn check_vocabulary(path: &Path, largest: Option<u32>, vocabulary: usize) -> Result<()> {
    match largest {
        Some(token) if token as usize >= vocabulary => Err(ClipError::Vocabulary {
            path: path.to_owned(),
            token,
            vocabulary,
        }),
        _ => Ok(()),
    }
}

/// Maps a file into memory; `None` if it is empty.
///
/// # Errors
/// It cannot be read, or is a folder.
pub fn map(path: &Path) -> Result<Option<Mmap>> {
    let file = File::open(path).map_err(ClipError::read(path))?;
    let metadata = file.metadata().map_err(ClipError::read(path))?;
    if metadata.is_dir() {
        let cause = std::io::Error::new(
            std::io::ErrorKind::IsADirectory,
            "it is a folder, a file is expected",
        );
        return Err(ClipError::read(path)(cause));
    }
    if metadata.len() == 0 {
        return Ok(None);
    }
    // SAFETY: the map is read-only and private to this process. Bytes that another process writes to
    // the file meanwhile are read as they are at that moment: every byte is a valid token, arrays are
    // checked and copied at once, and files of the cache are replaced, never written to. A file that
    // is cut short kills the process with SIGBUS, as with every program that maps its data;
    // checkpoints survive that.
    let map = unsafe { Mmap::map(&file) };
    map.map(Some).map_err(ClipError::read(path))
}
