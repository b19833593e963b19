//! Streams in chunks, levels, bits, and configurations.

mod common;

use common::{Golden, fixed_features, float_features, with_fixed, with_float};
use proptest::prelude::*;
use toeplite_audio::{
    Agc, Compression, Config, ConfigError, LengthError, LogMel, Memory, Pcen, TableError, Tables,
    TablesRef, fixed,
};

fn bits(features: &[f32]) -> Vec<u32> {
    features.iter().map(|f| f.to_bits()).collect()
}

fn compressions(config: Config) -> [Config; 3] {
    [config, config.with_pcen(), config.with_agc()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]
    #[test]
    fn chunks_do_not_matter(
        samples in proptest::collection::vec(any::<i16>(), 0..2000),
        cuts in proptest::collection::vec(0usize..300, 1..40),
        (frame, hop) in (32usize..300).prop_flat_map(|frame| (Just(frame), 1..=frame)),
        compression in 0usize..3,
    ) {
        let config = Config::speech(8000).with_frames(frame, hop).with_bands(4, 500, 4000);
        let config = compressions(config)[compression];
        let whole = float_features(config, &samples);
        prop_assert_eq!(whole.len(), config.frames(samples.len()) * config.bands);
        let mut chunks = Vec::new();
        let mut rest = &samples[..];
        for cut in cuts.iter().cycle().take(10_000) {
            let (chunk, later) = rest.split_at((*cut).min(rest.len()));
            chunks.push(chunk);
            rest = later;
        }
        chunks.push(rest);
        let found = with_float(config, |front_end| {
            let mut all = Vec::new();
            for chunk in &chunks {
                front_end.push(chunk, |f| all.extend_from_slice(f));
            }
            // and once more after a reset
            front_end.reset();
            let mut again = Vec::new();
            front_end.push(&samples, |f| again.extend_from_slice(f));
            (all, again)
        });
        prop_assert_eq!(bits(&found.0), bits(&whole));
        prop_assert_eq!(bits(&found.1), bits(&whole));
        let whole = fixed_features(config, &samples);
        let found = with_fixed(config, |front_end| {
            let mut all = Vec::new();
            for mut chunk in chunks {
                while let Some(features) = front_end.next(&mut chunk) {
                    all.extend(features.iter().map(|f| f32::from(*f) / f32::from(fixed::ONE)));
                }
            }
            all
        });
        prop_assert_eq!(found, whole);
    }

    /// Whatever is heard: numbers, and the two front ends agree where bands are heard at all.
    #[test]
    fn features_are_finite(samples in proptest::collection::vec(any::<i16>(), 1024..3000), points in 0usize..5, compression in 0usize..3) {
        let config = Config::speech(16000).with_frames([64, 128, 256, 512, 1024][points], 50).with_bands(3, 400, 8000);
        let config = compressions(config)[compression];
        let found = float_features(config, &samples);
        for (a, b) in found.iter().zip(fixed_features(config, &samples)) {
            prop_assert!(a.is_finite() && (a - b).abs() < 0.01, "{a} {b}");
        }
    }
}

/// What the compiler makes for a device is what the host makes, to the bit.
#[test]
fn tables_in_flash_are_those_of_the_host() {
    const CONFIG: Config = Config::speech(8000).with_pcen();
    static TABLES: Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> =
        Tables::new(CONFIG);
    static FIXED: fixed::Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> =
        fixed::Tables::new(CONFIG);
    let golden = Golden::at_8000();
    let mut memory = Memory::<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }>::new();
    let mut front_end = LogMel::new(TABLES.view(), memory.buffers()).unwrap();
    let mut found = Vec::new();
    front_end.push(&golden.samples, |f| found.extend_from_slice(f));
    assert_eq!(bits(&found), bits(&float_features(CONFIG, &golden.samples)));
    let mut memory = fixed::Memory::<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }>::new();
    let mut front_end = fixed::LogMel::new(FIXED.view(), memory.buffers()).unwrap();
    let mut found = Vec::new();
    front_end.push(&golden.samples, |f| {
        found.extend(f.iter().map(|f| f32::from(*f) / f32::from(fixed::ONE)));
    });
    assert_eq!(found, fixed_features(CONFIG, &golden.samples));
}

/// FNV-1a of numbers.
fn hash(numbers: impl Iterator<Item = u32>) -> u32 {
    numbers.fold(0x811C_9DC5, |h, x| (h ^ x).wrapping_mul(0x0100_0193))
}

/// No compiler, level of optimization or target may give other bits: these were found once and are the contract.
#[test]
fn bits_are_these() {
    let golden = Golden::at_8000();
    let config = Config::speech(8000);
    let float = |config| hash(bits(&float_features(config, &golden.samples)).into_iter());
    let fixed = |config| {
        let features = fixed_features(config, &golden.samples).into_iter();
        hash(features.map(|f| (f * f32::from(fixed::ONE)) as i32 as u32))
    };
    let found = [
        compressions(config).map(float),
        compressions(config).map(fixed),
    ];
    let expected = [
        [0x7301_ac7b, 0x2ac4_51fa, 0xa4b3_956d],
        [0x709e_c3fa, 0x3ff3_32c4, 0x5087_e52a],
    ];
    assert_eq!(found, expected, "{found:#010x?}");
}

