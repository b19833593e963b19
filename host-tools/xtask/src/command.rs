//! Running other programs.

use crate::paths;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// The cargo that runs us, or the one of the path.
fn cargo_program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// `cargo` in the repository's root.
pub fn cargo() -> Command {
    let mut command = Command::new(cargo_program());
    command.current_dir(paths::root());
    command
}

/// `cargo +embedded` in the firmware's workspace, without what an outer cargo sets for its own
/// compilations.
pub fn cargo_embedded() -> Command {
    // Not $CARGO: choosing a toolchain by `+` is for rustup's proxy of that name.
    let mut command = Command::new("cargo");
    command.arg("+embedded").current_dir(paths::firmware());
    for name in [
        "CARGO",
        "RUSTC",
        "RUSTUP_TOOLCHAIN",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    for name in [
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_RUSTFLAGS",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs to the end; fails with the command line if the program does.
pub fn complete(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs to the end, and returns what it wrote to standard output; fails with what it wrote to
/// standard error if the program fails.
pub fn capture(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed ({}):\n{errors}", shown(command), output.status);
    }
    Ok(output.stdout)
}

/// The command line, for people.
pub fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    format!("`{}`", words.join(" "))
}
