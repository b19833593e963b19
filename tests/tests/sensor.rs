//! The sensor example on emulated devices: the host's events and bits. Needs what `cargo xtask setup` installs; fails, saying
//! so, without.
#![allow(missing_docs)]

use std::f64::consts::TAU;
use std::fs;
use std::path::Path;
use std::time::Duration;
use toeplite_tests::Noise;
use toeplite_tools::checkpoint::Sensor;
use xtask::boards::Board;
use xtask::firmware::{self, Firmware};
use xtask::model::{Model, Storage, convert};
use xtask::report::Report;
use xtask::sensor::{self, Settings};
use xtask::{elf, paths, qemu};

/// Of a run, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);
/// Seconds of a stream.
const SECONDS: usize = 40;

/// An arm that moves, in another way every eight seconds: gravity that turns, and the rate at which it does; `seed` says how.
fn stream(sensor: &Sensor, seed: u64) -> Vec<i16> {
    let mut noise = Noise::new(seed);
    let mut samples = Vec::new();
    for _ in 0..SECONDS / 8 {
        let [tilt, swing, lean] = [2.0, 1.5, 1.0].map(|x| x * noise.draw());
        let hertz = 0.2 + 0.4 * noise.draw().abs();
        for i in 0..8 * sensor.rate {
            let turn = TAU * hertz;
            let phase = turn * f64::from(i) / f64::from(sensor.rate);
            let angle = tilt + swing * phase.sin();
            // 1/4096 g and 1/16.4 degree a second, as the recordings of the training have them
            let rate = 16.4 * (swing * turn * phase.cos()).to_degrees();
            let axes = [angle.cos(), angle.sin(), lean].map(|g| 4096.0 * g);
            let turns = [rate, 0.3 * rate, lean * rate];
            let all = axes.into_iter().chain(turns);
            samples.extend(all.map(|x| (x + 100.0 * noise.draw()) as i16));
        }
    }
    // no whole number of frames
    samples.truncate(samples.len() - sensor.channels.len());
    samples
}

struct Device {
    firmware: Firmware,
    model: Model,
    sensor: Sensor,
}

/// From the bundled checkpoint to firmware.
fn device(board: &str) -> Device {
    let board = Board::named(board).unwrap();
    let checkpoint = paths::checkpoint("activity");
    let into = paths::output().join("tests/sensor").join(&board.name);
    let cli = Path::new(env!("CARGO_BIN_EXE_toeplite-tests-cli"));
    let model = convert(cli, &checkpoint, Storage::listening(&board), &into).unwrap();
    Device {
        firmware: firmware::sensor(&board, &model).unwrap(),
        model,
        sensor: sensor::of_checkpoint(&checkpoint).unwrap(),
    }
}

impl Device {
    /// Sees `samples` on the host and on the device; the number of events, and the device's report.
    fn sees_as_the_host(
        &self,
        samples: &[i16],
        settings: &Settings,
        name: &str,
    ) -> (usize, Report) {
        let file = format!("{}-{name}.samples", self.firmware.board.name);
        let elf = &self.firmware.elf;
        fs::write(elf.with_file_name(&file), sensor::bytes(samples)).unwrap();
        let blob = &self.model.files.blob;
        let expected = sensor::watch(blob, &self.sensor, samples, settings).unwrap();
        let arguments = format!("samples={file} {}", settings.arguments());
        let output = qemu::run(&self.firmware, &arguments, LIMIT, |_| ()).unwrap();
        let report = Report::parse(&output.success().unwrap().stdout);
        let events = String::from_utf8_lossy(&report.text);
        let lines: Vec<_> = expected.events.iter().map(|e| e.line.as_str()).collect();
        assert_eq!(events.lines().collect::<Vec<_>>(), lines);
        assert_eq!(report.get("posteriors_hash").unwrap(), expected.hash);
        let count = samples.len() / self.sensor.channels.len();
        for (key, number) in [
            ("samples", count),
            ("frames", expected.frames),
            ("decisions", expected.decisions),
            ("events", expected.events.len()),
            ("milliseconds", count * 1000 / self.sensor.rate as usize),
        ] {
            assert_eq!(report.number(key).unwrap(), number as u64, "{key}");
        }
        (expected.events.len(), report)
    }
}

/// The host's events and posteriors, by firmware without a path that panics, in the memory that it says.
fn activities_like_on_the_host(board: &str) {
    let device = device(board);
    let panicking = elf::panicking_functions(&device.firmware.elf).unwrap();
    assert_eq!(panicking, Vec::<String>::new());
    let mut eager = Settings {
        every: 1,
        half_life: 6.5,
        ..Settings::default()
    };
    eager.tracker.threshold = 0.35;
    let mut all = 0;
    for (seed, settings) in [(1, Settings::default()), (2, eager)] {
        let samples = stream(&device.sensor, seed);
        let (events, report) = device.sees_as_the_host(&samples, &settings, &seed.to_string());
        let number = |key| report.number(key).unwrap();
        eprintln!(
            "{board}: {events} events in {} ms, {} instructions a second: a sample {}, a frame {}, a decision {}; flash {}, RAM {}, stack {}",
            number("milliseconds"),
            number("instructions_per_second"),
            number("instructions_per_sample_front_end"),
            number("instructions_per_frame_classifier"),
            number("instructions_per_decision"),
            number("flash_bytes"),
            number("ram_bytes"),
            number("stack_peak_bytes"),
        );
        assert!(number("instructions_per_frame_classifier") > 1_000);
        let sizes = elf::sizes(&device.firmware.elf).unwrap();
        assert_eq!(number("static_ram_bytes"), sizes.ram);
        let memory = device.model.memory_bytes().unwrap();
        assert_eq!(number("session_memory_bytes"), memory);
        all += events;
    }
    assert!(all > 0, "no events: nothing was compared");
}

#[test]
fn activities_on_cortex_m4f() {
    activities_like_on_the_host("mps2-an386");
}

#[test]
fn activities_on_cortex_m55() {
    activities_like_on_the_host("mps3-an547");
}

/// The classifier's floats by software.
#[test]
fn activities_on_cortex_m0() {
    activities_like_on_the_host("microbit");
}
