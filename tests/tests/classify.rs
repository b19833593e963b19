//! Classifiers on the host: the reference against the trainer, and the `toeplite` command on clips.
#![allow(missing_docs)]

use ndarray::{Array1, Array2, ArrayView2};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use toeplite_tests::{Noise, checkpoint, small_config};
use toeplite_tools::allocate::Sensitivity;
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::checkpoint::config::{
    Activation, ClassifierConfig, Config, Pooling, RpeInput, Task, ToeplitzKind,
};
use toeplite_tools::convert::Modal;
use toeplite_tools::quantize::MatrixName;
use toeplite_tools::quantize::calibrate::Sample;
use toeplite_tools::reference::evaluate::divergence;
use toeplite_tools::reference::mix::{DenseMix, Given, Padded};
use toeplite_tools::reference::{Input, Network, Real};
use toeplite_train::data::{Batch, Inputs};
use toeplite_train::device::{IGNORE, cpu::Cpu};

const CLASSES: usize = 5;
const FRAME: usize = 3;
const LENGTH: usize = 14;

/// Tokens of clips before their padding.
const OWN: [usize; 3] = [LENGTH, 4, 9];

fn classifier(pooling: Pooling, frame_dim: Option<usize>) -> Config {
    Config {
        task: Task::Classifier,
        classifier: Some(ClassifierConfig {
            classes: CLASSES,
            pooling,
            frame_dim,
        }),
        ..small_config()
    }
}

/// Every kind of operator, one- and two-sided; kernels that are the same at every length, and others.
fn operators(config: Config) -> Vec<(&'static str, Config)> {
    let with = |causal, kind, rpe_input| {
        let mut config = config.clone();
        config.causal = causal;
        let toeplitz = &mut config.toeplitz;
        (toeplitz.kind, toeplitz.rpe_input) = (kind, rpe_input);
        toeplitz.decay = kind != ToeplitzKind::Fd;
        // smooth, so that rounding cannot take a lag to the other side of a kink
        toeplitz.rpe_act = Activation::Silu;
        config
    };
    let (tno, fd) = (ToeplitzKind::Tno, ToeplitzKind::Fd);
    let mut binned = with(false, fd, RpeInput::Cosine);
    binned.toeplitz.bins = Some(8);
    let mut ski = with(false, ToeplitzKind::Ski, RpeInput::Warp);
    let options = &mut ski.toeplitz;
    (options.rank, options.taps, options.warp) = (Some(4), Some(3), Some(0.8));
    vec![
        ("causal", with(true, tno, RpeInput::Lag)),
        ("bidirectional", with(false, tno, RpeInput::Lag)),
        ("scaled", with(false, tno, RpeInput::Scaled)),
        ("causal response", with(true, fd, RpeInput::Omega)),
        ("response", with(false, fd, RpeInput::Omega)),
        ("binned response", binned),
        ("interpolation", ski),
    ]
}

/// Clips of different lengths, as tokens.
fn tokens(seed: u64) -> Vec<Vec<u32>> {
    let mut noise = Noise::new(seed);
    let mut token = || (noise.draw().abs() * 11.0) as u32;
    OWN.iter()
        .map(|own| (0..*own).map(|_| token()).collect())
        .collect()
}

/// The logits that the trainer gives in one batch, padded to [`LENGTH`].
fn trained(checkpoint: &Checkpoint, inputs: Inputs) -> Vec<f32> {
    let device = Cpu::new();
    let mut network =
        toeplite_train::network::Network::from_checkpoint(device, checkpoint).unwrap();
    let batch = Batch {
        sequences: OWN.len(),
        length: LENGTH,
        inputs,
        targets: vec![0; OWN.len()],
    };
    network.classify(&batch).unwrap()
}

/// The logits of the reference, clip by clip.
fn reference<T: Real>(checkpoint: &Checkpoint, clips: &[Input<'_>]) -> Vec<f64> {
    let network = Network::<T>::from_checkpoint(checkpoint).unwrap();
    assert_eq!(network.outputs(), CLASSES);
    let fft = Padded::new(network.trained_mix(), LENGTH);
    let dense = Padded::new(DenseMix::new(network.kernels()), LENGTH);
    let logits = |clip: &Input<'_>| {
        let logits: Array1<T> = network.classify(*clip, &fft).unwrap();
        if checkpoint.config.toeplitz.kind != ToeplitzKind::Ski {
            let plain = network.classify(*clip, &dense).unwrap();
            let pairs = logits.iter().zip(&plain);
            pairs.for_each(|(a, b)| assert!((a.wide() - b.wide()).abs() < 1e-4));
        }
        logits.mapv(|logit| logit.wide()).to_vec()
    };
    clips.iter().flat_map(logits).collect()
}

