//! `cargo xtask test`: everything that continuous integration runs.

mod programs;
mod queue;
mod results;

use crate::msrv;
use anyhow::{Context, Result, anyhow, ensure};
use queue::Queue;
use results::Results;
use std::process::Command;
use std::time::Instant;
use xtask::boards::{Board, NAMES};
use xtask::command::{cargo, cargo_embedded, complete};
use xtask::counts::{TARGETS, measure, record};
use xtask::model::{Files, named};
use xtask::{firmware, hardware, nvrtc, paths};

/// Runs the steps in order; stops at the first that fails.
pub fn run() -> Result<()> {
    let start = Instant::now();
    // Downloads, and compiles on one core at times. The host's own steps need nothing of it.
    let setting_up = std::thread::spawn(|| {
        let mut setup = Command::new(std::env::current_exe()?);
        programs::run(setup.args(["setup", "--tests"]))
    });
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
            "toeplite-sensor",
            "-p",
            "toeplite-train",
            "--features",
            "toeplite/bench,toeplite/fft,toeplite/profile",
        ]);
        complete(doc.env("RUSTDOCFLAGS", "-D warnings"))
    })?;
    step("set-up, until it ends", || {
        let ended = setting_up.join().map_err(|_| anyhow!("set-up panicked"))?;
        let ended = ended.context("starting the set-up")?;
        print!("{}", ended.text);
        println!("set-up took {:.0} s in all", ended.time.as_secs_f64());
        ensure!(ended.status.success(), "`cargo xtask setup --tests` failed");
        Ok(())
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
                "--package",
                "toeplite-sensor",
                "--features",
                features,
            ]);
            complete(clippy.args(["--target", target, "--", "-D", "warnings"]))
        })?;
    }
    let passed = step("tests, host and emulated boards", tests)?;
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
    for workspace in [paths::firmware(), hardware::folder()] {
        let mut format = cargo();
        format.current_dir(workspace);
        complete(format.args(["fmt", "--all", "--check"]))?;
    }
    Ok(())
}

/// Holds counts against the committed ones, and says so. The models are those of the tests.
fn counts() -> Result<String> {
    let blob = |target: &str, name: &str, contract: &str| {
        // for other cores the tests take the portable order, which is theirs
        let target = if target == "m4" { target } else { "portable" };
        let folder = paths::output().join("tests").join(target);
        Ok(Files::in_folder(&folder.join(named(name, contract))).blob)
    };
    let found = measure::bundled(&TARGETS.map(|(name, _)| name), blob)?;
    Ok(match record::compare(&record::read()?, &found)? {
        record::Verdict::Holds(rows) => format!("{rows} counts: none rose by more than 2%\n"),
        record::Verdict::OtherCompiler(message) => message,
    })
}

/// Needs a model to compile with: that of the tests. Returns what clippy says.
fn clippy_firmware(board: &str, features: &[&str]) -> Result<String> {
    let files = Files::in_folder(&paths::output().join("tests/portable/shakespeare-32x2"));
    let board = Board::named(board)?;
    let mut clippy = cargo_embedded();
    clippy
        .arg("--config")
        .arg(&board.config)
        .args(["clippy", "--release", "--workspace"])
        .args(["--exclude", "keyword", "--exclude", "sensor"]);
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
    let outcome = programs::run(&mut clippy)?;
    ensure!(outcome.status.success(), "{}", outcome.text);
    Ok(outcome.text)
}

/// Examples of classifiers of frames need such a model: that of their tests.
fn clippy_classifier(package: &str) -> Result<String> {
    let board = Board::named(NAMES[0])?;
    let folder = paths::output().join("tests").join(package);
    let files = Files::in_folder(&folder.join(&board.name));
    let mut clippy = cargo_embedded();
    clippy
        .arg("--config")
        .arg(&board.config)
        .args(["clippy", "--release", "--package", package]);
    let features = match package {
        "keyword" => format!("{},partition", board.name),
        _ => board.name.clone(),
    };
    clippy.args(["--no-default-features", "--features", &features]);
    firmware::with_model(&mut clippy, &files).args(["--", "-D", "warnings"]);
    let outcome = programs::run(&mut clippy)?;
    ensure!(outcome.status.success(), "{}", outcome.text);
    Ok(outcome.text)
}

/// Tests that need what [`setup`] installs; what is to be done with their models comes after them.
const FIRMWARE: &str = "tests/tests/firmware.rs";

/// Tests of the examples of classifiers of frames, whose models their lints need, and their packages.
const CLASSIFIERS: [(&str, &str); 2] = [
    ("tests/tests/keyword.rs", "keyword"),
    ("tests/tests/sensor.rs", "sensor"),
];

/// Programs of tests that run long, by their sources, and about how many seconds: they begin first.
const LONG: [(&str, u32); 10] = [
    // and what comes after it
    (FIRMWARE, 200),
    ("tests/tests/hardware.rs", 90),
    ("tests/tests/partition.rs", 40),
    ("gpu-backend/tests/cuda/main.rs", 70),
    ("host-tools/src/lib.rs", 60),
    ("gpu-backend/src/lib.rs", 35),
    ("tests/tests/fixed.rs", 20),
    ("host-tools/tests/cli.rs", 15),
    ("host-tools/tests/certificate.rs", 15),
    ("tests/tests/conversion.rs", 10),
];

fn weight(program: &str) -> u32 {
    let found = LONG.into_iter().find(|(name, _)| *name == program);
    found.map_or(1, |(_, seconds)| seconds)
}

/// Builds and runs all tests and what needs their models, side by side; returns how many tests passed.
fn tests() -> Result<u64> {
    let nvrtc = nvrtc::setup()?;
    let results = Results::default();
    let queue = Queue::new();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    queue.work(cores, || {
        programs::build(|program| {
            let (results, nvrtc) = (&results, &nvrtc);
            queue.add(weight(&program.name), move |queue| {
                let mut command = program.command();
                command
                    .env("TOEPLITE_XTASK", "1")
                    .env("TOEPLITE_NVRTC", nvrtc);
                let passed = results.tests(&program.name, &mut command);
                let mut classifiers = CLASSIFIERS.into_iter();
                let tested = classifiers.find(|(tests, _)| *tests == program.name);
                if let Some((_, package)) = tested.filter(|_| passed) {
                    queue.add(1, move |_| {
                        let step = format!("clippy, {package} firmware");
                        results.step(&step, || clippy_classifier(package));
                    });
                }
                if passed && program.name == FIRMWARE {
                    queue.add(weight(FIRMWARE), |_| with_their_models(results));
                }
            });
        })?;
        queue.add(1, |_| {
            let mut command = cargo();
            command.args(["test", "--workspace", "--no-fail-fast", "--doc"]);
            results.tests("documentation's examples", &mut command);
        });
        anyhow::Ok(())
    })?;
    results.passed()
}

/// What compiles with the models that the tests of firmware have made, in the same folder as they did.
fn with_their_models(results: &Results) {
    results.step("instruction counts", counts);
    for (board, features) in [
        (NAMES[0], &[][..]),
        (NAMES[5], &["partition"]),
        (NAMES[0], &["defmt"]),
    ] {
        let name = ["clippy, firmware for", board].into_iter();
        let name: Vec<_> = name.chain(features.iter().copied()).collect();
        results.step(&name.join(" "), || clippy_firmware(board, features));
    }
}
