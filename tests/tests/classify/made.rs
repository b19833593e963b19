//! Classifiers with clips of their own, and the `toeplite` command.

use super::{FRAME, classifier};
use ndarray::ArrayView2;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use toeplite_tests::{Noise, checkpoint};
use toeplite_tools::checkpoint::config::{Activation, Config, Pooling, RpeInput, ToeplitzKind};
use toeplite_tools::reference::mix::Padded;
use toeplite_tools::reference::{Input, Network};

/// Runs the `toeplite` command.
pub fn toeplite(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"))
        .args(arguments)
        .output()
        .unwrap()
}

pub fn json(arguments: &[&str]) -> Value {
    let out = toeplite(arguments);
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {error}");
    serde_json::from_slice(&out.stdout).unwrap()
}

pub fn error(arguments: &[&str]) -> String {
    let out = toeplite(arguments);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success(), "{arguments:?}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// A checkpoint in a folder of its own, with clips whose labels are its own answers.
pub struct Made {
    folder: TempDir,
    /// `[clips, classes]`, of the reference in f64.
    pub logits: Vec<Vec<f64>>,
}

impl Made {
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Of every clip the class with the largest logit.
    pub fn answers(&self) -> Vec<i32> {
        let answer = |logits: &Vec<f64>| {
            let largest = logits.iter().copied().fold(f64::MIN, f64::max);
            logits.iter().position(|logit| *logit == largest).unwrap() as i32
        };
        self.logits.iter().map(answer).collect()
    }

    /// Converts with some options; what is printed.
    pub fn convert(&self, options: &[&str]) -> Value {
        let (checkpoint, model) = (self.path("checkpoint"), self.path("model.toep"));
        let arguments = ["convert", &checkpoint, "-o", &model, "--json"];
        json(&[&arguments, options].concat())
    }

    /// Compares the model on the clips.
    pub fn compare(&self) -> Value {
        let names = ["checkpoint", "model.toep", "clips.safetensors"];
        let [checkpoint, model, clips] = names.map(|name| self.path(name));
        json(&["compare", &checkpoint, &model, "--clips", &clips, "--json"])
    }
}

pub const CLIPS: usize = 40;

fn i32s(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn tensor_file(path: &str, tensors: &[(&str, Dtype, &[usize], &[u8])]) {
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        let view = TensorView::new(*dtype, shape.to_vec(), data).unwrap();
        (*name, view)
    });
    std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
}

/// A classifier that knows its own clips.
pub fn made(config: Config) -> Made {
    let checkpoint = checkpoint(config, 12);
    let frame_dim = checkpoint.config.frame_dim();
    let mut noise = Noise::new(5);
    let network = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
    let mix = Padded::new(network.trained_mix(), checkpoint.config.train_len);
    let length = checkpoint.config.train_len;
    let mut made = Made {
        folder: tempfile::tempdir().unwrap(),
        logits: Vec::new(),
    };
    let path = made.path("clips.safetensors");
    if let Some(frame) = frame_dim {
        let count = CLIPS * length * frame;
        let values: Vec<f32> = (0..count).map(|_| noise.draw() as f32).collect();
        for clip in values.chunks_exact(length * frame) {
            let clip = ArrayView2::from_shape((length, frame), clip).unwrap();
            let logits = network.classify(Input::Frames(clip), &mix).unwrap();
            made.logits.push(logits.to_vec());
        }
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        let labels = i32s(&made.answers());
        let shape = [CLIPS, length, frame];
        let features = ("features", Dtype::F32, &shape[..], &bytes[..]);
        let labels = ("labels", Dtype::I32, &[CLIPS][..], &labels[..]);
        tensor_file(&path, &[features, labels]);
    } else {
        let mut lengths = Vec::new();
        let mut bytes = Vec::new();
        for clip in 0..CLIPS {
            let own = 1 + (clip * 5) % length;
            let tokens: Vec<u32> = (0..own)
                .map(|_| (noise.draw().abs() * 11.0) as u32)
                .collect();
            let logits = network.classify(Input::Tokens(&tokens), &mix).unwrap();
            made.logits.push(logits.to_vec());
            lengths.push(own as i32);
            bytes.extend(tokens.iter().map(|token| *token as u8));
            bytes.resize((clip + 1) * length, 0);
        }
        let (labels, lengths) = (i32s(&made.answers()), i32s(&lengths));
        let tensors: [(&str, Dtype, &[usize], &[u8]); 3] = [
            ("tokens", Dtype::U8, &[CLIPS, length], &bytes),
            ("lengths", Dtype::I32, &[CLIPS], &lengths),
            ("labels", Dtype::I32, &[CLIPS], &labels),
        ];
        tensor_file(&path, &tensors);
    }
    checkpoint
        .save(Path::new(&made.path("checkpoint")))
        .unwrap();
    made
}

/// What is streamed, with the operator in time or in frequency.
pub fn streamed() -> [(&'static str, Config); 2] {
    let mut response = classifier(Pooling::Last, Some(FRAME));
    let toeplitz = &mut response.toeplitz;
    (toeplitz.kind, toeplitz.rpe_input) = (ToeplitzKind::Fd, RpeInput::Cosine);
    (toeplitz.decay, toeplitz.rpe_act) = (false, Activation::Silu);
    [
        ("tokens", classifier(Pooling::Mean, None)),
        ("frames", response),
    ]
}

/// What runs over a window: of tokens, and of frames.
pub fn windowed() -> [(&'static str, Config); 2] {
    let two_sided = |mut config: Config| {
        config.causal = false;
        config.toeplitz.bins = config.toeplitz.bins.or(Some(8));
        config
    };
    let [(_, mut tokens), (_, frames)] = streamed().map(|(name, config)| (name, two_sided(config)));
    tokens.toeplitz.bins = None;
    [("tokens, two-sided", tokens), ("frames, two-sided", frames)]
}

pub fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}
