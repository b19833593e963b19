//! Front ends in memory that other work has in between.

mod common;

use common::{Golden, Next, fixed_features, float_features, with_fixed_shared, with_shared};
use toeplite_audio::{Config, Kept, LengthError, SharedLogMel, SharedMemory, Tables, fixed};

fn compressions(config: Config) -> [Config; 3] {
    [config, config.with_pcen(), config.with_agc()]
}

/// The features of `samples`, in memory that begins at word `offset` of a larger one, and has other things in it before
/// every call.
fn features(
    next: Next<'_>,
    words: usize,
    offset: usize,
    config: Config,
    samples: &[i16],
) -> Vec<u32> {
    let mut memory = vec![0u64; words / 2 + 2];
    // aligned for pairs at even offsets alone
    let all: &mut [u32] = bytemuck::cast_slice_mut(&mut memory);
    let work = &mut all[offset..offset + words];
    let mut features = vec![f32::NAN; config.bands];
    let mut found = Vec::new();
    for mut chunk in samples.chunks(83) {
        loop {
            work.fill(u32::MAX - found.len() as u32);
            if !next(&mut chunk, work, &mut features).unwrap() {
                break;
            }
            found.extend(features.iter().map(|f| f.to_bits()));
        }
    }
    found
}

fn bits(features: &[f32]) -> Vec<u32> {
    features.iter().map(|f| f.to_bits()).collect()
}

#[test]
fn features_are_the_same_whatever_is_done_in_between() {
    let samples = &Golden::at_8000().samples[..8000];
    for config in compressions(Config::speech(8000)) {
        for offset in [0, 1] {
            let found = with_shared(config, |next, words| {
                features(next, words, offset, config, samples)
            });
            assert_eq!(found, bits(&float_features(config, samples)), "{config:?}");
            let found = with_fixed_shared(config, |next, words| {
                features(next, words, offset, config, samples)
            });
            assert_eq!(found, bits(&fixed_features(config, samples)), "{config:?}");
        }
    }
}

#[test]
fn memory_that_is_too_short_is_named_and_no_samples_are_taken() {
    let config = Config::speech(8000).with_agc();
    let refused = |next: Next<'_>, words: usize| {
        let samples = [1; 400];
        let mut rest = &samples[..];
        let short = next(&mut rest, &mut vec![0; words - 1], &mut [0.0; 32]).unwrap_err();
        assert_eq!((short.needed, short.found), (words, words - 1));
        assert!(short.to_string().contains("memory for work"), "{short}");
        let bands = next(&mut rest, &mut vec![0; words], &mut [0.0; 31]).unwrap_err();
        assert_eq!((bands.needed, bands.found), (32, 31));
        assert_eq!(rest.len(), samples.len());
    };
    with_shared(config, refused);
    with_fixed_shared(config, refused);
}

#[test]
fn memory_of_a_device_is_what_the_docs_say() {
    const CONFIG: Config = Config::speech(8000).with_agc();
    static TABLES: Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> =
        Tables::new(CONFIG);
    type Memory = SharedMemory<{ CONFIG.frame }, { CONFIG.levels() }>;
    assert_eq!(size_of::<Memory>(), 404);
    assert_eq!(size_of::<fixed::SharedMemory<200, 1>>(), 408);
    assert_eq!(SharedLogMel::work_words(&CONFIG), 256);
    assert_eq!(fixed::SharedLogMel::work_words(&CONFIG), 321);
    let levels = compressions(CONFIG.with_compression(Config::speech(8000).compression));
    assert_eq!(levels.map(|config| config.levels()), [0, 32, 1]);
    let mut memory = Memory::new();
    let mut front_end = SharedLogMel::new(TABLES.view(), memory.kept()).unwrap();
    let (mut work, mut features) = ([0; 256], [0.0; 32]);
    let samples = &Golden::at_8000().samples[..200];
    let mut rest = samples;
    let found = front_end.next(&mut rest, &mut work, &mut features);
    assert_eq!(found, Ok(true));
    assert_eq!(bits(&features), bits(&float_features(CONFIG, samples)));
    let kept = Kept {
        samples: &mut [0; 200],
        levels: &mut [0.0; 32],
    };
    let expected = LengthError {
        what: "the buffer of levels",
        needed: 1,
        found: 32,
    };
    let refused = SharedLogMel::new(TABLES.view(), kept).map(|_| ());
    assert_eq!(refused, Err(expected));
}
