//! The programs of tests that cargo builds, run one by one or side by side.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Seek};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use xtask::command::{cargo, shown};
use xtask::paths;

/// A program of tests.
#[derive(Debug, PartialEq)]
pub struct Program {
    /// Its source, from the repository's root.
    pub name: String,
    /// The file.
    path: PathBuf,
    /// Folder of its package, in which cargo would run it.
    folder: PathBuf,
}

impl Program {
    /// Runs all its tests as cargo would.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder);
        command
    }
}

/// Builds all tests of the workspace, and hands each program on as soon as there is one.
pub fn build(mut each: impl FnMut(Program)) -> Result<()> {
    let mut command = cargo();
    command.args(["test", "--workspace", "--no-run"]);
    command.arg("--message-format=json-render-diagnostics");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(&command)))?;
    let messages = child.stdout.take().context("standard output is piped")?;
    let mut ready = Ready::default();
    for line in BufReader::new(messages).lines() {
        let line = line.context("reading cargo's messages")?;
        let message = serde_json::from_str(&line).context("reading cargo's messages")?;
        ready.read(&message, &paths::root(), &mut each);
    }
    let status = child.wait().context("waiting for cargo")?;
    if !status.success() {
        bail!("{} failed ({status})", shown(&command));
    }
    Ok(())
}

/// Which programs can be run: cargo may link tests before the command of their package, which they start.
#[derive(Default)]
struct Ready {
    /// Packages whose command is there.
    commands: Vec<PathBuf>,
    waiting: Vec<Program>,
}

impl Ready {
    /// Hands on what can be run after `message`.
    fn read(&mut self, message: &Value, root: &Path, each: &mut impl FnMut(Program)) {
        if let Some(program) = program(message, root) {
            let is_integration = message["target"]["kind"] == serde_json::json!(["test"]);
            let has_command = program.folder.join("src/main.rs").is_file();
            match is_integration && has_command && !self.commands.contains(&program.folder) {
                true => self.waiting.push(program),
                false => each(program),
            }
        } else if let Some(folder) = command_of(message) {
            let (ready, waiting) = self.waiting.drain(..).partition(|p| p.folder == folder);
            self.waiting = waiting;
            let ready: Vec<Program> = ready;
            ready.into_iter().for_each(each);
            self.commands.push(folder);
        }
    }
}

/// The package whose command a message of cargo tells of.
fn command_of(message: &Value) -> Option<PathBuf> {
    let is_command = message["reason"] == "compiler-artifact"
        && message["target"]["kind"] == serde_json::json!(["bin"])
        && message["executable"].is_string();
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
    is_command.then(|| folder.into())
}

/// The program that a message of cargo tells of, if it is of tests.
fn program(message: &Value, root: &Path) -> Option<Program> {
    if message["reason"] != "compiler-artifact" || message["profile"]["test"] != true {
        return None;
    }
    let source = Path::new(message["target"]["src_path"].as_str()?);
    let name = source.strip_prefix(root).unwrap_or(source);
    Some(Program {
        name: name.display().to_string(),
        path: message["executable"].as_str()?.into(),
        folder: Path::new(message["manifest_path"].as_str()?)
            .parent()?
            .into(),
    })
}

/// What a command did.
pub struct Outcome {
    /// What it wrote, to standard output and standard error.
    pub text: String,
    /// How it ended.
    pub status: ExitStatus,
    /// How long it took.
    pub time: Duration,
}

impl Outcome {
    /// Numbers of tests that passed and that failed.
    pub fn counts(&self) -> (u64, u64) {
        let results = self.text.lines().filter(|l| l.starts_with("test result: "));
        results.fold((0, 0), |(passed, failed), line| {
            (
                passed + count_before(line, " passed"),
                failed + count_before(line, " failed"),
            )
        })
    }
}

/// Runs to the end, without showing anything: what two say at a time could not be read.
pub fn run(command: &mut Command) -> Result<Outcome> {
    let start = Instant::now();
    let mut output = tempfile::tempfile().context("a file for a program's output")?;
    let status = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?)
        .status()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let mut bytes = Vec::new();
    output.rewind()?;
    output.read_to_end(&mut bytes)?;
    Ok(Outcome {
        text: String::from_utf8_lossy(&bytes).into_owned(),
        status,
        time: start.elapsed(),
    })
}

/// The number that stands before `word` in a line of a test program's result.
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
    use super::*;
    use serde_json::json;

    #[test]
    fn programs_of_tests_are_told_from_other_artifacts() {
        let mut message = json!({
            "reason": "compiler-artifact",
            "manifest_path": "/root/tests/Cargo.toml",
            "target": { "src_path": "/root/tests/tests/firmware.rs" },
            "profile": { "test": true },
            "executable": "/root/target/debug/deps/firmware-12",
        });
        let expected = Program {
            name: "tests/tests/firmware.rs".into(),
            path: "/root/target/debug/deps/firmware-12".into(),
            folder: "/root/tests".into(),
        };
        assert_eq!(program(&message, Path::new("/root")), Some(expected));
        message["profile"]["test"] = json!(false);
        assert_eq!(program(&message, Path::new("/root")), None);
        let end = json!({ "reason": "build-finished", "success": true });
        assert_eq!(program(&end, Path::new("/root")), None);
    }

    #[test]
    fn tests_of_a_command_wait_for_it() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir_all(root.join("tools/src")).unwrap();
        std::fs::write(root.join("tools/src/main.rs"), "").unwrap();
        let message = |package: &str, kind: &str, test: bool| {
            let source = format!("{package}/{kind}.rs");
            json!({
                "reason": "compiler-artifact",
                "manifest_path": root.join(package).join("Cargo.toml"),
                "target": { "src_path": root.join(source), "kind": [kind] },
                "profile": { "test": test },
                "executable": root.join("x"),
            })
        };
        let mut ready = Ready::default();
        let mut names = |message: &Value| {
            let mut names = Vec::new();
            ready.read(message, root, &mut |program| names.push(program.name));
            names
        };
        assert!(names(&message("tools", "test", true)).is_empty());
        assert_eq!(names(&message("tools", "lib", true)), ["tools/lib.rs"]);
        assert_eq!(names(&message("tests", "test", true)), ["tests/test.rs"]);
        assert!(names(&message("other", "bin", false)).is_empty());
        assert_eq!(names(&message("tools", "bin", false)), ["tools/test.rs"]);
        assert_eq!(names(&message("tools", "test", true)), ["tools/test.rs"]);
    }

    #[test]
    fn both_streams_are_kept_and_results_are_counted() {
        let line = "test result: FAILED. 62 passed; 3 failed; 1 ignored; finished in 0.1s";
        let script = format!("echo '{line}'; echo problem >&2; echo '{line}'; exit 3");
        let outcome = run(Command::new("sh").args(["-c", &script])).unwrap();
        assert_eq!(outcome.status.code(), Some(3));
        assert_eq!(outcome.text, format!("{line}\nproblem\n{line}\n"));
        assert_eq!(outcome.counts(), (124, 6));
    }
}
