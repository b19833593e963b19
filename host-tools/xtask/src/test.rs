//! `cargo xtask test`: everything that continuous integration runs.

use crate::msrv;
use anyhow::{Context, Result, bail};
use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::Instant;
use xtask::boards::{Board, NAMES};
use xtask::command::{cargo, cargo_embedded, complete, shown};
use xtask::counts::{TARGETS, measure, record};
use xtask::model::{Files, named};
use xtask::{firmware, nvrtc, paths, setup};

/// Runs the steps in order; stops at the first that fails.
pub fn run() -> Result<()> {
    let start = Instant::now();
    step("set-up", || {
        setup::everything()?;
        setup::browser()
    })?;
    step("format", format)?;
    step("oldest compilers", || {
        msrv::check(&paths::root())?;
        msrv::check(&paths::firmware())
    })?;
    step("clippy, host", || {
        complete(cargo().args([
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    // Tests too: they must not need the tokenizers either.
    step("clippy, training without tokenizers", || {
        complete(cargo().args([
            "clippy",
            "--package",
            "toeplite-train",
            "--no-default-features",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ]))
    })?;
    for (core, target, features) in [
        ("Cortex-M0", "thumbv6m-none-eabi", ""),
        ("Cortex-M0", "thumbv6m-none-eabi", "bench,fft,int4,profile"),
        (
            "Cortex-M4",
            "thumbv7em-none-eabihf",
            "bench,fft,int4,profile",
        ),
    ] {
        step(&format!("clippy, {core} {features}"), || {
            let mut clippy = cargo_embedded();
            clippy.current_dir(paths::root()).args([
                "clippy",
                "--package",
                "toeplite",
                "--package",
                "toeplite-audio",
                "--features",
                features,
            ]);
            complete(clippy.args(["--target", target, "--", "-D", "warnings"]))
        })?;
    }
    step("documentation", || {
        let mut doc = cargo();
        // The libraries that firmware and training link. Of toeplite-tools alone rustdoc takes
        // minutes, for the blanket impls of its linear algebra.
        doc.args([
            "doc",
            "--no-deps",
            "--quiet",
            "-p",
            "toeplite",
            "-p",
            "toeplite-audio",
            "-p",
            "toeplite-train",
            "--features",
            "toeplite/bench,toeplite/fft,toeplite/profile",
        ]);
        complete(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    let passed = step("tests, host and emulated boards", tests)?;
    step("instruction counts", counts)?;
    for board in [NAMES[0], NAMES[5]] {
        step(&format!("clippy, firmware for {board}"), || {
            clippy_firmware(board, &[])
        })?;
    }
    step("clippy, firmware with defmt", || {
        clippy_firmware(NAMES[0], &["defmt"])
    })?;
    println!("\nall steps done in {:.0} s", start.elapsed().as_secs_f64());
    println!("{passed} passed, 0 failed");
    Ok(())
}

/// Names a step, runs it, and says how long it took.
fn step<R>(name: &str, work: impl FnOnce() -> Result<R>) -> Result<R> {
    println!("\n== {name}");
    let start = Instant::now();
    let result = work().with_context(|| format!("step failed: {name}"))?;
    println!("== {name}: {:.0} s", start.elapsed().as_secs_f64());
    Ok(result)
}

fn format() -> Result<()> {
    complete(cargo().args(["fmt", "--all", "--check"]))?;
    complete(
        cargo()
            .current_dir(paths::firmware())
            .args(["fmt", "--all", "--check"]),
    )
}

/// Holds counts against the committed ones. The models are those of the tests.
fn counts() -> Result<()> {
    let blob = |target: &str, name: &str, contract: &str| {
        // for other cores the tests take the portable order, which is theirs
        let target = if target == "m4" { target } else { "portable" };
        let folder = paths::output().join("tests").join(target);
        Ok(Files::in_folder(&folder.join(named(name, contract))).blob)
    };
    let found = measure::bundled(&TARGETS.map(|(name, _)| name), blob)?;
    match record::compare(&record::read()?, &found)? {
        record::Verdict::Holds(rows) => println!("{rows} counts: none rose by more than 2%"),
        record::Verdict::OtherCompiler(message) => println!("{message}"),
    }
    Ok(())
}

/// Needs a model to compile with: that of the tests.
fn clippy_firmware(board: &str, features: &[&str]) -> Result<()> {
    let files = Files::in_folder(&paths::output().join("tests/portable/shakespeare-32x2"));
    let board = Board::named(board)?;
    let mut clippy = cargo_embedded();
    clippy
        .arg("--config")
        .arg(&board.config)
        .args(["clippy", "--release", "--workspace"]);
    let chosen: Vec<_> = [&[board.name.as_str()], features].concat();
    let chosen: Vec<_> = chosen
        .iter()
        .map(|feature| format!("text/{feature}"))
        .collect();
    let chosen = [chosen, vec!["bench/audio".into(), "bench/token".into()]]
        .concat()
        .join(",");
    clippy.args(["--no-default-features", "--features", &chosen]);
    firmware::with_model(&mut clippy, &files).args(["--", "-D", "warnings"]);
    complete(&mut clippy)
}

/// Runs all tests, shows cargo's output, and returns how many passed.
fn tests() -> Result<u64> {
    let mut command = cargo();
    command
        .env("TOEPLITE_XTASK", "1")
        .env("TOEPLITE_NVRTC", nvrtc::setup()?)
        .args(["test", "--workspace", "--no-fail-fast"])
        .stdout(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {}", shown(&command)))?;
    let output = child
        .stdout
        .take()
        .context("cargo's standard output is piped")?;
    let (mut passed, mut failed) = (0, 0);
    for line in BufReader::new(output).lines() {
        let line = line.context("reading cargo's output")?;
        println!("{line}");
        if line.starts_with("test result: ") {
            passed += count_before(&line, " passed");
            failed += count_before(&line, " failed");
        }
    }
    let status = child.wait().context("waiting for cargo test")?;
    if !status.success() {
        println!("{passed} passed, {failed} failed");
        bail!("{} failed ({status})", shown(&command));
    }
    Ok(passed)
}

/// The number that stands before `word` in a line of cargo's test results.
fn count_before(line: &str, word: &str) -> u64 {
    let before = line.split(word).next().unwrap_or_default();
    before
        .rsplit(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::count_before;

    #[test]
    fn counts_are_read_from_cargos_line() {
        let line = "test result: FAILED. 62 passed; 3 failed; 1 ignored; finished in 0.1s";
        assert_eq!(
            (count_before(line, " passed"), count_before(line, " failed")),
            (62, 3)
        );
    }
}
