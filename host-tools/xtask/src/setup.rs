//! Making QEMU, the toolchain for bare-metal targets, and for tests a browser available.

use crate::browser;
use crate::command::complete;
use crate::paths;
use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// Programs and the Debian packages that they are in.
type Programs<'a> = &'a [(&'a str, &'a str)];

const QEMU: Programs<'_> = &[
    ("qemu-system-arm", "qemu-system-arm"),
    ("qemu-system-riscv32", "qemu-system-misc"),
];

/// Sets up all that the chores need; quick if all is there.
///
/// # Errors
/// Something cannot be installed; the message says what to do by hand.
pub fn everything() -> Result<()> {
    qemu()?;
    let script = paths::root().join("host-tools/xtask/embedded-toolchain.sh");
    complete(&mut Command::new(script)).context("setting up the toolchain for bare-metal targets")
}

/// [`everything`], with all that is said on standard error: standard output is for results.
///
/// # Errors
/// As [`everything`].
pub fn quietly() -> Result<()> {
    complete(
        Command::new(std::env::current_exe()?)
            .arg("setup")
            .stdout(std::io::stderr()),
    )
}

/// Sets up the browser that the tests of pages load them in; quick if one is there.
///
/// # Errors
/// It cannot be installed; the message says what to do by hand.
pub fn browser() -> Result<()> {
    if browser::program().is_some() {
        println!("setup: ready: Chromium");
        return Ok(());
    }
    install("Chromium", &[browser::PACKAGE])
}

fn qemu() -> Result<()> {
    let missing: Vec<_> = QEMU
        .iter()
        .filter(|(program, _)| !answers(program))
        .map(|&(_, package)| package)
        .collect();
    if missing.is_empty() {
        println!("setup: ready: QEMU");
        return Ok(());
    }
    install("QEMU", &missing)
}

/// Installs Debian packages, which are `name`.
fn install(name: &str, packages: &[&str]) -> Result<()> {
    let by_hand = format!(
        "apt-get install --no-install-recommends {}",
        packages.join(" ")
    );
    if !answers("apt-get") {
        bail!(
            "{name} is missing and there is no apt-get: install {}",
            packages.join(", ")
        );
    }
    if !is_root() {
        bail!("{name} is missing. Run, then try again:\n    sudo {by_hand}");
    }
    println!(
        "setup: {name} is missing: `{by_hand}` installs it system-wide; apt-get's own plan follows"
    );
    // A machine that has never fetched the package lists knows no package.
    complete(Command::new("apt-get").args(["update", "--quiet"]))?;
    let mut install = Command::new("apt-get");
    install
        .args(["install", "--yes", "--no-install-recommends"])
        .args(packages);
    complete(install.env("DEBIAN_FRONTEND", "noninteractive"))
        .with_context(|| format!("installing {name}; by hand: {by_hand}"))
}

/// Whether a program is there.
pub(crate) fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
