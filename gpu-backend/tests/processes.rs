//! Several processes that train one network, on the CPU; on the first four GPUs where
//! TOEPLITE_TEST_CUDA is 1.
#![cfg(target_os = "linux")]

use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Far longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(120);

const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    [data]
    kind = "text-bytes"
    train = "train.txt"
    valid = "valid.txt"
    [train]
    steps = 12
    batch = 8
    length = 32
    dropout = 0.1
    log_every = 1
    seed = 3
    device = "DEVICE"
    precision = "f32"
    [schedule]
    warmup = 2
    [evaluation]
    every = 6
    max_targets = 300
    [checkpoints]
    every = 4
"#;

/// A bidirectional network that predicts hidden tokens: processes have different numbers of targets.
const MASKED: [&str; 5] = [
    "model.task=masked-lm",
    "model.causal=false",
    "model.vocab_size=257",
    "data.mask_token=256",
    "data.mask_probability=0.05",
];

fn device() -> &'static str {
    match std::env::var("TOEPLITE_TEST_CUDA") {
        Ok(on) if on == "1" => "cuda",
        _ => "cpu",
    }
}

/// A folder with a configuration and its data.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let words = ["to", "be", "or", "not", "that", "is", "the", "question"];
    let text: Vec<&str> = (0..3000u64)
        .map(|i| words[(i * i * 7 + i / 3) as usize % words.len()])
        .collect();
    let text = text.join(" ");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("train.txt", &text);
    write("valid.txt", &text[..1000]);
    write("run.toml", &RUN.replace("DEVICE", device()));
    folder
}

/// `toeplite-train train` with `arguments` after it.
fn train(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toeplite-train"));
    command.current_dir(folder).arg("train").args(arguments);
    command
}

/// A new run in `RUN` with so many processes and micro-batches, and these values replaced.
fn create(folder: &Path, run: &str, processes: &str, micro: &str, set: &[&str]) -> Command {
    let micro = format!("train.micro_batches={micro}");
    let mut command = train(folder, &["--config", "run.toml", "--out", run]);
    command.args(["--processes", processes, "--set", &micro]);
    set.iter().for_each(|value| {
        command.args(["--set", value]);
    });
    command
}

fn done(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    output
}

/// The metrics' lines by name of their numbers.
fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    let whole = text.lines().filter_map(|l| serde_json::from_str(l).ok());
    whole.collect()
}

/// Both runs measured the same, to rounding.
fn assert_same(one: &Path, other: &Path) {
    let (one, other) = (metrics(one), metrics(other));
    assert_eq!(one.len(), 12 + 2);
    assert_eq!(one.len(), other.len());
    for (a, b) in one.iter().zip(&other) {
        for exact in ["kind", "step", "rate", "tokens"] {
            assert_eq!(a[exact], b[exact]);
        }
        for (key, tolerance) in [("loss", 1e-5), ("gradient_norm", 1e-4), ("accuracy", 0.01)] {
            let (Some(x), Some(y)) = (a[key].as_f64(), b[key].as_f64()) else {
                assert_eq!(a[key], b[key]);
                continue;
            };
            assert!((x - y).abs() <= tolerance * x.abs(), "{key}: {a} {b}");
        }
    }
}

/// Two processes with M micro-batches, and one with 2 M.
fn compare(set: &[&str]) {
    let folder = folder();
    let folder = folder.path();
    done(create(folder, "one", "1", "4", set));
    done(create(folder, "two", "2", "2", set));
    assert_same(&folder.join("one"), &folder.join("two"));
}

#[test]
fn two_processes_compute_what_one_does() {
    compare(&[]);
}

#[test]
fn targets_that_do_not_count_are_shared_unevenly() {
    compare(&MASKED);
}

#[test]
fn a_run_goes_on_with_another_number_of_processes() {
    let folder = folder();
    let folder = folder.path();
    // Without what depends on the size of the portions or on the number of steps.
    let set = [
        "train.dropout=0",
        "schedule.kind=constant",
        "evaluation.max_targets=0",
    ];
    done(create(folder, "one", "1", "2", &set));
    let first: Vec<&str> = set.into_iter().chain(["train.steps=4"]).collect();
    done(create(folder, "many", "4", "2", &first));
    for (processes, steps) in [("1", "train.steps=6"), ("2", "train.steps=12")] {
        let resume = ["--resume", "many", "--processes", processes, "--set", steps];
        done(train(folder, &resume));
    }
    // The evaluation after step 4 is one that the other run does not have.
    let many = folder.join("many");
    let lines = metrics(&many).into_iter();
    let lines = lines.filter(|l| l["kind"] != "evaluation" || l["step"] != 4);
    let text: String = lines.map(|l| format!("{l}\n")).collect();
    fs::write(many.join("metrics.jsonl"), text).unwrap();
    assert_same(&folder.join("one"), &many);
}

