//! Masked language models on the host: hidden tokens, as the trainer hides them.

use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;
use toeplite_tests::{checkpoint, small_masked_config, window_blob};
use toeplite_tools::blob::WeightType;
use toeplite_tools::compare::{CompareError, compare};
use toeplite_tools::convert::Modal;
use toeplite_tools::masked::{MaskedError, compare_masked};
use toeplite_tools::reference::{Network as Reference, ReferenceError};
use toeplite_train::config::RunConfig;
use toeplite_train::data::{Masking, Pick, Source, TextSet, Tokens};
use toeplite_train::device::Optimiser;
use toeplite_train::device::cpu::Cpu;
use toeplite_train::network::Network;

fn toeplite(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"))
        .args(arguments)
        .output()
        .unwrap()
}

fn json_of(arguments: &[&str]) -> Value {
    let out = toeplite(&[arguments, &["--json"]].concat());
    let error = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{arguments:?}: {error}");
    serde_json::from_slice(&out.stdout).unwrap()
}

fn refused(arguments: &[&str]) -> String {
    let out = toeplite(arguments);
    assert!(!out.status.success(), "{arguments:?}");
    String::from_utf8_lossy(&out.stderr).into_owned()
}

/// The project's own masked language model, with fewer and smaller layers, after some steps on a text.
struct Trained {
    folder: TempDir,
    run: RunConfig,
}

const LENGTH: usize = 24;

impl Trained {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = "She sells sea shells by the sea shore. ".repeat(30);
        std::fs::write(folder.path().join("text.txt"), text).unwrap();
        let config = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../gpu-backend/configs/masked-lm.toml"
        );
        let small = ["model.dim=12", "model.layers=2", "model.toeplitz.rpe_dim=4"];
        let overrides = small.map(String::from).to_vec();
        let mut run = RunConfig::load(Path::new(config), &overrides).unwrap();
        run.model.train_len = LENGTH;
        let mut network = Network::new(Cpu::new(), run.model.clone(), 0.9, 3).unwrap();
        let trained = Self { folder, run };
        let set = trained.set();
        for step in 1..=60 {
            let pick = |index| Pick {
                index,
                epoch_noise: 0,
                noise: 8 * step + index,
            };
            let picks: Vec<Pick> = (0..8).map(pick).collect();
            let batch = set.training(&picks).unwrap();
            let values = Optimiser::published(2e-2, step, batch.counted() as usize);
            network.step(&[batch], values, 1).unwrap();
        }
        let checkpoint = network.checkpoint().unwrap();
        checkpoint
            .save(Path::new(&trained.path("checkpoint")))
            .unwrap();
        trained
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The text, as the trainer reads it.
    fn set(&self) -> TextSet {
        let path = self.path("text.txt");
        let path = Path::new(&path);
        let tokens = Tokens::open(path, None, self.run.model.vocab_size).unwrap();
        TextSet::new(path, tokens, LENGTH, self.run.masking()).unwrap()
    }

    /// Hidden tokens, their mean cross entropy in nats and the share of them that are told, by the trainer.
    fn evaluated(&self) -> [f64; 3] {
        let path = self.path("checkpoint");
        let checkpoint = toeplite_tools::checkpoint::Checkpoint::open(Path::new(&path)).unwrap();
        let mut network = Network::from_checkpoint(Cpu::new(), &checkpoint).unwrap();
        let set = self.set();
        let (mut loss, mut correct, mut targets) = (0.0, 0.0, 0.0);
        for index in 0.. {
            let Some(batch) = set.evaluation(index, LENGTH, 5).unwrap() else {
                break;
            };
            network.evaluate(&batch).unwrap();
            let sums = network.take_sums().unwrap();
            loss += sums.loss;
            correct += sums.correct;
            targets += sums.targets;
        }
        [targets, loss / targets, correct / targets]
    }
}

fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[test]
fn hidden_tokens_are_those_of_the_trainers_evaluation() {
    let trained = Trained::new();
    let [checkpoint, model, text] =
        ["checkpoint", "model.toep", "text.txt"].map(|name| trained.path(name));
    let convert = ["convert", &checkpoint, "-o", &model, "--weights", "f32"];
    json_of(&[&convert[..], &["--method", "fir"]].concat());
    let compare = ["compare", &checkpoint, &model, "--text", &text];
    let seed = trained.run.train.seed.to_string();
    let compared = json_of(&[&compare[..], &["--mask-seed", &seed]].concat());
    let masking = json!({ "token": 256, "probability": 0.15, "seed": trained.run.train.seed });
    assert_eq!(compared["masking"], masking);
    let at = &compared["lengths"][0];
    let [targets, nats, accuracy] = trained.evaluated();
    assert_eq!(
        (number(&at["targets"]), &at["length"]),
        (targets, &json!(LENGTH))
    );
    for form in ["fft", "recurrence", "blob"] {
        let error = number(&at["nats"][form]) / nats - 1.0;
        assert!(error.abs() < 1e-3, "{form}: {nats} {at}");
        let error = number(&at["accuracy"][form]) - accuracy;
        assert!(error.abs() < 1.5 / targets, "{form}: {accuracy} {at}");
    }
    assert!(accuracy > 0.2, "it has learnt nothing: {accuracy}");
    for form in ["recurrence", "blob"] {
        assert!(number(&at["argmax_agreement"][form]) > 0.98, "{at}");
        assert!(number(&at["max_logit_error"][form]) < 1e-2, "{at}");
    }
    let other = &json_of(&compare)["lengths"][0];
    assert_ne!(other["targets"], at["targets"], "another seed hides others");
    let all = json_of(&[&compare[..], &["--mask-probability", "1"]].concat());
    let bytes = std::fs::metadata(&text).unwrap().len();
    assert_eq!(all["lengths"][0]["targets"], json!(bytes));
    let table = toeplite(&compare).stdout;
    let table = String::from_utf8(table).unwrap();
    for word in ["hidden tokens", "nats", "accuracy", "behind token 256"] {
        assert!(table.contains(word), "{table}");
    }

    // a text of bytes calibrates it, too
    let int4 = ["convert", &checkpoint, "-o", &model, "--weights", "int4"];
    let converted = json_of(&[&int4[..], &["--calibrate", &text]].concat());
    assert_eq!(converted["calibration"]["source"], "text");
    let at = &json_of(&compare)["lengths"][0];
    assert!(number(&at["max_logit_error"]["blob"]) > 1e-2, "{at}");
}

#[test]
fn masks_that_do_not_fit_are_refused() {
    let trained = Trained::new();
    let [checkpoint, model, text, small] =
        ["checkpoint", "model.toep", "text.txt", "small"].map(|name| trained.path(name));
    let order = ["--order", "1", "--fir", "1"];
    json_of(&[&["convert", &checkpoint, "-o", &model][..], &order].concat());
    let compare = ["compare", &checkpoint, &model, "--text", &text];
    for (more, expected) in [
        (
            ["--mask-token", "257"],
            "no token of the network: it has 257",
        ),
        (["--mask-probability", "0"], "a number above 0"),
        (["--mask-probability", "1e-6"], "none is hidden"),
        (["--length", "25"], "--window 25"),
    ] {
        let error = refused(&[&compare[..], &more].concat());
        assert!(error.contains(expected), "{more:?}: {error}");
    }
    // not a vocabulary of bytes: which token is the mask, and which are the text's?
    let eleven = toeplite_tests::checkpoint(small_masked_config(), 1);
    eleven.save(Path::new(&small)).unwrap();
    let of_eleven = trained.path("small.toep");
    json_of(&[&["convert", &small, "-o", &of_eleven][..], &order].concat());
    let compare = ["compare", &small, &of_eleven, "--text", &text];
    let error = refused(&compare);
    assert!(error.contains("--mask-token TOKEN"), "{error}");
    let error = refused(&[&compare[..], &["--mask-token", "10"]].concat());
    assert!(error.contains("256 to 511"), "{error}");
}

/// A model for shorter windows than the network is asked for says so itself.
#[test]
fn what_the_model_refuses_is_told() {
    let checkpoint = checkpoint(small_masked_config(), 1);
    let nothing = || Modal::from_taps(ndarray::Array2::zeros((0, 10)));
    let layers = [nothing(), nothing()];
    let blob = window_blob(&checkpoint, [&layers, &layers], 4, WeightType::F32);
    let (network, model) = (
        Reference::from_checkpoint(&checkpoint).unwrap(),
        blob.any().unwrap(),
    );
    let text: Vec<u32> = (0..20).map(|i| i % 11).collect();
    let error = compare(&network, model, &text, 8, |_| ()).unwrap_err();
    assert!(
        matches!(
            error,
            CompareError::Model {
                start: 0 | 8 | 16,
                ..
            }
        ),
        "{error}"
    );
    assert!(error.to_string().contains('4'), "{error}");
    let masking = Masking {
        token: 10,
        probability: 1.0,
        seed: 0,
    };
    let error = compare_masked(&network, model, &text, &masking, 8, |_| ()).unwrap_err();
    assert!(
        matches!(error, MaskedError::Compare(CompareError::Model { .. })),
        "{error}"
    );
    // unknown tokens are hidden from the network, but not from this
    let error = compare_masked(&network, model, &[3, 11], &masking, 2, |_| ()).unwrap_err();
    let unknown = ReferenceError::Token {
        token: 11,
        position: 1,
        vocab: 11,
    };
    assert_eq!(error, MaskedError::Token(unknown));
}
