//! Models in a partition of their own, from `toeplite image` to emulated devices: firmware runs a good one, and goes on with the
//! one that it was built with, saying why, if it is bad. Needs what `cargo xtask setup` installs; fails, saying so, without.
#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toeplite::format::{CONTRACT_F32, offset};
use toeplite::image::ImageError;
use toeplite_audio::{Config, detect};
use toeplite_tests::{
    Noise, bytes_config, checkpoint, layers_of, small_classifier_config, write_model,
};
use toeplite_tools::blob::{Blob, WeightType, write, write_fixed};
use toeplite_tools::checkpoint::config::{ClassifierConfig, Config as Network, Pooling};
use toeplite_tools::checkpoint::{FRONT_END, FrontEnd};

use toeplite_tools::image::{BOARDS, Beside, Flasher, Image};
use xtask::boards::{Board, F32, FIXED};
use xtask::command::capture;
use xtask::firmware::{self, Firmware};
use xtask::host::{self, Draw};
use xtask::keyword::{self, Settings};
use xtask::model::{Files, Model};
use xtask::report::Report;
use xtask::{elf, paths, qemu};

/// Of a run, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);
const PROMPT: &[u8] = b"To be";

fn folder(name: &str) -> PathBuf {
    let folder = paths::output().join("tests/partition").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The model that firmware is built with.
fn built_in(name: &str, blob: &Blob, front_end: Option<&FrontEnd>) -> Model {
    let folder = folder(name);
    write_model(&folder, blob, front_end).unwrap();
    let memory = blob.any().unwrap().memory_needed();
    let json = serde_json::json!({ "memory_bytes": memory, "blob_bytes": blob.bytes().len() });
    Model {
        name: name.into(),
        files: Files::in_folder(&folder),
        json,
    }
}

/// What `toeplite image` makes of a blob.
fn image(board: &Board, blob: &Blob, front_end: Option<&FrontEnd>, name: &str) -> Vec<u8> {
    let into = folder(name);
    let (model, file) = (into.join("model.toep"), into.join("image.bin"));
    blob.write(&model).unwrap();
    let cli = Path::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"));
    let mut command = std::process::Command::new(cli);
    command.arg("image").arg(&model).arg("-o").arg(&file);
    command.args(["--board", &board.name, "--json"]);
    if let Some(front_end) = front_end {
        let path = into.join(FRONT_END);
        fs::write(&path, front_end.to_json().to_string()).unwrap();
        command.arg("--front-end").arg(path);
    }
    let printed: serde_json::Value =
        serde_json::from_slice(&capture(&mut command).unwrap()).unwrap();
    let bytes = fs::read(&file).unwrap();
    assert_eq!(printed["image_bytes"], bytes.len());
    assert_eq!(printed["address"], board.partition.address);
    bytes
}

/// Runs `firmware` with `bytes` at the beginning of its partition.
fn run(firmware: &Firmware, bytes: &[u8], name: &str, arguments: &str) -> Report {
    let file = folder(name).join("partition.bin");
    fs::write(&file, bytes).unwrap();
    let output = qemu::run_with(firmware, Some(&file), arguments, LIMIT, |_| ()).unwrap();
    Report::parse(&output.success().unwrap().stdout)
}

/// A byte-level language model; another one for another seed.
fn text_blob(width: usize, seed: u64) -> Blob {
    let checkpoint = checkpoint(bytes_config(width), seed);
    let layers = layers_of(&checkpoint.config, seed);
    write(&checkpoint, &layers, WeightType::Int8).unwrap()
}

#[test]
fn text_goes_on_whatever_the_partition_has() {
    let board = Board::named("mps2-an386").unwrap();
    let own = text_blob(20, 1);
    let model = built_in("text", &own, None);
    let firmware = firmware::text(&board, &model, &["partition"]).unwrap();
    let panicking = elf::panicking_functions(&firmware.elf).unwrap();
    assert_eq!(panicking, Vec::<String>::new());

    let arguments = format!("tokens=12 seed=3 {}", firmware::prompt(PROMPT));
    let draw = Draw {
        seed: 3,
        thousandths: 800,
        top_k: 0,
    };
    let written = |blob: &Path| host::generate(blob, PROMPT, 12, draw).unwrap();
    let by_own = written(&model.files.blob);

    // a good one, of another shape
    let other = image(&board, &text_blob(24, 2), None, "text-other");
    let report = run(&firmware, &other, "text-good", &arguments);
    let expected = written(&folder("text-other").join("model.toep"));
    assert_ne!(expected, by_own);
    assert_eq!(
        report.text.escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
    assert_eq!(report.get("model_from").unwrap(), "partition");

    let refused = |bytes: &[u8], name: &str, why: &str| {
        let report = run(&firmware, bytes, name, &arguments);
        let text = report.text.escape_ascii().to_string();
        assert_eq!(text, by_own.escape_ascii().to_string(), "{name}");
        assert_eq!(report.get("model_from").unwrap(), "built-in", "{name}");
        let told = report.get("partition").unwrap();
        assert!(told.contains(why), "{name}: {told}");
        report
    };
    let error = |error: ImageError| error.message();
    refused(&[0xFF; 4096], "empty", error(ImageError::Empty));
    let length = other.len();
    let mut cut = other.clone();
    cut[length / 2..].fill(0xFF);
    refused(&cut, "truncated", error(ImageError::Incomplete { length }));
    let mut flipped = other.clone();
    flipped[length / 2] ^= 4;
    refused(&flipped, "flipped", "checksum is another");
    let bare = text_blob(24, 2);
    refused(bare.bytes(), "bare", "something else than an image");
    let mut newer = other.clone();
    newer[4] = 9;
    refused(&newer, "newer", "another version");

    // good images of models that this firmware cannot run: some are refused by the command already
    let raw = |model: &Blob, name: &str| {
        let sections = [(toeplite::image::kind::MODEL, model.bytes())];
        let mut bytes = vec![0; toeplite::image::image_bytes(&sections).unwrap()];
        toeplite::image::write(&sections, &mut bytes).unwrap();
        (bytes, name.to_string())
    };
    let integers = checkpoint(bytes_config(16), 3);
    let layers = layers_of(&integers.config, 3);
    let fixed = write_fixed(&integers, &layers, |_| WeightType::Int8).unwrap();
    let (classifier, _) = listener(F32, [16, 20, 4], 1);
    for (blob, name, why) in [
        (fixed, "fixed", "another numeric contract"),
        (classifier, "classifier", "of another kind"),
        (
            toeplite_tests::small_blob(WeightType::Int8),
            "small-vocabulary",
            "tokens are no bytes",
        ),
    ] {
        let (bytes, name) = raw(&blob, name);
        refused(&bytes, &name, why);
    }
    let large = text_blob(200, 4);
    let needed = large.any().unwrap().memory_needed() as u64;
    let report = refused(
        &image(&board, &large, None, "text-large"),
        "large",
        "more session memory",
    );
    assert_eq!(report.number("partition_needs").unwrap(), needed);
    let own = own.any().unwrap().memory_needed() as u64;
    let budget = (own + own / 2).next_multiple_of(16);
    assert_eq!(report.number("partition_finds").unwrap(), budget);
    // a model that is whole, but computes something else than its known answer
    let (bytes, name) = raw(&untrue(&text_blob(24, 2)), "untrue");
    refused(&bytes, &name, "known-answer test failed");
}

/// The model with another hash in its known-answer test, and a checksum that is right.
fn untrue(blob: &Blob) -> Blob {
    let mut bytes = blob.bytes().to_vec();
    let section = toeplite::format::HEADER_BYTES
        + toeplite::format::ENTRY_BYTES * toeplite::format::Global::SelfTest as usize;
    let at = u32::from_le_bytes(bytes[section..section + 4].try_into().unwrap()) as usize;
    assert_eq!(bytes[offset::CONTRACT], CONTRACT_F32 as u8);
    bytes[at] ^= 1;
    let crc = toeplite::format::crc32(&bytes[offset::TASK..]);
    bytes[offset::CRC..][..4].copy_from_slice(&crc.to_le_bytes());
    Blob::from_bytes(&bytes)
}

const SETTINGS: Settings = Settings {
    every: 2,
    half_life: 4.0,
    detector: detect::Settings {
        words: 0,
        smoothing: 0.5,
        sure: 0.6,
        threshold: 0.35,
        share: 0.4,
        rest: 2,
    },
};

/// A classifier of frames that is sure of itself, and names for it.
fn listener(contract: &str, [width, bands, classes]: [usize; 3], seed: u64) -> (Blob, Vec<String>) {
    let network = Network {
        dim: width,
        glu_dim: width + 4,
        classifier: Some(ClassifierConfig {
            classes,
            pooling: Pooling::Mean,
            frame_dim: Some(bands),
        }),
        ..small_classifier_config(Some(bands), Pooling::Mean)
    };
    let layers = layers_of(&network, 7);
    let mut checkpoint = checkpoint(network, seed);
    *checkpoint.tensors.get_mut("head.weight").unwrap() *= 4.0;
    let blob = match contract {
        FIXED => write_fixed(&checkpoint, &layers, |_| WeightType::Int8).unwrap(),
        _ => write(&checkpoint, &layers, WeightType::Int8).unwrap(),
    };
    (blob, (0..classes).map(|i| format!("{seed}-{i}")).collect())
}

fn heard_by(config: Config, classes: Vec<String>) -> FrontEnd {
    FrontEnd {
        config,
        integers: false,
        classes,
        frames: None,
        after: None,
    }
}

/// A second of sweeps and noise.
fn recording(path: &Path, rate: u32) -> Vec<i16> {
    let mut noise = Noise::new(5);
    let mut phase = 0.0f64;
    let samples: Vec<i16> = (0..rate)
        .map(|i| {
            phase += 0.2 + 0.8 * f64::from(i % (rate / 4)) / f64::from(rate / 4);
            let loudness = f64::from(i % (rate / 3)) / f64::from(rate / 3);
            (loudness * (9000.0 * phase.sin() + 3000.0 * noise.draw())) as i16
        })
        .collect();
    let data: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut bytes = b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0".to_vec();
    bytes.extend([rate, 2 * rate].map(u32::to_le_bytes).concat());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
    samples
}

/// On a Cortex-M0, in integers: other words, another number of bands, another frame.
#[test]
fn keywords_of_the_partition_are_heard_as_on_the_host() {
    let board = Board::named("microbit").unwrap();
    let (own, names) = listener(FIXED, [12, 32, 5], 1);
    let own_front_end = heard_by(Config::speech(8000).with_agc(), names);
    let model = built_in("keyword", &own, Some(&own_front_end));
    let firmware = firmware::keyword_with(&board, &model, &["partition"]).unwrap();
    let panicking = elf::panicking_functions(&firmware.elf).unwrap();
    assert_eq!(panicking, Vec::<String>::new());

    let wav = firmware.elf.with_file_name("partition.wav");
    let samples = recording(&wav, 8000);
    let arguments = format!("wav=partition.wav {}", SETTINGS.arguments());
    let hears = |report: &Report, blob: &Path, front_end: &FrontEnd| {
        let expected = keyword::listen(blob, front_end, &samples, &SETTINGS).unwrap();
        assert!(!expected.events.is_empty(), "nothing was compared");
        let events = String::from_utf8_lossy(&report.text);
        assert_eq!(events.lines().collect::<Vec<_>>(), expected.events);
        assert_eq!(report.get("posteriors_hash").unwrap(), expected.hash);
    };

    let (other, names) = listener(FIXED, [14, 20, 7], 2);
    let config = Config::speech(8000)
        .with_frames(240, 120)
        .with_bands(20, 100, 3800)
        .with_pcen();
    let front_end = heard_by(config, names);
    let good = image(&board, &other, Some(&front_end), "keyword-other");
    let report = run(&firmware, &good, "keyword-good", &arguments);
    assert_eq!(report.get("model_from").unwrap(), "partition");
    hears(
        &report,
        &folder("keyword-other").join("model.toep"),
        &front_end,
    );

    let (floats, _) = listener(F32, [14, 20, 7], 2);
    let wide = heard_by(
        Config::speech(16000).with_bands(20, 100, 3800),
        front_end.classes.clone(),
    );
    // the command refuses it for this board
    let of_floats = Image::new(
        &floats,
        &floats.any().unwrap(),
        &Beside::FrontEnd(front_end.clone()),
    );
    let wide = image(&board, &other, Some(&wide), "keyword-wide");
    for (name, bytes, why, needs) in [
        (
            "keyword-floats",
            of_floats.unwrap().bytes(),
            "another numeric contract",
            None,
        ),
        ("keyword-wide", &wide, "more samples", Some(400)),
    ] {
        let report = run(&firmware, bytes, name, &arguments);
        assert_eq!(report.get("model_from").unwrap(), "built-in");
        let told = report.get("partition").unwrap();
        assert!(told.contains(why), "{told}");
        if let Some(needs) = needs {
            assert_eq!(report.number("partition_needs").unwrap(), needs);
        }
        hears(&report, &model.files.blob, &own_front_end);
    }
}

/// `toeplite image` writes to where the firmware of emulated boards looks.
#[test]
fn partitions_are_those_of_the_boards() {
    let emulated = BOARDS.iter().filter(|board| board.flasher == Flasher::Qemu);
    let places = emulated.map(|board| {
        let found = Board::named(board.name).unwrap().partition;
        let expected = board.partition;
        assert_eq!(
            (found.address, found.size),
            (expected.address, expected.size),
            "{}",
            board.name
        );
    });
    assert_eq!(places.count(), xtask::boards::NAMES.len());
}
