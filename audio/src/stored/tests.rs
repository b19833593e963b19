extern crate std;

use super::*;
use crate::fixed::Tables as FixedTables;
use crate::{Buffers, LogMel, Tables};
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

const PCEN: Config = Config::speech(8000).with_pcen();
const ODD: Config = Config::speech(16000)
    .with_frames(301, 150)
    .with_bands(21, 100, 7000)
    .with_agc();

/// Bytes at a multiple of 4.
struct Words(Vec<u32>, usize);

impl Words {
    fn new(length: usize) -> Self {
        Self(vec![0; length.div_ceil(4)], length)
    }

    fn bytes(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.0)[..self.1]
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.0)[..self.1]
    }
}

fn floats(tables: tables::TablesRef<'_>) -> Words {
    let mut words = Words::new(stored_bytes(&tables.config, false));
    write_float(&tables, words.bytes_mut()).unwrap();
    words
}

fn integers(tables: fixed::TablesRef<'_>) -> Words {
    let mut words = Words::new(stored_bytes(&tables.config(), true));
    write_fixed(&tables, words.bytes_mut()).unwrap();
    words
}

static FLOAT_TABLES: Tables<200, 128, 32> = Tables::new(PCEN);
static ODD_TABLES: Tables<301, 256, 21> = Tables::new(ODD);
static FIXED_TABLES: FixedTables<200, 128, 32> = FixedTables::new(PCEN);
static ODD_FIXED_TABLES: FixedTables<301, 256, 21> = FixedTables::new(ODD);

fn noise() -> Vec<i16> {
    let draw = |i: u32| (i.wrapping_mul(2_654_435_761) >> 16) as i16;
    (0..4000).map(draw).collect()
}

fn heard(tables: tables::TablesRef<'_>) -> Vec<u32> {
    let config = tables.config;
    let memory = Buffers {
        samples: &mut vec![0; config.frame],
        spectrum: &mut vec![[0.0; 2]; config.bins()],
        bands: &mut vec![0.0; config.bands],
        levels: &mut vec![0.0; config.bands],
    };
    let mut all = Vec::new();
    let mut front_end = LogMel::new(tables, memory).unwrap();
    front_end.push(&noise(), |frame| {
        all.extend(frame.iter().map(|x| x.to_bits()))
    });
    all
}

fn heard_in_integers(tables: fixed::TablesRef<'_>) -> Vec<i16> {
    let config = tables.config();
    let memory = fixed::Buffers {
        samples: &mut vec![0; config.frame],
        spectrum: &mut vec![[0; 2]; config.bins()],
        energies: &mut vec![0; config.bands],
        levels: &mut vec![0; config.bands],
        features: &mut vec![0; config.bands],
    };
    let mut all = Vec::new();
    let mut front_end = fixed::LogMel::new(tables, memory).unwrap();
    front_end.push(&noise(), |frame| all.extend_from_slice(frame));
    all
}

#[test]
fn the_same_is_heard_with_stored_tables() {
    for made in [FLOAT_TABLES.view(), ODD_TABLES.view()] {
        let words = floats(made);
        let stored = Stored::from_bytes(words.bytes()).unwrap();
        assert_eq!(stored.config(), made.config);
        let features = heard(stored.float().unwrap());
        assert!(!features.is_empty());
        assert_eq!(features, heard(made));
        let error = stored.fixed().unwrap_err();
        assert_eq!(error, StoredError::OtherArithmetic { integers: false });
    }
    for made in [FIXED_TABLES.view(), ODD_FIXED_TABLES.view()] {
        let words = integers(made);
        let stored = Stored::from_bytes(words.bytes()).unwrap();
        assert_eq!(stored.config(), made.config());
        let features = heard_in_integers(stored.fixed().unwrap());
        assert!(!features.is_empty());
        assert_eq!(features, heard_in_integers(made));
        let error = stored.float().unwrap_err();
        assert_eq!(error, StoredError::OtherArithmetic { integers: true });
    }
}

#[test]
fn mistakes_are_told_apart() {
    let refused = |at: usize, bytes: &[u8]| {
        let mut words = integers(FIXED_TABLES.view());
        words.bytes_mut()[at..at + bytes.len()].copy_from_slice(bytes);
        let stored = Stored::from_bytes(words.bytes());
        stored.and_then(|stored| stored.fixed().map(|_| ())).err()
    };
    assert_eq!(refused(0, &[2]), Some(StoredError::Version { found: 2 }));
    assert_eq!(refused(2, &[3]), Some(StoredError::Arithmetic));
    let config = |error| Some(StoredError::Config(error));
    assert_eq!(refused(4, &[1, 0]), config(ConfigError::Rate));
    assert_eq!(refused(10, &[0]), config(ConfigError::Hop));
    assert_eq!(refused(14, &[9]), config(ConfigError::Compression));
    assert_eq!(refused(24, &[0xFF; 4]), config(ConfigError::Compression));
    assert_eq!(refused(12, &[30]), Some(StoredError::Length));
    let table = |what| Some(StoredError::Table { what });
    assert_eq!(refused(44, &[120]), table("triangles"));
    let twiddles = HEADER_BYTES + 2 * 32;
    assert_eq!(
        refused(twiddles, &[0xFF, 0x7F, 0xFF, 0x7F]),
        table("twiddles")
    );
    let window = twiddles + 4 * 128;
    assert_eq!(refused(window, &[1, 0x80]), table("window"));
    assert_eq!(refused(window + 2 * 200, &[1, 0x80]), table("weights"));
    assert_eq!(refused(window, &[0, 0x80]), None);

    let mut words = floats(FLOAT_TABLES.view());
    let window = HEADER_BYTES + 2 * 32;
    words.bytes_mut()[window..window + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let stored = Stored::from_bytes(words.bytes()).unwrap();
    assert_eq!(stored.float().err(), table("window"));
    let cut = words.bytes().len() - 4;
    let error = Stored::from_bytes(&words.bytes()[..cut]).err();
    assert_eq!(error, Some(StoredError::Length));
}

proptest! {
    /// Whatever the bytes are, what is accepted can be computed with.
    #[test]
    fn any_bytes_are_survived(
        in_integers: bool,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 0..6),
    ) {
        let mut words = match in_integers {
            true => integers(ODD_FIXED_TABLES.view()),
            false => floats(ODD_TABLES.view()),
        };
        let length = words.1;
        for (at, byte) in changes {
            // half of them in the settings
            let at = if byte % 2 == 0 { at.index(HEADER_BYTES) } else { at.index(length) };
            words.bytes_mut()[at] = byte;
        }
        if let Ok(stored) = Stored::from_bytes(words.bytes()) {
            if let Ok(tables) = stored.fixed() {
                prop_assert!(!heard_in_integers(tables).is_empty());
            }
            if let Ok(tables) = stored.float() {
                prop_assert!(!heard(tables).is_empty());
            }
        }
    }
}
