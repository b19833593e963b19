//! Building firmware.

use crate::boards::Board;
use crate::command::{cargo_embedded, complete};
use crate::host::Facts;
use crate::keyword;
use crate::model::{Files, Model};
use crate::paths;
use anyhow::{Context, Result, ensure};
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

/// Builds the text example with `model` in flash and `features` beside the board's and those that the
/// model needs.
///
/// # Errors
/// The model is too big for the board, see [`check_fit`]; the build fails, with cargo's messages on
/// standard error.
pub fn text(board: &Board, model: &Model, features: &[&str]) -> Result<Firmware> {
    check_fit(board, model)?;
    let mut command = cargo_embedded();
    command
        .arg("--config")
        .arg(&board.config)
        .args(["build", "--quiet", "--release"]);
    command.args(["--package", "text", "--no-default-features", "--features"]);
    // of a damaged model nothing is known: the firmware refuses it
    let needed = Facts::of(&model.files.blob).map_or(Vec::new(), |facts| facts.features());
    command.arg(
        [&[board.name.as_str()], features, &needed]
            .concat()
            .join(","),
    );
    with_model(&mut command, &model.files);
    let name = [&[board.name.as_str(), &model.name], features]
        .concat()
        .join("-");
    build(&mut command, board, "text", &name)
}

/// Builds the keyword example with `model` in flash, whose constants have an audio front end.
///
/// # Errors
/// Those of [`text`].
pub fn keyword(board: &Board, model: &Model) -> Result<Firmware> {
    keyword_with(board, model, &[])
}

/// [`keyword`], with `features` beside the board's and those that the model needs.
///
/// # Errors
/// Those of [`text`].
pub fn keyword_with(board: &Board, model: &Model, features: &[&str]) -> Result<Firmware> {
    classifying(board, model, "keyword", features)
}

/// Builds the sensor example with `model` in flash, whose constants have a sensor's front end.
///
/// # Errors
/// Those of [`text`].
pub fn sensor(board: &Board, model: &Model) -> Result<Firmware> {
    classifying(board, model, "sensor", &[])
}

/// Builds an example of a classifier of frames.
fn classifying(board: &Board, model: &Model, package: &str, features: &[&str]) -> Result<Firmware> {
    check_fit(board, model)?;
    let mut command = cargo_embedded();
    command
        .arg("--config")
        .arg(&board.config)
        .args(["build", "--quiet", "--release"]);
    command.args(["--package", package, "--no-default-features"]);
    let needed = keyword::features(&model.files.blob)?;
    let chosen = [&[board.name.as_str()], features, &needed];
    command.arg("--features").arg(chosen.concat().join(","));
    with_model(&mut command, &model.files);
    let name = [&[board.name.as_str(), &model.name, package], features]
        .concat()
        .join("-");
    build(&mut command, board, package, &name)
}

