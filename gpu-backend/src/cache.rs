//! The folder of what is kept to be there sooner the next time: compiled kernels, tokens of texts.
//! All of it can be removed at any time.

use std::env;
use std::path::{Path, PathBuf};

/// Environment variable with the folder.
pub const FOLDER: &str = "TOEPLITE_CACHE";

/// The user's cache folder, if there is one.
pub fn folder() -> Option<PathBuf> {
    if let Some(folder) = env::var_os(FOLDER) {
        return Some(folder.into());
    }
    let base = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| env::var_os("HOME").map(|home| Path::new(&home).join(".cache")))?;
    Some(base.join("toeplite"))
}
