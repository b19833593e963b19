//! Versions of what counts depend on.

use crate::command::capture;
use anyhow::{Context, Result};
use std::process::Command;

/// Compiler of the firmware, e.g. `rustc 1.96.0, LLVM 22.1.8`.
///
/// # Errors
/// There is no toolchain `embedded`.
pub fn compiler() -> Result<String> {
    let mut rustc = Command::new("rustc");
    rustc.args(["+embedded", "-vV"]);
    for name in ["RUSTC", "RUSTUP_TOOLCHAIN"] {
        rustc.env_remove(name);
    }
    let printed = capture(&mut rustc).context("`cargo xtask setup` installs the toolchain")?;
    version(&String::from_utf8_lossy(&printed)).context("`rustc -vV` names no version")
}

fn version(printed: &str) -> Option<String> {
    let value = |key: &str| printed.lines().find_map(|line| line.strip_prefix(key));
    let (release, llvm) = (value("release: ")?, value("LLVM version: ")?);
    Some(format!("rustc {release}, LLVM {llvm}"))
}

/// QEMU's version, e.g. `QEMU emulator version 7.2.22`.
///
/// # Errors
/// There is no QEMU.
pub fn qemu() -> Result<String> {
    let printed = capture(Command::new("qemu-system-arm").arg("--version"))
        .context("`cargo xtask setup` installs QEMU")?;
    let text = String::from_utf8_lossy(&printed);
    let line = text.lines().next().context("QEMU names no version")?;
    let version = line.split(" (").next().unwrap_or(line);
    Ok(version.into())
}

#[cfg(test)]
mod tests {
    use super::version;

    #[test]
    fn versions_do_not_say_who_built_the_compiler() {
        let printed = "rustc 1.96.0 (ac68 2026-05-25) (built from a source tarball)\nbinary: rustc\n\
                       release: 1.96.0\nLLVM version: 22.1.8\n";
        let expected = Some("rustc 1.96.0, LLVM 22.1.8".into());
        assert_eq!(version(printed), expected);
        assert_eq!(version("release: 1.96.0\n"), None);
    }
}
