//! Converting checkpoints by the `toeplite` command.

use crate::command::{capture, cargo, complete};
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A converted model: what goes into flash and what the firmware has to know of it.
#[derive(Clone, Debug)]
pub struct Model {
    /// Name of the checkpoint.
    pub name: String,
    /// The blob, `.toep`.
    pub blob: PathBuf,
    /// Constants for the firmware, in Rust.
    pub meta: PathBuf,
    /// What `convert --json` said.
    pub json: serde_json::Value,
}

impl Model {
    /// Bytes of session memory, as `convert` predicted them.
    ///
    /// # Errors
    /// The conversion did not say.
    pub fn memory_bytes(&self) -> Result<u64> {
        self.json["memory_bytes"]
            .as_u64()
            .context("`convert --json` gave no memory_bytes")
    }
}

/// Path of the `toeplite` command, built in this profile if need be.
///
/// # Errors
/// The build fails.
pub fn toeplite(release: bool) -> Result<PathBuf> {
    let mut build = cargo();
    build.args(["build", "--package", "toeplite-tools", "--bin", "toeplite"]);
    build.args(release.then_some("--release"));
    complete(&mut build).context("building the toeplite command")?;
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => crate::paths::root().join(target),
        None => crate::paths::root().join("target"),
    };
    let profile = if release { "release" } else { "debug" };
    Ok(target.join(profile).join("toeplite"))
}

/// Converts `checkpoint` with int8 weights into the folder `into`: `model.toep`, `model_meta.rs`.
///
/// # Errors
/// The conversion fails, or what it prints is not JSON.
pub fn convert(toeplite: &Path, checkpoint: &Path, into: &Path) -> Result<Model> {
    fs::create_dir_all(into).with_context(|| format!("making {}", into.display()))?;
    let (blob, meta) = (into.join("model.toep"), into.join("model_meta.rs"));
    let mut command = Command::new(toeplite);
    command
        .arg("convert")
        .arg(checkpoint)
        .args(["--weights", "int8", "--json", "-o"]);
    command.arg(&blob).arg("--meta").arg(&meta);
    let printed = capture(&mut command)?;
    let json = serde_json::from_slice(&printed).context("`toeplite convert --json` is not JSON")?;
    let name = checkpoint
        .file_name()
        .context("a checkpoint is a folder or a file")?;
    Ok(Model {
        name: name.to_string_lossy().into_owned(),
        blob,
        meta,
        json,
    })
}
