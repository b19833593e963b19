//! Recordings through a converted model, by `toeplite eval`: the figures that the trainer gives of the checkpoint.

use super::classifier;
use super::made::{error, json, number, toeplite};
use clap::Parser;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;
use tempfile::TempDir;
use toeplite_audio::Config as Audio;
use toeplite_streams::{Ear, Heard, Listening, Options};
use toeplite_tests::{Noise, checkpoint};
use toeplite_tools::checkpoint::config::{Activation, Config, Pooling};
use toeplite_tools::checkpoint::{AnyFrontEnd, Checkpoint, FrontEnd};
use toeplite_train::backend::Devices;
use toeplite_train::cli::{Backend, Placement};
use toeplite_train::config::RunConfig;
use toeplite_train::data::Sounds;
use toeplite_train::train::Trainable;
use toeplite_train::train::evaluate::{Evaluation, Windows, evaluate_classes};
use toeplite_train::train::streams::{decide, frame_logits};

const RATE: u32 = 8000;
const BANDS: usize = 8;
const NAMES: [&str; 5] = ["one", "silence", "three", "two", "unknown"];

/// An untrained network that is sure of itself, recordings, and its model with f32 weights.
struct Ears {
    folder: TempDir,
}

fn network(pooling: Pooling) -> Config {
    let mut config = classifier(pooling, Some(BANDS));
    config.toeplitz.rpe_act = Activation::Silu;
    config
}

/// A hum whose pitch and length depend on what is said, by whom.
fn hum(pitch: usize, samples: usize, noise: &mut Noise) -> Vec<i16> {
    let step = 0.08 + 0.3 * pitch as f64;
    let wave = |i: usize| 7000.0 * ((i as f64 * step).sin() + 0.1 * noise.draw());
    (0..samples).map(wave).map(|x| x as i16).collect()
}

fn write_wav(path: &Path, samples: &[i16]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let data: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    bytes.extend([RATE, 2 * RATE].map(u32::to_le_bytes).concat());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    let length = bytes.len() as u32 - 8;
    bytes[4..8].copy_from_slice(&length.to_le_bytes());
    fs::write(path, bytes).unwrap();
}

impl Ears {
    fn new(pooling: Pooling) -> Self {
        let ears = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        let mut checkpoint = checkpoint(network(pooling), 13);
        // kernels that end within a second, and a head with opinions
        for (name, tensor) in &mut checkpoint.tensors {
            match name.ends_with("gamma") {
                true => tensor.fill(0.7),
                false if name == "head.weight" => *tensor *= 3.0,
                false => {}
            }
        }
        checkpoint.save(&ears.at("checkpoint")).unwrap();
        let front_end = AnyFrontEnd::Sound(ears.front_end());
        front_end.save(&ears.at("checkpoint")).unwrap();
        let mut noise = Noise::new(3);
        for (class, name) in NAMES.iter().enumerate() {
            for (speaker, more) in [("ann", 0), ("theo", 2)] {
                for take in 0..2 {
                    let samples = hum(class + more + take, 1500 + 700 * take, &mut noise);
                    write_wav(
                        &ears.at(&format!("clips/{name}/{speaker}_{take}.wav")),
                        &samples,
                    );
                }
            }
        }
        let said = |word: usize, from: f64| format!("{from}\t{}\t{}\n", from + 0.3, NAMES[word]);
        let mut track = String::new();
        let mut words = vec![0; 2000];
        for word in [0, 2, 3, 0, 3, 2, 2, 0, 3, 2] {
            track += &said(word, words.len() as f64 / f64::from(RATE));
            words.extend(hum(word, 2400, &mut noise));
            words.extend(hum(9, 1600, &mut noise).iter().map(|x| x / 100));
        }
        write_wav(&ears.at("streams/words.wav"), &words);
        fs::write(ears.at("streams/words.txt"), track).unwrap();
        for (name, pitch) in [("speech-1", 4), ("speech-2", 1)] {
            let mut speech = hum(pitch, 9000, &mut noise);
            speech.extend(hum(pitch + 3, 9000, &mut noise));
            write_wav(&ears.at(&format!("streams/{name}.wav")), &speech);
        }
        let options = ["--weights", "f32", "--tolerance", "1e-6"];
        let [own, model] = ["checkpoint", "model.toep"].map(|name| ears.path(name));
        json(&[&["convert", &own, "-o", &model, "--json"], &options[..]].concat());
        ears
    }

