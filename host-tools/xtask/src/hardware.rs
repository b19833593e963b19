//! Boards that are no emulation: their firmware is built, and flashed by hand.

use crate::command::{cargo_embedded, complete};
use crate::firmware::with_model;
use crate::model::Files;
use crate::paths;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The workspace of their firmware.
pub fn folder() -> PathBuf {
    paths::firmware().join("hardware")
}

/// Downloads what the firmware depends on, so that it can be built without a network.
///
/// # Errors
/// The download fails.
pub fn fetch() -> Result<()> {
    let mut command = cargo_embedded();
    command.current_dir(folder()).args(["fetch", "--locked"]);
    complete(&mut command).context("downloading what the firmware of boards depends on")?;
    println!("setup: ready: dependencies of the boards' firmware");
    Ok(())
}

/// Builds an application, `text` or `keyword`, for a board, and returns the linked binary.
///
/// # Errors
/// The build fails, with cargo's messages on standard error.
pub fn build(board: &str, application: &str, files: &Files) -> Result<PathBuf> {
    let folder = folder();
    let mut command = cargo_embedded();
    // where the board's own configuration is found: target and flags
    command.current_dir(folder.join(board));
    command.args(["build", "--quiet", "--release", "--locked"]);
    command.args(["--bin", application, "--features", application]);
    // nobody debugs what is built here
    command.env("CARGO_PROFILE_RELEASE_DEBUG", "0");
    complete(with_model(&mut command, files))
        .with_context(|| format!("building {application} for {board}"))?;
    let target = target(&folder.join(board))?;
    let built = folder.join("target").join(target);
    Ok(built.join("release").join(application))
}

/// The Rust target that a board's configuration names.
fn target(board: &Path) -> Result<String> {
    let path = board.join(".cargo/config.toml");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let target = table.get("build").and_then(|build| build.get("target"));
    let target = target.and_then(|target| target.as_str());
    Ok(target
        .with_context(|| format!("{} has no build.target", path.display()))?
        .into())
}