fn assert_near(name: &str, found: &[f64], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    for (a, b) in found.iter().zip(expected) {
        let error = (a - f64::from(*b)).abs();
        assert!(
            error < 2e-5 * f64::from(largest),
            "{name}: {found:?} {expected:?}"
        );
    }
}

#[test]
fn tokens_have_the_logits_of_the_trainer() {
    for pooling in [Pooling::Mean, Pooling::Last] {
        for (name, config) in operators(classifier(pooling, None)) {
            let checkpoint = checkpoint(config, 7);
            let clips = tokens(3);
            let padded = |clip: &Vec<u32>| {
                let mut clip = clip.clone();
                clip.resize(LENGTH, IGNORE);
                clip
            };
            let inputs = Inputs::Tokens(clips.iter().flat_map(padded).collect());
            let expected = trained(&checkpoint, inputs);
            let clips: Vec<Input<'_>> = clips.iter().map(|clip| Input::Tokens(clip)).collect();
            assert_near(name, &reference::<f64>(&checkpoint, &clips), &expected);
            assert_near(name, &reference::<f32>(&checkpoint, &clips), &expected);
        }
    }
}

#[test]
fn frames_have_the_logits_of_the_trainer() {
    for pooling in [Pooling::Mean, Pooling::Last] {
        for (name, config) in operators(classifier(pooling, Some(FRAME))) {
            let checkpoint = checkpoint(config, 8);
            let mut noise = Noise::new(4);
            let count = OWN.len() * LENGTH * FRAME;
            let values: Vec<f32> = (0..count).map(|_| noise.draw() as f32).collect();
            let clips = values.chunks_exact(LENGTH * FRAME);
            let frames = |clip| ArrayView2::from_shape((LENGTH, FRAME), clip).unwrap();
            let clips: Vec<Input<'_>> = clips.map(|clip| Input::Frames(frames(clip))).collect();
            let width = FRAME;
            let inputs = Inputs::Frames {
                width,
                values: values.clone(),
            };
            let expected = trained(&checkpoint, inputs);
            assert_near(name, &reference::<f64>(&checkpoint, &clips), &expected);
            assert_near(name, &reference::<f32>(&checkpoint, &clips), &expected);
        }
    }
}

#[test]
fn what_a_classifier_cannot_read_is_named() {
    let network = |config| Network::<f32>::from_checkpoint(&checkpoint(config, 1)).unwrap();
    let of_tokens = network(classifier(Pooling::Mean, None));
    let of_frames = network(classifier(Pooling::Mean, Some(FRAME)));
    let model = network(small_config());
    let text = |network: &Network<f32>, input| {
        let mix = network.trained_mix();
        network.classify(input, &mix).unwrap_err().to_string()
    };
    let frames = ndarray::Array2::zeros((2, 4));
    let frames = Input::Frames(frames.view());
    assert!(text(&of_tokens, frames).contains("reads tokens"));
    assert!(text(&of_tokens, Input::Tokens(&[])).contains("empty"));
    assert!(text(&of_tokens, Input::Tokens(&[3, 11])).contains("token 11 at position 1"));
    assert!(text(&of_frames, frames).contains("frames of 3 numbers, these have 4"));
    assert!(text(&of_frames, Input::Tokens(&[1])).contains("not tokens"));
    assert!(text(&model, Input::Tokens(&[1])).contains("language model"));
    for network in [&of_tokens, &of_frames] {
        let error = network.forward(&[1], &network.trained_mix()).unwrap_err();
        assert!(error.to_string().contains("is a classifier"), "{error}");
    }
    assert_eq!([of_tokens.vocab(), of_frames.vocab()], [11, 0]);
}

/// Runs the `toeplite` command.
fn toeplite(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"))
        .args(arguments)
        .output()
        .unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let out = toeplite(arguments);
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {error}");
    serde_json::from_slice(&out.stdout).unwrap()
}