    fn front_end(&self) -> FrontEnd {
        FrontEnd {
            config: Audio::speech(RATE).with_bands(BANDS, 60, 4000).with_agc(),
            integers: false,
            classes: NAMES.map(String::from).to_vec(),
            frames: Some(16),
            after: Some(0.05),
        }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn path(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// The network as the trainer computes it.
    fn trainer(&self) -> Box<dyn Trainable> {
        let checkpoint = Checkpoint::open(&self.at("checkpoint")).unwrap();
        let placement = Placement {
            device: "cpu".parse().unwrap(),
            precision: toeplite_train::config::Precision::F32,
        };
        Devices::new(Instant::now())
            .load(&checkpoint, placement)
            .unwrap()
    }

    /// What `toeplite-train eval --data` makes of the clips.
    fn trainers_clips(&self, config: Config) -> Evaluation {
        let keywords = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../gpu-backend/configs/keywords.toml"
        );
        let changed = [
            format!("data.features.bands={BANDS}"),
            "data.features.after=0.05".to_owned(),
            format!("model.classifier.frame_dim={BANDS}"),
            format!("train.length={}", config.train_len),
        ];
        let mut run = RunConfig::load(Path::new(keywords), &changed).unwrap();
        run.model = config;
        let names = NAMES.map(String::from);
        let source = Sounds::open(&self.at("clips"), &run, Some(&names), Some(RATE)).unwrap();
        let windows = Windows {
            length: run.model.train_len,
            sequences: 7,
            max_targets: 0,
        };
        let done = evaluate_classes(&mut *self.trainer(), &source, windows, &mut |_| true);
        done.unwrap().unwrap()
    }

    /// What `toeplite-train eval --stream` makes of the streams, with some options.
    fn trainers_streams(&self, pooling: Pooling, options: &[&str]) -> Vec<Heard> {
        #[derive(Parser)]
        struct Line {
            #[command(flatten)]
            options: Options,
        }
        let streams = self.path("streams");
        let line = [&["eval", "--stream", &streams], options].concat();
        let options = Line::parse_from(line).options;
        let front_end = self.front_end();
        let ear = Ear {
            front_end: &front_end,
            pooling,
        };
        let mut trainer = self.trainer();
        let mut network = |features: &[f32], listening: &Listening| {
            let logits = frame_logits(&mut *trainer, features, BANDS)?;
            Ok(decide(&logits, NAMES.len(), listening))
        };
        options
            .hear(Path::new(&streams), ear, &mut network)
            .unwrap()
    }
}

#[test]
fn clips_of_recordings_are_judged_as_by_the_trainer() {
    let config = network(Pooling::Mean);
    let ears = Ears::new(Pooling::Mean);
    let expected = serde_json::to_value(ears.trainers_clips(config)).unwrap();
    let [own, model, clips] = ["checkpoint", "model.toep", "clips"].map(|name| ears.path(name));
    for subject in [&own, &model] {
        let arguments = [
            "eval",
            subject,
            "--clips",
            &clips,
            "--front-end",
            &own,
            "--json",
        ];
        let found = json(&arguments);
        assert!(
            found["front_end"]
                .as_str()
                .unwrap()
                .ends_with("front_end.json")
        );
        let found = &found["lengths"][0];
        assert_eq!(found["clips"], 20);
        for key in ["accuracy", "classes", "confusion", "words", "speakers"] {
            assert_eq!(found[key], expected[key], "{key}");
        }
    }
    // Which says something: the answers are of several classes, right and wrong.
    let rows = expected["confusion"].as_array().unwrap();
    let taken = (0..NAMES.len()).filter(|i| rows.iter().any(|row| row[*i] != 0));
    assert!(taken.count() >= 3, "{expected}");
    assert!(
        (0.05..0.95).contains(&number(&expected["accuracy"])),
        "{expected}"
    );
    assert_eq!(expected["words"]["clips"], 12);
    assert_eq!(expected["speakers"][1]["name"], "theo");
    // The front end decides: silence behind the clips moves what is heard.
    let logits = |after: &str| {
        let out = ears.path("logits.safetensors");
        let arguments = [
            "eval", &own, "--clips", &clips, "--after", after, "--logits", &out,
        ];
        assert!(toeplite(&arguments).status.success());
        fs::read(out).unwrap()
    };
    assert!(logits("0.05") != logits("0"));
    let table = toeplite(&["eval", &model, "--clips", &clips, "--front-end", &own]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.contains("as unknown") && table.contains("of words alone"),
        "{table}"
    );
    assert!(table.contains("| theo"), "{table}");
}

#[test]
fn streams_are_heard_as_by_the_trainer() {
    for (pooling, half_life) in [
        (Pooling::Mean, &["--half-life", "3"][..]),
        (Pooling::Last, &[]),
    ] {
        let ears = Ears::new(pooling);
        let options = [
            "--every",
            "2",
            "--smoothing",
            "0.5",
            "--sure",
            "0.93",
            "--share",
            "0.35",
            "--rest",
            "0.1",
            "--thresholds",
            "0.35,0.5,0.7",
        ];
        let options = [&options, half_life].concat();
        let expected = ears.trainers_streams(pooling, &options);
        let [own, model, streams] = ["checkpoint", "model.toep", "streams"].map(|n| ears.path(n));
        // the front end is found beside the model
        fs::copy(
            ears.at("checkpoint/front_end.json"),
            ears.at("front_end.json"),
        )
        .unwrap();
        let csv = ears.path("posteriors.csv");
        let arguments = [
            "eval",
            &model,
            "--stream",
            &streams,
            "--posteriors",
            &csv,
            "--json",
        ];
        let out = toeplite(&[&arguments, &options[..]].concat());
        assert!(
            out.status.success(),
            "{}",
            String::from_utf8_lossy(&out.stderr)
        );
        let rows = String::from_utf8(out.stdout).unwrap();
        let found: Vec<Value> = rows
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            let expected = serde_json::to_string(expected).unwrap();
            let expected: Value = serde_json::from_str(&expected).unwrap();
            assert_eq!(found, &expected, "{pooling:?}");
        }
        // Which says something: words are heard and missed, and there are false accepts.
        let first = &expected[0];
        assert_eq!(first.words, 10);
        assert!(
            first.hits > 0 && first.false_accepts > 0,
            "{pooling:?}: {expected:?}"
        );
        assert!(expected[0] != expected[2]);
        let text = fs::read_to_string(&csv).unwrap();
        let mut lines = text.lines();
        assert_eq!(
            lines.next(),
            Some("recording,seconds,one,silence,three,two,unknown")
        );
        // 18000 samples are 112 frames
        assert_eq!(
            lines
                .clone()
                .filter(|line| line.starts_with("speech-1.wav,"))
                .count(),
            56
        );
        for line in lines {
            let numbers = line.split(',').skip(2).map(|x| x.parse::<f64>().unwrap());
            assert!(numbers.sum::<f64>() <= 1.00001, "{line}");
        }
        let said = error(&["eval", &own, "--stream", &streams]);
        assert!(said.contains("toeplite-train eval"), "{said}");
    }
}