/// The second half of the recording is the first one 20 dB quieter.
#[test]
fn pcen_and_gain_control_forget_how_loud_a_recording_is() {
    let speech = &Golden::at_8000().samples[8000..];
    let (loud, quiet) = speech.split_at(speech.len() / 2);
    for features in [float_features, fixed_features] {
        let apart = |config: Config| {
            let (loud, quiet) = (features(config, loud), features(config, quiet));
            let sum: f32 = loud.iter().zip(&quiet).map(|(a, b)| (a - b).abs()).sum();
            let mean = loud.iter().sum::<f32>() / loud.len() as f32;
            let spread: f32 = loud.iter().map(|x| (x - mean).abs()).sum();
            sum / spread
        };
        let config = Config::speech(8000);
        let [log, pcen, agc] = compressions(config).map(apart);
        let good = log > 1.0 && pcen < 0.25 && agc < 0.1;
        assert!(good, "{log} {pcen} {agc}");
    }
}

#[test]
fn silence_has_known_features() {
    let config = Config::speech(8000);
    let silence = [0; 1000];
    let floor = (1e-6f64).ln() as f32;
    for f in [float_features, fixed_features] {
        assert!(f(config, &silence).iter().all(|x| (x - floor).abs() < 5e-4));
        assert!(
            f(config.with_pcen(), &silence)
                .iter()
                .all(|x| x.abs() < 1e-6)
        );
        let agc = f(config.with_agc(), &silence);
        assert!(agc.iter().all(|x| (x - 1e-4f32.ln()).abs() < 3e-3));
    }
    let expected = Compression::Log { floor: 0.5 };
    let found = float_features(config.with_compression(expected), &silence);
    assert!(found.iter().all(|x| (x - 0.5f32.ln()).abs() < 1e-6));
}

#[test]
fn configurations_that_cannot_be_are_refused() {
    let good = Config::speech(8000);
    let pcen = |change: fn(&mut Pcen)| {
        let mut pcen = Pcen::published(8000, 160);
        change(&mut pcen);
        good.with_compression(Compression::Pcen(pcen))
    };
    let agc = |change: fn(&mut Agc)| {
        let mut agc = Agc::speech(8000, 160);
        change(&mut agc);
        good.with_compression(Compression::Agc(agc))
    };
    for rate in [8000, 11025, 16000, 22050] {
        for config in compressions(Config::speech(rate)) {
            config.check().unwrap();
        }
    }
    for (config, expected) in [
        (Config::speech(100), ConfigError::Rate),
        (good.with_frames(2048, 10), ConfigError::Frame),
        (good.with_frames(100, 0), ConfigError::Hop),
        (good.with_frames(100, 101), ConfigError::Hop),
        (good.with_bands(32, 0, 4001), ConfigError::Edges),
        (good.with_bands(32, 300, 300), ConfigError::Edges),
        (good.with_bands(0, 60, 4000), ConfigError::Bands),
        (good.with_bands(128, 60, 4000), ConfigError::Bands),
        (good.with_bands(120, 60, 4000), ConfigError::EmptyBand),
        (
            good.with_compression(Compression::Log { floor: 0.0 }),
            ConfigError::Compression,
        ),
        (
            good.with_compression(Compression::Log { floor: f32::NAN }),
            ConfigError::Compression,
        ),
        (agc(|a| a.smoothing = 2.0), ConfigError::Compression),
        (agc(|a| a.floor = 0.0), ConfigError::Compression),
        (agc(|a| a.epsilon = -1.0), ConfigError::Compression),
        (pcen(|p| p.smoothing = 0.0), ConfigError::Compression),
        (pcen(|p| p.gain = 1.1), ConfigError::Compression),
        (pcen(|p| p.bias = 0.0), ConfigError::Compression),
        (pcen(|p| p.power = -1.0), ConfigError::Compression),
        (pcen(|p| p.epsilon = 0.0), ConfigError::Compression),
    ] {
        assert_eq!(config.check(), Err(expected), "{config:?}");
        assert!(expected.to_string().len() > 20);
        let refused = TablesRef::fill(config, &mut [], &mut [], &mut []).err();
        assert_eq!(refused, Some(TableError::Config(expected)));
    }
    let refused = TablesRef::fill(good, &mut [0.0; 3], &mut [], &mut []).unwrap_err();
    let expected = LengthError {
        what: "the window",
        needed: 200,
        found: 3,
    };
    assert_eq!(refused, TableError::Length(expected));
    assert!(refused.to_string().contains("200 elements, not 3"));
}
