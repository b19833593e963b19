//! The command as users run it: training, evaluation and sampling on the CPU, each kind of data.

mod classifiers;
mod features;
mod keywords;
mod masked;
mod resume;
mod tasks;
#[cfg(feature = "tokenizer")]
mod tokenizer;
mod windows;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder with a run's files, and the command in it.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        fs::write(self.path(name), contents).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_toeplite-train"))
            .current_dir(self.folder.path())
            .env("TOEPLITE_CACHE", self.path("cache"))
            .args(arguments)
            .output()
            .unwrap()
    }

    /// What it prints.
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What it says is wrong.
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    /// Results of an evaluation on the CPU.
    fn evaluate(&self, checkpoint: &str, data: &str, more: &[&str]) -> Vec<Value> {
        let arguments = ["eval", checkpoint, "--data", data, "--device=cpu", "--json"];
        let text = self.succeed(&[&arguments, more].concat());
        let line = |l: &str| serde_json::from_str(l).unwrap();
        text.lines().map(line).collect()
    }

    /// The last evaluation in a run's metrics.
    fn validation(&self, run: &str) -> Value {
        let text = fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap();
        let mut lines = text.lines().map(|l| serde_json::from_str(l).unwrap());
        let evaluation = lines.rfind(|l: &Value| l["kind"] == "evaluation");
        evaluation.unwrap()
    }

    /// Copies a checkpoint to where nothing says what it was trained on.
    fn copy_bare(&self, from: &str, to: &str) {
        let to = self.path(to);
        fs::create_dir_all(&to).unwrap();
        for file in ["config.json", "model.safetensors"] {
            fs::copy(self.path(from).join(file), to.join(file)).unwrap();
        }
    }
}

/// Same loss, same accuracy, of as many targets.
fn assert_same(a: &Value, b: &Value) {
    let near = |key: &str| (a[key].as_f64().unwrap() - b[key].as_f64().unwrap()).abs() < 1e-6;
    assert!(near("loss") && near("accuracy"), "{a} is not {b}");
    assert_eq!(a["tokens"], b["tokens"]);
}

fn exists(path: &Path) -> bool {
    path.try_exists().unwrap()
}

/// A command that fails for want of a device leaves nothing in the way of the one that is right.
#[test]
fn runs_that_cannot_begin_leave_no_folder() {
    let place = Place::new();
    place.write("text.txt", "all the world's a stage, ".repeat(20));
    place.write(
        "run.toml",
        "[model]\npreset = \"shakespeare-32x2\"\n[data]\nkind = \"text-bytes\"\ntrain = \"text.txt\"\n\
         [train]\nsteps = 2\nbatch = 2\nlength = 16\n",
    );
    let train = |more: &[&str]| {
        let mut arguments = vec!["train", "--config", "run.toml", "--out", "run"];
        arguments.extend(more);
        place.command(&arguments)
    };
    assert!(!train(&["--device", "cuda:99"]).status.success());
    assert!(!place.path("run").exists());
    assert!(train(&["--device", "cpu"]).status.success());
    let shorter = place.command(&["train", "--resume", "run", "--set", "train.steps=1"]);
    let said = String::from_utf8_lossy(&shorter.stderr);
    assert!(
        !shorter.status.success() && said.contains("has done 2 steps"),
        "{said}"
    );
    let frozen = fs::read_to_string(place.path("run/run.toml")).unwrap();
    assert!(frozen.contains("steps = 2"));
}