/// Refuses a model that alone is bigger than the board's flash, or its session memory than the RAM.
/// Whether there is room for the code and the stack, too, the linker finds out.
///
/// # Errors
/// Names the board, what does not fit, both sizes, and what to do.
pub fn check_fit(board: &Board, model: &Model) -> Result<()> {
    let sizes = [
        ("model", model.blob_bytes()?, "flash", board.flash),
        ("session memory", model.memory_bytes()?, "RAM", board.ram),
    ];
    for (what, needed, memory, available) in sizes {
        ensure!(
            needed < available,
            "{name} is too big for {board}: its {what} takes {needed} bytes, the board has {available} bytes of {memory}; \
             take a smaller checkpoint (shakespeare-32x2 fits all boards) or another --board",
            name = model.name,
            board = board.name,
        );
    }
    Ok(())
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

/// Builds the counting of kernels.
///
/// # Errors
/// The build fails; cargo's messages are on standard error.
pub fn kernels(board: &Board) -> Result<Firmware> {
    let name = format!("{}-kernels", board.name);
    build(&mut bench(board, "kernels", &[]), board, "kernels", &name)
}

/// Builds the counting of the audio front ends.
///
/// # Errors
/// The build fails; cargo's messages are on standard error.
pub fn audio(board: &Board) -> Result<Firmware> {
    let name = format!("{}-audio", board.name);
    build(
        &mut bench(board, "audio", &["audio"]),
        board,
        "audio",
        &name,
    )
}

/// Builds the counting of one token of the model `name`, whose two files are `files`.
///
/// # Errors
/// The build fails, with cargo's messages on standard error; the linker says so if the model does
/// not fit.
pub fn token(board: &Board, name: &str, files: &Files) -> Result<Firmware> {
    counting(board, "token", name, files)
}

/// Builds the counting of a window of the bidirectional model `name`, whose two files are `files`.
///
/// # Errors
/// Those of [`token`].
pub fn window(board: &Board, name: &str, files: &Files) -> Result<Firmware> {
    counting(board, "window", name, files)
}

/// Builds the bench that counts the instructions of a frame, for a classifier of frames.
///
/// # Errors
/// Those of [`token`].
pub fn classifier(board: &Board, name: &str, files: &Files) -> Result<Firmware> {
    counting(board, "classifier", name, files)
}

/// Builds the program that classifies frames by a model of integers, without a float.
///
/// # Errors
/// Those of [`text`].
pub fn integers(board: &Board, name: &str, files: &Files) -> Result<Firmware> {
    counting(board, "integers", name, files)
}

/// Builds a binary that needs a model, and the feature of its own name.
fn counting(board: &Board, binary: &str, name: &str, files: &Files) -> Result<Firmware> {
    let mut command = bench(board, binary, &[binary]);
    let name = format!("{}-{name}-{binary}", board.name);
    build(with_model(&mut command, files), board, binary, &name)
}

fn bench(board: &Board, binary: &str, features: &[&str]) -> Command {
    let mut command = cargo_embedded();
    command.arg("--config").arg(&board.config).args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "bench",
    ]);
    command.args(["--bin", binary, "--no-default-features", "--features"]);
    command.arg([&[board.name.as_str()], features].concat().join(","));
    command
}

/// `prompt` as the firmware's command line takes it.
pub fn prompt(prompt: &[u8]) -> String {
    format!("prompt={}", escaped(prompt))
}

/// Bytes as the firmware's command line takes them: QEMU would change spaces.
pub fn escaped(bytes: &[u8]) -> String {
    let byte = |&byte: &u8| match byte {
        b'!'..=b'~' if byte != b'%' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    bytes.iter().map(byte).collect()
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
    // nor of two programs of tests: the lock is released where the file is closed
    let other_programs = fs::File::create(paths::output().join(".lock"))?;
    other_programs.lock()?;
    complete(command).with_context(|| {
        format!(
            "building firmware for {}, see cargo's messages: if a target or linker is missing, `cargo xtask setup` \
             installs it; if something `will not fit in region`, the model and the code are too big for the board",
            board.name
        )
    })?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::path::Path;

    #[test]
    fn a_model_that_is_too_big_is_refused_with_both_sizes() {
        let refusal = |board: &str, blob: u64, memory: u64| {
            let model = Model {
                name: "some".into(),
                files: Files::in_folder(Path::new(".")),
                json: json!({ "blob_bytes": blob, "memory_bytes": memory }),
            };
            let refused = check_fit(&Board::named(board).unwrap(), &model);
            refused.err().map(|error| error.to_string())
        };
        assert_eq!(refusal("mps2-an386", 978_000, 86_000), None);
        assert_eq!(refusal("microbit", 57_000, 9_000), None);
        let flash = refusal("microbit", 978_000, 9_000).unwrap();
        assert!(
            flash.contains("978000 bytes") && flash.contains("196608 bytes of flash"),
            "{flash}"
        );
        let ram = refusal("microbit", 57_000, 86_000).unwrap();
        assert!(
            ram.contains("86000 bytes") && ram.contains("16384 bytes of RAM"),
            "{ram}"
        );
    }
}
