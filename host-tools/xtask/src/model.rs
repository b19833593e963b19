//! Converting checkpoints by the `toeplite` command.

use crate::boards::{Board, F32};
use crate::command::{capture, cargo, complete};
use crate::paths;
use anyhow::{Context, Result};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What goes into flash, and what the firmware has to know of it.
#[derive(Clone, Debug)]
pub struct Files {
    /// The blob, `.toep`.
    pub blob: PathBuf,
    /// Constants for the firmware, in Rust.
    pub meta: PathBuf,
}

impl Files {
    /// As [`convert`] names them.
    pub fn in_folder(folder: &Path) -> Self {
        Self {
            blob: folder.join("model.toep"),
            meta: folder.join("model_meta.rs"),
        }
    }
}

/// How a model is stored.
#[derive(Clone, Copy, Debug)]
pub struct Storage<'a> {
    /// Numeric contract.
    pub contract: &'a str,
    /// Type of the weights.
    pub weights: &'a str,
    /// Core that they are packed for.
    pub core: &'a str,
    /// `--tolerance` of the recurrences, if not what `convert` takes by itself.
    pub tolerance: Option<&'a str>,
}

impl<'a> Storage<'a> {
    /// With int8 weights.
    pub fn int8(contract: &'a str, core: &'a str) -> Self {
        Self {
            contract,
            weights: "int8",
            core,
            tolerance: None,
        }
    }

    /// As the guides of the keyword and the sensor example convert: by the contract for the board, and with half the states of
    /// what `convert` takes by itself.
    pub fn listening(board: &'a Board) -> Self {
        Self {
            tolerance: Some("0.02"),
            ..Self::int8(board.contract(), board.core)
        }
    }
}

/// A converted model.
#[derive(Clone, Debug)]
pub struct Model {
    /// Name of the checkpoint.
    pub name: String,
    /// What was written.
    pub files: Files,
    /// What `convert --json` said.
    pub json: serde_json::Value,
}

impl Model {
    /// Bytes of session memory, as `convert` predicted them.
    ///
    /// # Errors
    /// The conversion did not say.
    pub fn memory_bytes(&self) -> Result<u64> {
        self.number("memory_bytes")
    }

    /// Bytes of the model in flash.
    ///
    /// # Errors
    /// The conversion did not say.
    pub fn blob_bytes(&self) -> Result<u64> {
        self.number("blob_bytes")
    }

    fn number(&self, key: &str) -> Result<u64> {
        self.json[key]
            .as_u64()
            .with_context(|| format!("`convert --json` gave no {key}"))
    }
}

/// Path of the `toeplite` command, a release build, built if need be.
///
/// # Errors
/// The build fails.
pub fn toeplite() -> Result<PathBuf> {
    let mut build = cargo();
    build.args([
        "build",
        "--release",
        "--package",
        "toeplite-tools",
        "--bin",
        "toeplite",
    ]);
    complete(&mut build).context("building the toeplite command")?;
    let target = match std::env::var_os("CARGO_TARGET_DIR") {
        Some(target) => paths::root().join(target),
        None => paths::root().join("target"),
    };
    Ok(target.join("release/toeplite"))
}

/// Converts `checkpoint` by the `toeplite` command into the folder `into`. The model of another contract than `f32` has
/// its name at the end of its own.
///
/// # Errors
/// The conversion fails, or what it prints is not JSON.
pub fn convert(
    toeplite: &Path,
    checkpoint: &Path,
    storage: Storage<'_>,
    into: &Path,
) -> Result<Model> {
    fs::create_dir_all(into).with_context(|| format!("making {}", into.display()))?;
    let files = Files::in_folder(into);
    let mut command = Command::new(toeplite);
    command.arg("convert").arg(checkpoint).args([
        "--contract",
        storage.contract,
        "--weights",
        storage.weights,
        "--target",
        storage.core,
        "--json",
        "-o",
    ]);
    command.arg(&files.blob).arg("--meta").arg(&files.meta);
    if let Some(tolerance) = storage.tolerance {
        command.args(["--tolerance", tolerance]);
    }
    let printed = capture(&mut command)?;
    let json = serde_json::from_slice(&printed).context("`toeplite convert --json` is not JSON")?;
    let name = checkpoint
        .file_name()
        .context("a checkpoint is a folder or a file")?;
    Ok(Model {
        name: named(&name.to_string_lossy(), storage.contract),
        files,
        json,
    })
}

/// The name of a checkpoint's model of a numeric contract.
pub fn named(checkpoint: &str, contract: &str) -> String {
    match contract {
        F32 => checkpoint.into(),
        contract => format!("{checkpoint}-{contract}"),
    }
}
