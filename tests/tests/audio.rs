//! The audio front ends on emulated devices. Needs what `cargo xtask setup` installs; fails, saying so, without.
#![allow(missing_docs)]

use std::time::Duration;
use toeplite_audio::{Config, LogMel, Memory, Tables, fixed};
use xtask::boards::Board;
use xtask::report::Report;
use xtask::{elf, firmware, qemu};

/// Of a run, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);

/// That of the binary `audio`.
const LOG: Config = Config::speech(8000);
const PCEN: Config = LOG.with_pcen();
const AGC: Config = LOG.with_agc();
const FRAME: usize = LOG.frame;
const BINS: usize = LOG.bins();
const BANDS: usize = LOG.bands;

static RECORDING: &[u8] = include_bytes!("../../audio/tests/fixtures/samples-8000.i16");

/// FNV-1a of words.
fn hash(numbers: impl Iterator<Item = u32>) -> u64 {
    let step = |h: u32, x: u32| (h ^ x).wrapping_mul(0x0100_0193);
    numbers.fold(0x811C_9DC5, step).into()
}

/// The features of all samples on the host, as hashes: f32 and integers of each compression.
fn hashes(samples: &[i16]) -> [u64; 6] {
    let float = |config| {
        let tables = Tables::<FRAME, BINS, BANDS>::new(config);
        let mut memory = Memory::<FRAME, BINS, BANDS>::new();
        let mut all = Vec::new();
        let mut front_end = LogMel::new(tables.view(), memory.buffers()).unwrap();
        front_end.push(samples, |f| all.extend_from_slice(f));
        hash(all.into_iter().map(f32::to_bits))
    };
    let fixed = |config| {
        let tables = fixed::Tables::<FRAME, BINS, BANDS>::new(config);
        let mut memory = fixed::Memory::<FRAME, BINS, BANDS>::new();
        let mut all = Vec::new();
        let mut front_end = fixed::LogMel::new(tables.view(), memory.buffers()).unwrap();
        front_end.push(samples, |f| all.extend_from_slice(f));
        hash(all.into_iter().map(|x| x as u32))
    };
    let (float, fixed) = ([LOG, PCEN, AGC].map(float), [LOG, PCEN, AGC].map(fixed));
    [float[0], float[1], float[2], fixed[0], fixed[1], fixed[2]]
}

/// The host's bits on cores with and without an FPU, without a panic path, at about the same cost for every frame, and no
/// more of it than is documented.
#[test]
fn front_ends_on_cortex_m4f_and_m0() {
    let (pairs, _) = RECORDING.as_chunks::<2>();
    let mut samples: Vec<i16> = pairs.iter().map(|x| i16::from_le_bytes(*x)).collect();
    samples.truncate(samples.len() / LOG.hop * LOG.hop);
    let hashes = hashes(&samples);
    // instructions of a frame; floats in software are nobody's choice
    for (name, limits) in [
        (
            "mps2-an386",
            [19_000, 23_000, 19_500, 35_500, 42_000, 36_000],
        ),
        (
            "microbit",
            [u64::MAX, u64::MAX, u64::MAX, 59_500, 81_000, 61_000],
        ),
    ] {
        let firmware = firmware::audio(&Board::named(name).unwrap()).unwrap();
        let panicking = elf::panicking_functions(&firmware.elf).unwrap();
        assert_eq!(panicking, Vec::<String>::new());
        let output = qemu::run(&firmware, "", LIMIT, |_| ()).unwrap();
        let report = Report::parse(&output.success().unwrap().stdout);
        let number = |key: &str, what| report.number(&format!("{key}_{what}")).unwrap();
        let keys = [
            "f32_log",
            "f32_pcen",
            "f32_agc",
            "fixed_log",
            "fixed_pcen",
            "fixed_agc",
        ];
        for ((key, hash), limit) in keys.into_iter().zip(hashes).zip(limits) {
            assert_eq!(number(key, "hash"), hash, "{key} on {name}");
            let frames = LOG.frames(samples.len()) as u64;
            assert_eq!(number(key, "frames"), frames);
            let (least, most) = (number(key, "least"), number(key, "most"));
            let all = number(key, "all");
            eprintln!(
                "{name} {key}: {least} to {most} instructions a frame, {} on average",
                all / frames
            );
            assert!(least > 1000 && all >= frames * least, "{key} on {name}");
            if limit < u64::MAX {
                assert!(most <= limit, "{key} on {name}: {most}");
                assert!(
                    (most - least) * 5 < most,
                    "{key} on {name}: {least} to {most}"
                );
            }
        }
    }
}