fn error(arguments: &[&str]) -> String {
    let out = toeplite(arguments);
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(!out.status.success(), "{arguments:?}");
    assert!(!error.contains("panicked"), "{error}");
    error
}

/// A checkpoint in a folder of its own, with clips whose labels are its own answers.
struct Made {
    folder: TempDir,
    /// `[clips, classes]`, of the reference in f64.
    logits: Vec<Vec<f64>>,
}

impl Made {
    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// Of every clip the class with the largest logit.
    fn answers(&self) -> Vec<i32> {
        let answer = |logits: &Vec<f64>| {
            let largest = logits.iter().copied().fold(f64::MIN, f64::max);
            logits.iter().position(|logit| *logit == largest).unwrap() as i32
        };
        self.logits.iter().map(answer).collect()
    }

    /// Converts with some options; what is printed.
    fn convert(&self, options: &[&str]) -> Value {
        let (checkpoint, model) = (self.path("checkpoint"), self.path("model.toep"));
        let arguments = ["convert", &checkpoint, "-o", &model, "--json"];
        json(&[&arguments, options].concat())
    }

    /// Compares the model on the clips.
    fn compare(&self) -> Value {
        let names = ["checkpoint", "model.toep", "clips.safetensors"];
        let [checkpoint, model, clips] = names.map(|name| self.path(name));
        json(&["compare", &checkpoint, &model, "--clips", &clips, "--json"])
    }
}

