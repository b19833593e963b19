//! The keyword example on emulated devices: the host's events and bits. Needs what `cargo xtask setup` installs; fails, saying
//! so, without.
#![allow(missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;
use toeplite::LogitsHash;
use toeplite_audio::Config;
use toeplite_audio::detect::{self, Detector};
use toeplite_streams::Listening;
use toeplite_tests::{CLASSES, Noise, checkpoint, small_classifier_config};
use toeplite_tools::blob::Blob;
use toeplite_tools::checkpoint::config::{Config as Network, Pooling};
use toeplite_tools::checkpoint::{AnyFrontEnd, FRONT_END, FrontEnd};
use toeplite_tools::listen::decisions;
use xtask::boards::{Board, F32};
use xtask::firmware::{self, Firmware};
use xtask::keyword::{self, Settings};
use xtask::model::{Model, Storage, convert};
use xtask::recordings::{self, Listener};
use xtask::report::Report;
use xtask::{elf, paths, qemu};

/// Of a run, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);
const RATE: u32 = 8000;
/// Random networks hesitate: low thresholds give events.
const SETTINGS: Settings = Settings {
    every: 2,
    half_life: 4.0,
    detector: detect::Settings {
        words: 0,
        smoothing: 0.5,
        sure: 0.6,
        threshold: 0.45,
        share: 0.4,
        rest: 2,
    },
};

/// A random classifier of 32 bands, and the front end that it would have been trained with.
fn untrained(into: &Path) -> FrontEnd {
    let network = Network {
        dim: 16,
        glu_dim: 20,
        num_heads: 1,
        ..small_classifier_config(Some(32), Pooling::Mean)
    };
    let mut checkpoint = checkpoint(network, 5);
    // a head that is sure of itself
    let head = checkpoint.tensors.get_mut("head.weight").unwrap();
    *head *= 4.0;
    checkpoint.save(into).unwrap();
    let classes = ["_silence_", "_unknown_", "one", "two", "three"];
    let front_end = FrontEnd {
        config: Config::speech(RATE).with_agc(),
        integers: false,
        classes: classes.map(String::from).to_vec(),
        frames: Some(25),
        after: None,
    };
    assert_eq!(classes.len(), CLASSES);
    fs::write(into.join(FRONT_END), front_end.to_json().to_string()).unwrap();
    front_end
}

/// Sounds that come and go: sweeps, chords and noise between silences, so many; `seed` says which.
fn recording(seed: u64, sounds: usize) -> Vec<i16> {
    let mut noise = Noise::new(seed);
    let mut samples = vec![0; 1000];
    for _ in 0..sounds {
        let [low, high, loudness] = [0.3, 1.0, 0.4].map(|x| x * noise.draw().abs());
        let length = 1500 + (1500.0 * noise.draw().abs()) as usize;
        let hiss = 0.2 * noise.draw().abs();
        let mut phase = 0.0f64;
        for i in 0..length {
            phase += low + (high - low) * i as f64 / length as f64;
            let sound = phase.sin() + 0.5 * (2.0 * phase).sin() + hiss * noise.draw();
            samples.push((loudness * sound * 16000.0) as i16);
        }
        let pause = 200 + (2000.0 * noise.draw().abs()) as usize;
        samples.extend((0..pause).map(|_| (20.0 * noise.draw()) as i16));
    }
    samples
}

/// A wav file with a title, of a length that is no whole number of hops.
fn write_wav(path: &Path, samples: &[i16]) {
    let data: Vec<u8> = samples.iter().flat_map(|x| x.to_le_bytes()).collect();
    let mut bytes = b"RIFF\0\0\0\0WAVELIST\x05\0\0\0title\0fmt \x10\0\0\0\x01\0\x01\0".to_vec();
    bytes.extend([RATE, 2 * RATE].map(u32::to_le_bytes).concat());
    bytes.extend(b"\x02\0\x10\0data");
    bytes.extend((data.len() as u32).to_le_bytes());
    bytes.extend(data);
    fs::write(path, bytes).unwrap();
}

struct Device {
    firmware: Firmware,
    model: Model,
    front_end: FrontEnd,
}