/// The processes that `pid` has started.
fn workers(pid: u32) -> Vec<u32> {
    let parent = |process: u32| {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        let (_, rest) = stat.rsplit_once(')')?;
        rest.split_whitespace().nth(1)?.parse::<u32>().ok()
    };
    let entries = fs::read_dir("/proc").unwrap();
    let processes = entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok());
    processes.filter(|p| parent(*p) == Some(pid)).collect()
}

/// Whether a process runs; one that has ended and that nobody has asked about does not.
fn runs(process: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"));
    stat.is_ok_and(|stat| !stat.contains(") Z "))
}

fn signal(process: u32, name: &str) {
    let mut kill = Command::new("kill");
    kill.args(["-s", name, &process.to_string()]);
    assert!(kill.status().unwrap().success());
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < PATIENCE, "{what} does not happen");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A run without end with two processes, that has written a checkpoint.
struct Endless {
    folder: tempfile::TempDir,
    child: Child,
    worker: u32,
}

impl Endless {
    fn start() -> Self {
        let folder = folder();
        let mut command = create(folder.path(), "run", "2", "1", &["train.steps=1000000"]);
        let child = command.stderr(Stdio::piped()).spawn().unwrap();
        let saved = folder.path().join("run/checkpoint-4");
        wait_until("a checkpoint", || saved.exists());
        let workers = workers(child.id());
        assert_eq!(workers.len(), 1);
        Self {
            folder,
            child,
            worker: workers[0],
        }
    }

    /// How the first process ended and its last words, once the worker has ended too; one process can
    /// go on with the run.
    fn end(self) -> (ExitStatus, String) {
        let output = self.child.wait_with_output().unwrap();
        wait_until("the worker's end", || !runs(self.worker));
        let folder = self.folder.path();
        let steps = fs::read_dir(folder.join("run")).unwrap().filter_map(|e| {
            let name = e.unwrap().file_name().into_string().unwrap();
            name.strip_prefix("checkpoint-")?.parse::<u64>().ok()
        });
        let next = format!("train.steps={}", steps.max().unwrap() + 1);
        done(train(folder, &["--resume", "run", "--set", &next]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status, said)
    }
}

#[test]
fn a_worker_that_dies_ends_the_run_with_its_name() {
    let endless = Endless::start();
    signal(endless.worker, "KILL");
    let (status, said) = endless.end();
    assert_eq!(status.code(), Some(1), "{said}");
    let error = said.lines().last().unwrap();
    for part in ["error:", device(), "(number 1)", "SIGKILL", "--resume"] {
        assert!(error.contains(part), "{part} is not in: {error}");
    }
}

#[test]
fn workers_end_with_the_first_process() {
    let endless = Endless::start();
    signal(endless.child.id(), "KILL");
    let (status, said) = endless.end();
    assert_eq!(status.code(), None, "{said}");
}

#[test]
fn a_signal_to_all_processes_ends_the_run_with_a_checkpoint() {
    let endless = Endless::start();
    // As a terminal, or a machine that is shut down, would.
    signal(endless.worker, "INT");
    signal(endless.worker, "TERM");
    signal(endless.child.id(), "INT");
    let (status, said) = endless.end();
    assert!(status.success() && said.contains("stopping"), "{said}");
}

#[test]
fn what_a_worker_says_is_told() {
    let folder = folder();
    // It reads the checkpoint by itself, and finds it damaged; so does the first process.
    done(create(folder.path(), "run", "2", "1", &["train.steps=4"]));
    let checkpoint = folder.path().join("run/checkpoint-4/model.safetensors");
    let bytes = fs::read(&checkpoint).unwrap();
    fs::write(&checkpoint, &bytes[..bytes.len() / 2]).unwrap();
    let resume = [
        "--resume",
        "run",
        "--processes",
        "2",
        "--set",
        "train.steps=5",
    ];
    let output = train(folder.path(), &resume).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("model.safetensors"), "{said}");
}

#[test]
fn steps_that_cannot_be_shared_are_refused() {
    let folder = folder();
    let mut command = create(folder.path(), "run", "3", "2", &[]);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("must be a multiple of 6"), "{said}");
    assert!(!folder.path().join("run").exists());
}

#[test]
fn workers_are_not_started_by_hand() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toeplite-train"));
    let output = command.arg("worker").stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--processes"), "{said}");
}

#[test]
fn processes_are_timed_together() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toeplite-train"));
    command.args([
        "bench",
        "--preset",
        "shakespeare-32x2",
        "--device",
        device(),
    ]);
    command.args(["--length", "32", "--tokens", "128", "--micro-batches", "2"]);
    let command = command.args(["--processes", "2", "--steps", "2", "--json"]);
    let output = command.output().unwrap();
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(figures["tokens"], 128);
    assert_eq!(figures["processes"], 2);
    assert!(figures["device"].as_str().unwrap().starts_with("2 x "));
}
