//! Runs that are interrupted and gone on with.

use super::{Place, exists};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    dim = 16
    [data]
    kind = "text-bytes"
    train = "train.txt"
    valid = "valid.txt"
    [train]
    steps = 12
    batch = 4
    micro_batches = 2
    length = 24
    dropout = 0.1
    log_every = 3
    seed = 7
    device = "cpu"
    [optimiser]
    rate = 1e-2
    [schedule]
    kind = "constant"
    warmup = 4
    [evaluation]
    every = 6
    [checkpoints]
    every = 4
"#;

fn place() -> Place {
    let place = Place::new();
    let text = "to be, or not to be, that is the question: ".repeat(40);
    place.write("train.txt", &text);
    place.write("valid.txt", &text[..300]);
    place.write("run.toml", RUN);
    place
}

#[test]
fn resume_that_fails_leaves_the_run_as_it_was() {
    let place = place();
    let frozen = |place: &Place| fs::read_to_string(place.path("run/run.toml")).unwrap();
    place.succeed(&[
        "train",
        "--config",
        "run.toml",
        "--set=train.steps=2",
        "--json",
    ]);
    let before = frozen(&place);
    for (arguments, expected) in [
        (["--set", "data.train=/nope"], "/nope"),
        (["--set", "train.device=cuda:99"], "cuda"),
        (["--device", "cuda:99"], "cuda"),
    ] {
        let resume = ["train", "--resume", "run", "--set", "train.steps=4"];
        let error = place.fail(&[&resume[..], &arguments].concat());
        assert!(error.to_lowercase().contains(expected), "{error}");
        assert_eq!(frozen(&place), before);
        place.succeed(&["train", "--resume", "run", "--json"]);
    }
    // What works is kept, but for the device, which is the command's.
    let resume = ["train", "--resume", "run", "--json"];
    place.succeed(&[&resume[..], &["--set=train.steps=3", "--device=auto"]].concat());
    assert_eq!(frozen(&place), before.replace("steps = 2", "steps = 3"));
    assert!(exists(&place.path("run/checkpoint-3")));
}

/// The parameters and what the optimiser keeps, without the header, which has times in it.
fn tensors(run: &Path, step: u64) -> (Vec<u8>, Vec<u8>) {
    let folder = run.join(format!("checkpoint-{step}"));
    let training = fs::read(folder.join("training.safetensors")).unwrap();
    let header = u64::from_le_bytes(training[..8].try_into().unwrap()) as usize;
    let parameters = fs::read(folder.join("model.safetensors")).unwrap();
    (parameters, training[8 + header..].to_vec())
}

/// The metrics without times and what depends on them.
fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let line = |line: &str| {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let map = line.as_object_mut().unwrap();
        for changing in ["seconds", "tokens_per_second", "utilisation", "peak_bytes"] {
            map.remove(changing);
        }
        line
    };
    text.lines().map(line).collect()
}

/// `one` was trained in one go; `other` was interrupted and gone on with.
fn assert_same_bits(place: &Place, steps: u64, lines: usize) {
    let [one, other] = ["one", "other"].map(|run| place.path(run));
    assert_eq!(metrics(&one).len(), lines);
    assert_eq!(metrics(&one), metrics(&other));
    assert!(tensors(&one, steps) == tensors(&other, steps), "other bits");
    let best = |run: &Path| fs::read_link(run.join("best")).unwrap();
    assert_eq!(best(&one), best(&other));
}

#[test]
fn longer_run_has_the_bits_of_one_that_was_as_long_from_the_start() {
    let place = place();
    let new = ["train", "--config", "run.toml", "--json", "--out"];
    place.succeed(&[&new[..], &["one"]].concat());
    place.succeed(&[&new[..], &["other", "--set=train.steps=6"]].concat());
    let resume = ["train", "--resume", "other", "--json"];
    place.succeed(&[&resume[..], &["--set=train.steps=12"]].concat());
    assert_same_bits(&place, 12, 4 + 2);
}

#[cfg(unix)]
#[test]
fn interrupted_run_has_the_bits_of_one_that_was_not() {
    let place = place();
    // Long enough to be interrupted, at whichever step: it need not be one with a line of the metrics.
    let steps = "--set=train.steps=240";
    let new = ["train", "--config", "run.toml", "--json", steps, "--out"];
    place.succeed(&[&new[..], &["one"]].concat());
    let child = Command::new(env!("CARGO_BIN_EXE_toeplite-train"))
        .current_dir(place.folder.path())
        .args([&new[..], &["other"]].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begin = Instant::now();
    while !exists(&place.path("other/checkpoint-4")) {
        assert!(begin.elapsed() < Duration::from_secs(120), "no checkpoint");
        sleep(Duration::from_millis(2));
    }
    let pid = child.id().to_string();
    let kill = Command::new("kill").args(["-s", "INT", &pid]).status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let outcome: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(outcome["finished"], false, "{outcome}");
    place.succeed(&["train", "--resume", "other", "--json"]);
    assert_same_bits(&place, 240, 80 + 40);
}