fn folder(name: &str) -> PathBuf {
    let folder = paths::output().join("tests/keyword").join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// From a checkpoint to firmware, of the contract that suits the core.
fn device(board: &str) -> Device {
    let into = folder(board);
    let board = Board::named(board).unwrap();
    let checkpoint = into.join("checkpoint");
    let front_end = untrained(&checkpoint);
    let storage = Storage::listening(&board);
    let cli = Path::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"));
    let model = convert(cli, &checkpoint, storage, &into).unwrap();
    Device {
        firmware: firmware::keyword(&board, &model).unwrap(),
        model,
        front_end,
    }
}

impl Device {
    /// Hears `samples` on the host and on the device; the number of events, and the device's report.
    fn hears_as_the_host(&self, samples: &[i16], name: &str) -> (usize, Report) {
        let wav = format!("{}-{name}.wav", self.firmware.board.name);
        let elf = &self.firmware.elf;
        write_wav(&elf.with_file_name(&wav), samples);
        let blob = &self.model.files.blob;
        let expected = keyword::listen(blob, &self.front_end, samples, &SETTINGS).unwrap();
        let arguments = format!("wav={wav} {}", SETTINGS.arguments());
        let output = qemu::run(&self.firmware, &arguments, LIMIT, |_| ()).unwrap();
        let report = Report::parse(&output.success().unwrap().stdout);
        let events = String::from_utf8_lossy(&report.text);
        assert_eq!(events.lines().collect::<Vec<_>>(), expected.events);
        assert_eq!(report.get("posteriors_hash").unwrap(), expected.hash);
        for (key, number) in [
            ("frames", expected.frames),
            ("decisions", expected.decisions),
            ("events", expected.events.len()),
            ("milliseconds", samples.len() * 1000 / RATE as usize),
        ] {
            assert_eq!(report.number(key).unwrap(), number as u64, "{key}");
        }
        assert_eq!(self.evaluated_hash(samples), expected.hash);
        (expected.events.len(), report)
    }

    /// The hash of the posteriors that `toeplite eval --stream` makes its events of.
    fn evaluated_hash(&self, samples: &[i16]) -> String {
        let blob = Blob::read(&self.model.files.blob).unwrap();
        let model = blob.any().unwrap();
        let listening = Listening {
            half_life: Some(SETTINGS.half_life.into()),
            every: SETTINGS.every,
        };
        let front_end = self.front_end.clone().in_integers(model.is_fixed());
        let features = front_end.features(samples).unwrap();
        let logits = decisions(&model, &features, &listening).unwrap();
        let mut smoothed = [0.0; CLASSES];
        let mut detector = Detector::new(SETTINGS.detector, &mut smoothed);
        let mut hash = LogitsHash::new();
        for logits in logits.chunks_exact(CLASSES) {
            detector.push(logits.iter().copied());
            hash.update(logits);
            hash.update(detector.posteriors());
        }
        format!("{:016x}", hash.finish())
    }

    /// Hears short recordings as `cargo xtask listen FOLDER` does; the hash of all.
    fn hears_a_folder_as_the_host(&self, count: u64) -> String {
        let folder = folder(&format!("{}-recordings", self.firmware.board.name));
        let files: Vec<_> = (0..count)
            .map(|seed| folder.join(format!("a recording {seed}.wav")))
            .collect();
        for (seed, file) in files.iter().enumerate() {
            write_wav(file, &recording(100 + seed as u64, 1));
        }
        assert_eq!(
            recordings::wav_files(std::slice::from_ref(&folder)).unwrap(),
            files
        );
        let paused = folder.with_extension("paused");
        let files = recordings::with_pause(&files, RATE, 0.3, &paused).unwrap();
        let listener = Listener {
            firmware: &self.firmware,
            blob: &self.model.files.blob,
            front_end: &self.front_end,
            settings: &SETTINGS,
        };
        let checked = recordings::check(listener, &files, 2, |_| ()).unwrap();
        assert_eq!(checked.len(), files.len());
        for (one, file) in checked.iter().zip(&files) {
            assert_eq!((&one.recording, &one.difference), (file, &None));
            // a wav file of this length with the pause
            let bytes = fs::metadata(file).unwrap().len();
            assert_eq!(one.milliseconds, (bytes - 44) / 2 * 1000 / u64::from(RATE));
            assert!(one.decisions > 5 && one.ram_bytes > 1000, "{one:?}");
        }
        recordings::hash(&checked)
    }
}

/// The host's events and posteriors, by firmware without a path that panics, in the memory that it says.
fn keywords_like_on_the_host(board: &str, recordings: u64) {
    let device = device(board);
    let panicking = elf::panicking_functions(&device.firmware.elf).unwrap();
    assert_eq!(panicking, Vec::<String>::new());
    let mut all = 0;
    for seed in 1..=recordings {
        let samples = recording(seed, 5);
        let (events, report) = device.hears_as_the_host(&samples, &seed.to_string());
        let number = |key| report.number(key).unwrap();
        eprintln!(
            "{board}: {events} events in {} ms, {} instructions a second: a frame {} and {}, a decision {}; RAM {}, stack {}",
            number("milliseconds"),
            number("instructions_per_second"),
            number("instructions_per_frame_front_end"),
            number("instructions_per_frame_classifier"),
            number("instructions_per_decision"),
            number("ram_bytes"),
            number("stack_peak_bytes"),
        );
        assert!(number("instructions_per_frame_front_end") > 10_000);
        assert!(number("instructions_per_frame_classifier") > 1_000);
        let sizes = elf::sizes(&device.firmware.elf).unwrap();
        assert_eq!(number("static_ram_bytes"), sizes.ram);
        assert_eq!(
            number("session_memory_bytes"),
            device.model.memory_bytes().unwrap()
        );
        all += events;
    }
    assert!(all > 0, "no events: nothing was compared");
    let hash = device.hears_a_folder_as_the_host(8);
    // Of the cores with the same contract whichever is first says what the others must hear.
    static HEARD: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];
    let first = &HEARD[usize::from(device.firmware.board.contract() == F32)];
    assert_eq!(first.get_or_init(|| hash.clone()), &hash, "{board}");
}

