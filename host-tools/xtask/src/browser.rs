//! A browser without a screen, for the pages that the tools write.

use crate::setup::answers;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use std::process::{Command, Stdio};

/// The Debian package to install where there is no browser.
pub const PACKAGE: &str = "chromium-headless-shell";

/// Programs that load pages without a screen, all of them Chromium.
const PROGRAMS: [&str; 3] = ["chromium-headless-shell", "chromium", "google-chrome"];

/// Seconds that a page may take, on a loaded machine.
const LIMIT: &str = "120";

/// What a browser made of a page.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The document, after its scripts have run.
    pub document: String,
    /// Lines that the browser's console shows: what failed to load, was refused or went wrong.
    pub console: Vec<String>,
}

/// The browser that is there.
pub fn program() -> Option<&'static str> {
    PROGRAMS.into_iter().find(|program| answers(program))
}

/// Loads the page in `file`.
///
/// # Errors
/// There is no browser, or it fails.
pub fn load(file: &Path) -> Result<Loaded> {
    let program = program().with_context(|| {
        format!(
            "Chromium is missing: `cargo xtask test` installs it, or install the package {PACKAGE}"
        )
    })?;
    let file = file.canonicalize().context("the page")?;
    let profile = tempfile::tempdir().context("a folder for the browser's profile")?;
    let output = Command::new("timeout")
        .args([LIMIT, program])
        // The sandbox does not run as root, and the page is ours.
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-dev-shm-usage", "--enable-logging=stderr"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .args(["--virtual-time-budget=10000", "--dump-dom"])
        .arg(format!("file://{}", file.display()))
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{program} failed ({}):\n{log}",
        output.status
    );
    Ok(Loaded {
        document: String::from_utf8_lossy(&output.stdout).into_owned(),
        console: log
            .lines()
            .filter(|line| line.contains(":CONSOLE"))
            .map(Into::into)
            .collect(),
    })
}