#[test]
fn what_a_recording_becomes_must_be_known() {
    let ears = Ears::new(Pooling::Mean);
    let [own, model, clips, streams] =
        ["checkpoint", "model.toep", "clips", "streams"].map(|name| ears.path(name));
    let other = ears.path("other.json");
    let front_end = FrontEnd {
        config: Audio::speech(RATE).with_bands(BANDS + 1, 60, 4000),
        ..ears.front_end()
    };
    fs::write(&other, front_end.to_json().to_string()).unwrap();
    let same = FrontEnd {
        config: Audio::speech(RATE).with_bands(BANDS, 60, 3000),
        ..ears.front_end()
    };
    let features = ears.path("features.safetensors");
    let made = toeplite_clips_file(&ears.at("clips"), &same);
    fs::write(&features, made).unwrap();
    for (arguments, expected) in [
        (vec!["eval", &model, "--clips", &clips], "--front-end FILE"),
        (
            vec!["eval", &model, "--stream", &streams],
            "--front-end FILE",
        ),
        (
            vec!["eval", &model, "--clips", &clips, "--front-end", &other],
            "9 bands",
        ),
        (
            vec!["eval", &model, "--stream", &streams, "--front-end", &other],
            "9 bands",
        ),
        (
            vec!["eval", &own, "--clips", &clips, "--hop", "8"],
            "leave the option out",
        ),
        (
            vec!["eval", &own, "--clips", &clips, "--classes", "a,b,c,d,e"],
            "leave the option out",
        ),
        (
            vec!["compare", &own, &model, "--clips", &clips, "--hop", "8"],
            "leave the option out",
        ),
        (
            vec!["eval", &own, "--clips", &features],
            "another front end",
        ),
        (
            vec![
                "eval", &model, "--clips", &clips, "--hop", "8", "--after", "1",
            ],
            "--after belongs",
        ),
        (
            vec!["eval", &model, "--text", &other, "--front-end", &other],
            "--front-end",
        ),
        (
            vec!["eval", &model, "--clips", &clips, "--every", "3"],
            "--stream PATH",
        ),
        (
            vec!["eval", &model, "--stream", &streams, "--limit", "3"],
            "--clips PATH",
        ),
    ] {
        let said = error(&arguments);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
    let compared = json(&["compare", &own, &model, "--clips", &clips, "--json"]);
    let agreement = &compared["lengths"][0]["agreement"]["blob"];
    assert_eq!(
        (&compared["lengths"][0]["clips"], agreement),
        (&json!(20), &json!(1.0))
    );
}

/// The recordings in `folder` as a file of features.
fn toeplite_clips_file(folder: &Path, front_end: &FrontEnd) -> Vec<u8> {
    let recordings = toeplite_clips::Recordings::open(folder, None, None).unwrap();
    let made = recordings.features(front_end, 16, 0, &|_| ()).unwrap();
    made.file(&front_end.to_json())
}

/// A model of integers hears by a front end in integers, and one of floats by one in floats, whatever the training's.
#[test]
fn models_of_integers_are_told_by_every_command() {
    let ears = Ears::new(Pooling::Mean);
    let [own, floats, fixed, meta, clips] = [
        "checkpoint",
        "model.toep",
        "fixed.toep",
        "model_meta.rs",
        "clips",
    ]
    .map(|name| ears.path(name));
    let convert = |more: &[&str]| {
        let always = [
            "convert",
            &own,
            "-o",
            &fixed,
            "--contract",
            "fixed",
            "--json",
        ];
        json(&[&always, more].concat())
    };
    let made = convert(&["--weights", "int4"]);
    assert_eq!(made["contract"], "fixed");
    let memory = number(&made["memory_bytes"]) - 40.0;
    let budget = memory.to_string();
    let made = convert(&["--budget-ram", &budget, "--clips", &clips]);
    assert!(number(&made["memory_bytes"]) <= memory, "{made}");
    convert(&["--meta", &meta]);
    let constants = fs::read_to_string(&meta).unwrap();
    assert!(constants.contains("toeplite::fixed::classifier::Model<'a>"));
    assert!(constants.contains("toeplite_audio::fixed::{LogMel"));
    let inspected = json(&["inspect", &fixed, "--json"]);
    assert_eq!(inspected["contract"], "fixed", "{inspected}");

    let other = ears.path("front_end.json");
    let integers = ears.front_end().in_integers(true);
    fs::write(&other, integers.to_json().to_string()).unwrap();
    let logits = |model: &str, front_end: &str| {
        let out = ears.path("logits.safetensors");
        let arguments = [
            "eval",
            model,
            "--clips",
            &clips,
            "--front-end",
            front_end,
            "--logits",
            &out,
        ];
        let done = toeplite(&arguments);
        assert!(done.status.success(), "{arguments:?}");
        fs::read(out).unwrap()
    };
    for model in [&fixed, &floats] {
        assert!(logits(model, &own) == logits(model, &other), "{model}");
    }
    assert!(logits(&fixed, &own) != logits(&floats, &own));
    let streams = ears.path("streams");
    json_lines(&[
        "eval",
        &fixed,
        "--stream",
        &streams,
        "--half-life",
        "3",
        "--json",
    ]);
    let compared = toeplite(&["compare", &own, &fixed, "--clips", &clips, "--json"]);
    assert!(compared.status.success());

    let image = |model| ["image", model, "--board", "microbit", "--front-end", &own];
    assert!(toeplite(&image(&fixed)).status.success());
    let refused = error(&image(&floats));
    assert!(refused.contains("--contract fixed"), "{refused}");
    // supplied firmware hears: names alone are for firmware of one's own
    let named = [
        "image",
        &fixed,
        "--board",
        "microbit",
        "--classes",
        "a,b,c,d,e",
    ];
    assert!(error(&named).contains("--front-end CHECKPOINT"));
}

fn json_lines(arguments: &[&str]) {
    let out = toeplite(arguments);
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for line in String::from_utf8(out.stdout).unwrap().lines() {
        serde_json::from_str::<Value>(line).unwrap();
    }
}