#[test]
fn keywords_on_cortex_m4f() {
    keywords_like_on_the_host("mps2-an386", 3);
}

#[test]
fn keywords_on_cortex_m55() {
    keywords_like_on_the_host("mps3-an547", 3);
}

/// Features and a classifier in integers.
#[test]
fn keywords_on_cortex_m0() {
    keywords_like_on_the_host("microbit", 2);
}

#[test]
fn keywords_on_rv32imac() {
    keywords_like_on_the_host("virt-rv32", 1);
}

/// The bundled network's costs on a device without arguments: what the guide promises.
fn bundled_words_cost_less_than(board: &str, instructions: u64, ram: u64) {
    let name = "keywords";
    let into = folder(&format!("{board}-{name}"));
    let board = Board::named(board).unwrap();
    let checkpoint = paths::checkpoint(name);
    let Ok(Some(AnyFrontEnd::Sound(front_end))) = AnyFrontEnd::of_checkpoint(&checkpoint) else {
        panic!("{name} hears sounds");
    };
    let cli = Path::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"));
    let model = convert(cli, &checkpoint, Storage::listening(&board), &into).unwrap();
    let firmware = firmware::keyword(&board, &model).unwrap();
    let wav = firmware
        .elf
        .with_file_name(format!("{}-{name}.wav", board.name));
    let samples = recording(5, 2);
    write_wav(&wav, &samples);
    let settings = Settings::default();
    let expected = keyword::listen(&model.files.blob, &front_end, &samples, &settings).unwrap();
    let arguments = format!("wav={}", wav.file_name().unwrap().display());
    let output = qemu::run(&firmware, &arguments, LIMIT, |_| ()).unwrap();
    let report = Report::parse(&output.success().unwrap().stdout);
    assert_eq!(report.get("posteriors_hash").unwrap(), expected.hash);
    let number = |key| report.number(key).unwrap();
    let found = (number("instructions_per_second"), number("ram_bytes"));
    eprintln!("{name} on {}: {found:?}", board.name);
    assert!(found.0 < instructions && found.1 < ram, "{found:?}");
}

#[test]
fn bundled_words_in_time_on_cortex_m4f() {
    bundled_words_cost_less_than("mps2-an386", 5_000_000, 7 << 10);
}

#[test]
fn bundled_words_in_time_on_cortex_m0() {
    bundled_words_cost_less_than("microbit", 17_000_000, 8 << 10);
}