const CLIPS: usize = 40;

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
fn made(config: Config) -> Made {
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
fn streamed() -> [(&'static str, Config); 2] {
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
fn windowed() -> [(&'static str, Config); 2] {
    let two_sided = |mut config: Config| {
        config.causal = false;
        config.toeplitz.bins = config.toeplitz.bins.or(Some(8));
        config
    };
    let [(_, mut tokens), (_, frames)] = streamed().map(|(name, config)| (name, two_sided(config)));
    tokens.toeplitz.bins = None;
    [("tokens, two-sided", tokens), ("frames, two-sided", frames)]
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn a_converted_classifier_answers_as_its_network() {
    for (name, config) in streamed().into_iter().chain(windowed()) {
        let window = (!config.causal).then_some(config.train_len);
        let made = made(config);
        let distinct: BTreeSet<i32> = made.answers().into_iter().collect();
        assert!(distinct.len() > 1, "{name}: one answer for all");
        for (weights, method, bound) in [("f32", "fir", 1e-4), ("int8", "reduced", 0.3)] {
            let converted = made.convert(&["--weights", weights, "--method", method]);
            assert_eq!(converted["allocation"], Value::Null);
            assert_eq!(converted["window"], json!(window));
            let compared = made.compare();
            let at = &compared["lengths"][0];
            assert_eq!((&at["clips"], &at["length"]), (&json!(CLIPS), &json!(16)));
            // labels are the network's own answers
            assert_eq!(at["accuracy"]["fft"], 1.0, "{name}: {at}");
            for form in ["recurrence", "blob"] {
                assert_eq!(at["accuracy"][form], at["agreement"][form], "{name}: {at}");
                assert!(number(&at["agreement"][form]) >= 0.9, "{name}: {at}");
                let [largest, mean] =
                    ["max_logit_error", "mean_logit_error"].map(|e| number(&at[e][form]));
                assert!(mean <= largest && largest < bound, "{name} {weights}: {at}");
                assert!(largest > 0.0, "{name}: {at}");
            }
            assert_eq!(compared["max_logit_error"], at["max_logit_error"]["blob"]);
            let [model, clips] = ["model.toep", "clips.safetensors"].map(|name| made.path(name));
            let evaluated = json(&["eval", &model, "--clips", &clips, "--json"]);
            let evaluated = &evaluated["lengths"][0];
            assert_eq!(evaluated["accuracy"], at["accuracy"]["blob"]);
            let rows = evaluated["confusion"].as_array().unwrap().iter();
            let right: f64 = rows.enumerate().map(|(i, row)| number(&row[i])).sum();
            assert_eq!(right / CLIPS as f64, number(&evaluated["accuracy"]));
        }
    }
}

/// A product by inducing points is no recurrence's, but a model has what its own recurrences have.
#[test]
fn a_product_by_inducing_points_is_compared() {
    let networks = operators(classifier(Pooling::Mean, None));
    let (name, config) = networks.last().unwrap();
    assert_eq!(*name, "interpolation");
    let made = made(config.clone());
    let order = ["--order", "2", "--fir", "3"];
    made.convert(&[&["--weights", "f32", "--window", "12"][..], &order].concat());
    let at = &made.compare()["lengths"][0];
    assert_eq!((&at["length"], &at["clips"]), (&json!(12), &json!(CLIPS)));
    let [recurrence, blob] =
        ["recurrence", "blob"].map(|form| number(&at["max_logit_error"][form]));
    assert!((recurrence - blob).abs() < 1e-4 && blob > 0.0, "{at}");
    assert!(number(&at["agreement"]["blob"]) > 0.5, "{at}");
    let int4 = [
        "--weights",
        "int4",
        "--clips",
        &made.path("clips.safetensors"),
    ];
    assert_eq!(made.convert(&int4)["calibration"]["source"], "clips");
    let inspected = json(&["inspect", &made.path("model.toep"), "--json"]);
    assert_eq!(
        (&inspected["window"], &inspected["classifier"]["classes"]),
        (&json!(16), &json!(CLASSES))
    );
}

/// The known logits are those of the reference in f64; `eval` gives them of the checkpoint, and nearly of a model.
#[test]
fn logits_of_clips_are_written() {
    for (_, config) in streamed() {
        let made = made(config);
        made.convert(&["--weights", "f32", "--method", "fir"]);
        let out = made.path("logits.safetensors");
        for (subject, bound) in [("checkpoint", 1e-6), ("model.toep", 1e-4)] {
            let (subject, clips) = (made.path(subject), made.path("clips.safetensors"));
            let arguments = [
                "eval", &subject, "--clips", &clips, "--logits", &out, "--json",
            ];
            assert_eq!(json(&arguments)["shape"], json!([CLIPS, CLASSES]));
            let bytes = std::fs::read(&out).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let found = file.tensor("logits").unwrap().data().chunks_exact(4);
            let found = found.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let expected = made.logits.iter().flatten();
            for (a, b) in found.zip(expected) {
                assert!((f64::from(a) - b).abs() < bound, "{subject}: {a} {b}");
            }
        }
        // Of some clips only, evenly spaced, and shorter ones.
        let (model, clips) = (made.path("model.toep"), made.path("clips.safetensors"));
        let some = ["--limit", "10", "--length", "3,16", "--json"];
        let arguments = [&["eval", &model, "--clips", &clips][..], &some].concat();
        let evaluated = json(&arguments);
        let clips = evaluated["lengths"]
            .as_array()
            .unwrap()
            .iter()
            .map(|at| &at["clips"]);
        assert_eq!(clips.collect::<Vec<_>>(), [10, 10]);
    }
}

#[test]
fn what_a_classifier_is_is_told() {
    for (name, config) in streamed() {
        let made = made(config);
        let (report, meta) = (made.path("r.html"), made.path("meta.rs"));
        made.convert(&["--report", &report, "--meta", &meta]);
        let page = std::fs::read_to_string(report).unwrap();
        assert!(page.contains("<svg"), "{name}");
        let meta = std::fs::read_to_string(meta).unwrap();
        assert!(meta.contains("CLASSES: usize = 5"), "{meta}");
        let inspected = json(&["inspect", &made.path("model.toep"), "--json"]);
        let frames = name == "frames";
        let frame = if frames { json!(FRAME) } else { Value::Null };
        let pooling = if frames { "last" } else { "mean" };
        let expected = json!({ "classes": CLASSES, "pooling": pooling, "frame_dim": frame });
        assert_eq!(inspected["classifier"], expected);
        for subject in ["model.toep", "checkpoint"] {
            let out = toeplite(&["inspect", &made.path(subject)]);
            let text = String::from_utf8(out.stdout).unwrap();
            let read = if frames {
                "numbers of a frame"
            } else {
                "vocabulary"
            };
            assert!(text.contains("5, of the") && text.contains(read), "{text}");
        }
    }
}

#[test]
fn what_does_not_belong_to_classifiers_is_refused_by_name() {
    let made = made(classifier(Pooling::Mean, None));
    made.convert(&[]);
    let text = made.path("text.txt");
    std::fs::write(&text, "some text").unwrap();
    let language = made.path("language");
    checkpoint(small_config(), 1)
        .save(Path::new(&language))
        .unwrap();
    let spoken = made.path("language.toep");
    json(&[
        "convert", &language, "-o", &spoken, "--order", "1", "--fir", "1", "--json",
    ]);
    let [own, model, clips, out] =
        ["checkpoint", "model.toep", "clips.safetensors", "o.toep"].map(|name| made.path(name));
    let (page, folder) = (made.path("p.html"), made.path("checkpoint"));
    for (arguments, expected) in [
        (
            vec!["compare", &own, &model, "--text", &text],
            "is a classifier: it has one answer",
        ),
        (vec!["eval", &own, "--text", &text], "--clips PATH"),
        (vec!["eval", &model, "--text", &text], "--clips PATH"),
        (
            vec!["compare", &language, &spoken, "--clips", &clips],
            "is a language model",
        ),
        (vec!["eval", &spoken, "--clips", &clips], "--text FILE"),
        (
            vec!["compare", &own, &spoken, "--clips", &clips],
            "logits 11 in the model, 5 in the checkpoint",
        ),
        (
            vec!["eval", &model, "--clips", &clips, "--hop", "3"],
            "--hop belongs to folders of wav files",
        ),
        (
            vec!["eval", &model, "--clips", &clips, "--classes", "a,b"],
            "2 classes (a, b)",
        ),
        (
            vec!["eval", &model, "--clips", &folder],
            "a folder with one folder of text files a class",
        ),
        (
            vec!["eval", &model, "--clips", &text],
            "no safetensors file",
        ),
        (vec!["run", &model], "is a classifier"),
        (
            vec!["convert", &own, "-o", &out, "--loss", "1"],
            "--loss goes by what a classifier answers",
        ),
        (
            vec!["convert", &own, "-o", &out, "--budget-ram", "9999"],
            "--budget-ram goes by what a classifier answers",
        ),
        (
            vec!["convert", &own, "-o", &out, "--calibrate", &text],
            "--clips PATH takes clips",
        ),
        (
            vec!["convert", &own, "-o", &out, "--weights", "int4"],
            "give clips to ask it about, --clips PATH",
        ),
        (
            vec![
                "convert",
                &own,
                "-o",
                &out,
                "--report",
                &page,
                "--report-text",
                &text,
            ],
            "toeplite compare --clips",
        ),
    ] {
        let error = error(&arguments);
        assert!(error.contains(expected), "{arguments:?}: {error}");
    }
    for (more, expected) in [
        (
            vec!["--budget-instructions", "9"],
            "--budget-instructions belongs to language models",
        ),
        (vec!["--order", "2"], "--clips has nothing to do here"),
        (vec!["--contract", "fixed"], "fixed"),
    ] {
        let own = ["convert", &own, "-o", &out, "--clips", &clips];
        let error = error(&[&own[..], &more].concat());
        assert!(error.contains(expected), "{more:?}: {error}");
    }
    let mut image = classifier(Pooling::Mean, None);
    (image.causal, image.toeplitz.image) = (false, Some([4, 4]));
    let picture = made.path("picture");
    checkpoint(image, 1).save(Path::new(&picture)).unwrap();
    for arguments in [
        vec!["convert", &picture, "-o", &out],
        vec!["eval", &picture, "--clips", &clips],
    ] {
        let error = error(&arguments);
        assert!(error.contains("toeplitz.image"), "{arguments:?}: {error}");
    }
    let spoken = error(&["convert", &language, "-o", &out, "--clips", &clips]);
    assert!(
        spoken.contains("--clips belongs to classifiers"),
        "{spoken}"
    );
    assert!(!Path::new(&out).exists());
    let frames = self::made(classifier(Pooling::Mean, Some(FRAME)));
    frames.convert(&[]);
    let of_frames = frames.path("model.toep");
    let sounds = error(&["eval", &of_frames, "--clips", &folder]);
    assert!(sounds.contains("--hop N says"), "{sounds}");
    let tokens = error(&["eval", &of_frames, "--clips", &clips]);
    assert!(tokens.contains("no tensor `features`"), "{tokens}");
}

/// With clips, layers get what the answers are worth, within budgets, and four bits are calibrated.
#[test]
fn clips_say_what_layers_and_weights_are_worth() {
    for (name, config) in streamed() {
        let made = made(config);
        let clips = made.path("clips.safetensors");
        let convert = |options: &[&str]| made.convert(&[&["--clips", &clips], options].concat());
        let [little, much] =
            ["0.01", "20"].map(|loss| convert(&["--loss", loss, "--weights", "f32"]));
        let allocation = |converted: &Value| converted["allocation"].clone();
        for converted in [&little, &much] {
            let allocation = allocation(converted);
            assert_eq!(allocation["measured_on"]["source"], "clips", "{name}");
            assert_eq!(allocation["predicted"], "clip");
            let [divergence, limit] = ["divergence", "limit"].map(|key| number(&allocation[key]));
            assert!(divergence <= 1.5 * limit, "{name}: {allocation}");
        }
        let bytes = |converted: &Value| number(&converted["blob_bytes"]);
        // the smallest is within either limit where the kernels are simple
        let (less, more) = (bytes(&much), bytes(&little));
        assert!(
            less < more || less == more && name == "frames",
            "{name}: {less} {more}"
        );
        let least = convert(&["--loss", "20", "--weights", "int8"]);
        let budget = format!("{}", bytes(&least) + 200.0);
        let within = convert(&["--budget-flash", &budget]);
        assert!(bytes(&within) <= bytes(&least) + 200.0, "{name}");
        let int4 = convert(&["--weights", "int4"]);
        assert_eq!(int4["calibration"]["source"], "clips", "{name}");
        let at = &made.compare()["lengths"][0];
        assert!(number(&at["agreement"]["blob"]) >= 0.7, "{name}: {at}");
    }
}

#[test]
fn divergence_on_clips_is_that_of_the_answers() {
    for (name, config) in streamed() {
        let checkpoint = checkpoint(config, 9);
        let (words, mut noise) = (tokens(6), Noise::new(2));
        let frames =
            |own: &usize| Array2::from_shape_simple_fn((*own, FRAME), || noise.draw() as f32);
        let frames: Vec<Array2<f32>> = OWN.iter().map(frames).collect();
        let clips: Vec<Input<'_>> = match name {
            "tokens" => words.iter().map(|clip| Input::Tokens(clip)).collect(),
            _ => frames
                .iter()
                .map(|clip| Input::Frames(clip.view()))
                .collect(),
        };
        let network = Network::<f32>::from_checkpoint(&checkpoint).unwrap();
        let sample = Sample::of_clips(clips.iter().copied()).unwrap();
        let sensitivity = Sensitivity::new(&network, &sample).unwrap();
        let kernels = network
            .layers()
            .iter()
            .map(|layer| layer.toeplitz().kernel(0..3, LENGTH));
        let kernels: Vec<_> = kernels.map(|kernel| kernel.mapv(f64::from)).collect();
        let short: Vec<Modal> = kernels.iter().cloned().map(Modal::from_taps).collect();
        let found = sensitivity
            .of_all(&short.iter().collect::<Vec<_>>())
            .unwrap();
        let (trained, cut) = (
            Padded::new(network.trained_mix(), LENGTH),
            DenseMix::new(Given::new(&kernels).unwrap()),
        );
        let lost = |clip: &Input<'_>| {
            let logits = |mix| network.classify(*clip, mix).unwrap();
            divergence(logits(&trained).view(), logits(&cut).view()) / std::f64::consts::LN_2
        };
        let expected = clips.iter().map(lost).sum::<f64>() / clips.len() as f64;
        assert!(
            (found / expected - 1.0).abs() < 1e-3,
            "{name}: {found} {expected}"
        );
        let head = network.head().weights();
        assert!(sensitivity.of_matrix(MatrixName::Head, head).abs() < 1e-9);
        let other = match network.frames() {
            Some(map) => map.weights().mapv(|x| 1.1 * x),
            None => checkpoint.tensors["embed.weight"]
                .mapv(|x| 1.1 * x)
                .into_dimensionality()
                .unwrap(),
        };
        let lost = sensitivity.of_matrix(MatrixName::Embedding, other.view());
        assert!(lost > 1e-9, "{name}: {lost}");
    }
}
