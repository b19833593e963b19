//! Bidirectional checkpoints on the command line.
#![allow(missing_docs)]

use ndarray::{Array2, Array3, Axis, s};
use ndarray_npy::ReadNpyExt;
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::reference::Network;

/// Tokens of the windows here.
const WINDOW: usize = 48;

fn toeplite(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_toeplite"));
    command.args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = toeplite(&[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a command that must fail says.
fn refused(arguments: &[&str]) -> String {
    let output = toeplite(arguments);
    assert!(!output.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn bundled() -> PathBuf {
    let checkpoint = "../firmware-examples/checkpoints/shakespeare-32x2";
    Path::new(env!("CARGO_MANIFEST_DIR")).join(checkpoint)
}

/// The bundled checkpoint as a bidirectional one, in a folder of its own.
struct Masked {
    folder: TempDir,
    checkpoint: String,
    model: String,
}

impl Masked {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = folder.path().join("checkpoint");
        fs::create_dir(&checkpoint).unwrap();
        let weights = "model.safetensors";
        fs::copy(bundled().join(weights), checkpoint.join(weights)).unwrap();
        let config = fs::read_to_string(bundled().join("config.json")).unwrap();
        let masked = config
            .replace("\"causal\": true", "\"causal\": false")
            .replace("causal-lm", "masked-lm");
        assert_ne!(masked, config);
        fs::write(checkpoint.join("config.json"), masked).unwrap();
        let text = |path: PathBuf| path.to_str().unwrap().to_string();
        Self {
            checkpoint: text(checkpoint),
            model: text(folder.path().join("model.toep")),
            folder,
        }
    }

    /// With products by inducing points: as many as positions of the window, or fewer.
    fn interpolated(rank: usize) -> Self {
        let masked = Self::new();
        let folder = Path::new(&masked.checkpoint);
        let mut config: Value =
            serde_json::from_slice(&fs::read(folder.join("config.json")).unwrap()).unwrap();
        let toeplitz = &mut config["toeplitz"];
        for (key, value) in [
            ("kind", "ski".into()),
            ("rpe_input", "warp".into()),
            ("rank", rank.into()),
            ("taps", 5.into()),
            ("warp", 0.95.into()),
        ] {
            toeplitz[key] = value;
        }
        let layers = config["layers"].as_u64().unwrap();
        fs::write(folder.join("config.json"), config.to_string()).unwrap();
        let path = folder.join("model.safetensors");
        let bytes = fs::read(&path).unwrap();
        let stored = SafeTensors::deserialize(&bytes).unwrap();
        let taps: Vec<u8> = (0..96 * 5)
            .flat_map(|i| (0.2 * (i as f32).sin()).to_le_bytes())
            .collect();
        let short = |layer| {
            let view = TensorView::new(Dtype::F32, vec![96, 5], &taps).unwrap();
            (format!("layers.{layer}.token_mixer.toep.short"), view)
        };
        let all = stored.tensors().into_iter().chain((0..layers).map(short));
        let file = safetensors::serialize(all, None).unwrap();
        fs::write(&path, file).unwrap();
        masked
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_string()
    }

    fn convert<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["convert", &self.checkpoint, "-o", &self.model], more].concat()
    }
}

#[test]
fn both_directions_are_reported() {
    let masked = Masked::new();
    let (meta, kernel) = (masked.file("meta.rs"), masked.file("kernel.npy"));
    let printed = json(&masked.convert(&[
        "--window",
        "48",
        "--meta",
        &meta,
        "--emit-kernel",
        &kernel,
        "--lags",
        "100",
    ]));
    assert_eq!(printed["window"], WINDOW);
    let layers = printed["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        let mut forward = keys(layer);
        forward.retain(|key| key != "backward");
        let backward = &layer["backward"];
        assert_eq!(forward, keys(backward));
        for direction in [layer, backward] {
            assert!(direction["kernel_error"]["rms"].as_f64().unwrap() <= 2e-3);
            assert!(direction["bound"]["lags"].is_null(), "it decays for ever");
        }
    }
    let constants = fs::read_to_string(meta).unwrap();
    assert!(constants.contains("WINDOW: usize = 48;"), "{constants}");
    let memory = format!("MEMORY_BYTES: usize = {};", printed["memory_bytes"]);
    assert!(constants.contains(&memory), "{constants}");
    assert!(!constants.contains("PREFILL"), "{constants}");

    // the emitted kernels are the network's, on both sides
    let kernel = Array3::<f64>::read_npy(fs::File::open(kernel).unwrap()).unwrap();
    let checkpoint = Checkpoint::open(Path::new(&masked.checkpoint)).unwrap();
    let network = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
    assert_eq!(kernel.dim(), (2, 199, network.channels()));
    for (realised, layer) in kernel.axis_iter(Axis(0)).zip(network.layers()) {
        let trained = layer.toeplitz().kernel(-99..100, 512);
        for side in [s![..99, ..], s![99.., ..]] {
            let energy = |x: Array2<f64>| x.iter().map(|x| x * x).sum::<f64>();
            let trained = trained.slice(side);
            let difference = energy(&realised.slice(side) - &trained);
            assert!(difference < 1e-4 * energy(trained.to_owned()));
        }
    }

    let inspected = json(&["inspect", &masked.model]);
    assert_eq!(inspected["window"], WINDOW);
    assert_eq!(inspected["memory_bytes"], printed["memory_bytes"]);
    for (shown, layer) in inspected["layers"].as_array().unwrap().iter().zip(layers) {
        for key in ["taps", "order"] {
            assert_eq!(shown[key], layer[key]);
            assert_eq!(shown["backward"][key], layer["backward"][key]);
        }
    }
    let table = toeplite(&["inspect", &masked.model]).stdout;
    let table = String::from_utf8(table).unwrap();
    assert!(table.contains("1 backward"), "{table}");
}

/// Tokens in a file as `eval` reads it.
fn token_file(path: &str, tokens: &[u32]) {
    let bytes: Vec<u8> = tokens.iter().flat_map(|t| t.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::U32, vec![tokens.len()], &bytes).unwrap();
    let file = safetensors::serialize([("tokens", view)], None).unwrap();
    fs::write(path, file).unwrap();
}

fn logits(path: &str) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensor = file.tensor("logits").unwrap();
    assert_eq!(tensor.shape(), [WINDOW, 256]);
    let words = tensor.data().as_chunks::<4>().0.iter();
    words.map(|word| f32::from_le_bytes(*word)).collect()
}

#[test]
fn models_are_evaluated_and_compared_by_their_logits() {
    let masked = Masked::new();
    json(&masked.convert(&["--window", "48", "--weights", "f32"]));
    let text = fs::read(bundled().join("val.txt")).unwrap();
    let (tokens, too_many) = (masked.file("tokens"), masked.file("too-many"));
    let bytes = |n: usize| text[..n].iter().map(|b| u32::from(*b)).collect::<Vec<_>>();
    token_file(&tokens, &bytes(WINDOW));
    token_file(&too_many, &bytes(WINDOW + 1));
    let out = masked.file("logits");
    let evaluated = |subject: &str| {
        json(&["eval", subject, "--tokens", &tokens, "--logits", &out]);
        logits(&out)
    };
    let pairs = evaluated(&masked.model)
        .into_iter()
        .zip(evaluated(&masked.checkpoint));
    let largest = pairs.fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(0.0 < largest && largest < 0.2, "{largest}");

    // all tokens are hidden, nine of ten of them behind others
    let some = masked.file("some");
    token_file(&some, &bytes(500));
    let all = ["--mask-token", "0", "--mask-probability", "1"];
    let compare = ["compare", &masked.checkpoint, &masked.model];
    let compared = json(&[&compare[..], &["--tokens", &some], &all].concat());
    let row = &compared["lengths"][0];
    assert_eq!(
        (&row["length"], &row["targets"]),
        (&WINDOW.into(), &500.into())
    );
    for form in ["recurrence", "blob"] {
        assert!(row["argmax_agreement"][form].as_f64().unwrap() > 0.97);
        assert!(row["divergence"][form].as_f64().unwrap() < 1e-3);
    }
    // f32 weights: the model is its recurrences
    let error = |form: &str| row["max_logit_error"][form].as_f64().unwrap();
    assert!((error("recurrence") - error("blob")).abs() < 1e-2);

    let said = refused(&[
        "eval",
        &masked.model,
        "--tokens",
        &too_many,
        "--logits",
        &out,
    ]);
    assert!(said.contains("--window 49"), "{said}");
    let said = refused(&["eval", &masked.model, "--tokens", &tokens]);
    assert!(said.contains("--logits"), "{said}");
    let said = refused(&["run", &masked.model]);
    assert!(
        said.contains("bidirectional") && said.contains("eval"),
        "{said}"
    );
    let long = ["--tokens", &tokens, "--length", "512"];
    let said = refused(&[&compare[..], &long, &all].concat());
    assert!(said.contains("--window 512"), "{said}");
}

/// A recurrence is the mean of what a network with inducing points does: nearer with more of them.
#[test]
fn products_by_inducing_points_become_their_mean() {
    let text = fs::read(bundled().join("val.txt")).unwrap();
    let divergence = |rank: usize| {
        let masked = Masked::interpolated(rank);
        json(&masked.convert(&["--window", "48", "--weights", "f32"]));
        let some = masked.file("some");
        let bytes: Vec<u32> = text[..480].iter().map(|b| u32::from(*b)).collect();
        token_file(&some, &bytes);
        let compared = json(&[
            "compare",
            &masked.checkpoint,
            &masked.model,
            "--tokens",
            &some,
            "--mask-token",
            "0",
            "--mask-probability",
            "1",
        ]);
        let row = &compared["lengths"][0];
        assert_eq!(row["length"], WINDOW);
        row["divergence"]["recurrence"].as_f64().unwrap()
    };
    let (coarse, fine) = (divergence(8), divergence(24));
    assert!(coarse < 0.05 && fine < coarse, "{coarse} {fine}");
}

#[test]
fn what_does_not_go_together_is_refused() {
    let masked = Masked::new();
    let said = refused(&masked.convert(&["--contract", "fixed"]));
    assert!(said.contains("backward recurrence"), "{said}");
    let said = refused(&masked.convert(&["--weights", "int4"]));
    assert!(said.contains("--calibrate"), "{said}");
    let said = refused(&masked.convert(&["--window", "0"]));
    assert!(said.contains("at least 1"), "{said}");
    assert!(!Path::new(&masked.model).exists());
    let text = bundled().join("val.txt");
    let text = text.to_str().unwrap();
    let more = ["--weights", "int4", "--calibrate", text, "--window", "16"];
    assert_eq!(json(&masked.convert(&more))["window"], 16);

    let causal = bundled();
    let arguments = ["convert", causal.to_str().unwrap(), "-o", &masked.model];
    let said = refused(&[&arguments[..], &["--window", "16"]].concat());
    assert!(
        said.contains("--window") && said.contains("causal"),
        "{said}"
    );
}
