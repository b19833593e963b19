//! What tests of the command share.

use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

pub fn small() -> PathBuf {
    repository("firmware-examples/checkpoints/shakespeare-32x2")
}

pub fn toeplite(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_toeplite"))
        .args(arguments)
        .output()
        .unwrap()
}

pub fn json(output: &Output) -> Value {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}
