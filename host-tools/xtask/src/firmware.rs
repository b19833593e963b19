//! Building firmware.

use crate::boards::Board;
use crate::command::{cargo_embedded, complete};
use crate::model::{Files, Model};
use crate::paths;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Mutex;

/// A linked binary.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// What it was built for.
    pub board: Board,
    /// The file.
    pub elf: PathBuf,
}

/// Cargo gives binaries of all models and features the same path: only one may be on its way from
/// there to its own name.
static CARGO_OUTPUT: Mutex<()> = Mutex::new(());

/// Builds the text example with `model` in flash and `features` beside the board's.
///
/// # Errors
/// The build fails; cargo's messages are on standard error.
pub fn text(board: &Board, model: &Model, features: &[&str]) -> Result<Firmware> {
    let mut command = cargo_embedded();
    command
        .arg("--config")
        .arg(&board.config)
        .args(["build", "--quiet", "--release"]);
    command.args(["--package", "text", "--no-default-features", "--features"]);
    command.arg([&[board.name.as_str()], features].concat().join(","));
    with_model(&mut command, &model.files);
    let name = [&[board.name.as_str(), &model.name], features]
        .concat()
        .join("-");
    build(&mut command, board, "text", &name)
}

/// Builds the boards' own check.
///
/// # Errors
/// The build fails; cargo's messages are on standard error.
pub fn board_check(board: &Board) -> Result<Firmware> {
    let mut command = cargo_embedded();
    command
        .arg("--config")
        .arg(&board.config)
        .args(["build", "--quiet", "--release"]);
    command.args([
        "--package",
        "boards",
        "--example",
        "board-check",
        "--features",
    ]);
    command.arg(&board.name);
    build(
        &mut command,
        board,
        "examples/board-check",
        &format!("{}-board-check", board.name),
    )
}

/// `prompt` as the firmware's command line takes it: QEMU would change spaces.
pub fn prompt(prompt: &[u8]) -> String {
    let byte = |&byte: &u8| match byte {
        b'!'..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    format!("prompt={}", prompt.iter().map(byte).collect::<String>())
}

/// Tells the build script which model to put into flash.
pub fn with_model<'a>(command: &'a mut Command, files: &Files) -> &'a mut Command {
    command
        .env("TOEPLITE_MODEL", &files.blob)
        .env("TOEPLITE_META", &files.meta)
}

fn build(command: &mut Command, board: &Board, binary: &str, name: &str) -> Result<Firmware> {
    let elf = paths::output().join(format!("{name}.elf"));
    fs::create_dir_all(paths::output())?;
    let _alone = CARGO_OUTPUT
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner());
    complete(command).context("building firmware (`cargo xtask setup` installs what it needs)")?;
    let built = paths::firmware()
        .join("target")
        .join(&board.target)
        .join("release")
        .join(binary);
    fs::copy(&built, &elf).with_context(|| format!("copying {}", built.display()))?;
    Ok(Firmware {
        board: board.clone(),
        elf,
    })
}
