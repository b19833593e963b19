//! Where things are in the repository.

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.join("../..")
        .canonicalize()
        .unwrap_or_else(|_| here.join("../.."))
}

/// The firmware's workspace.
pub fn firmware() -> PathBuf {
    root().join("firmware-examples")
}

/// A bundled checkpoint.
pub fn checkpoint(name: &str) -> PathBuf {
    firmware().join("checkpoints").join(name)
}

/// Where converted models and linked firmware are put; not under version control.
pub fn output() -> PathBuf {
    root().join("target/firmware")
}
