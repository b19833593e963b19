//! Golden files, and features of whole recordings.
#![allow(dead_code, reason = "each test uses some")]

use toeplite_audio::{Buffers, Config, Kept, LengthError, LogMel, SharedLogMel, TablesRef, fixed};

/// Samples and what librosa made of them.
pub struct Golden {
    pub rate: u32,
    pub samples: Vec<i16>,
    pub log: Vec<f32>,
    pub pcen: Vec<f32>,
    /// Of 16000 samples a second.
    pub agc: Vec<f32>,
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    let (chunks, rest) = bytes.as_chunks();
    assert!(rest.is_empty());
    chunks.iter().map(|x| f32::from_le_bytes(*x)).collect()
}

macro_rules! golden {
    ($rate:literal) => {
        Golden {
            rate: $rate,
            samples: {
                let bytes = include_bytes!(concat!("../fixtures/samples-", $rate, ".i16"));
                let (chunks, _) = bytes.as_chunks();
                chunks.iter().map(|x| i16::from_le_bytes(*x)).collect()
            },
            log: floats(include_bytes!(concat!("../fixtures/log-", $rate, ".f32"))),
            pcen: floats(include_bytes!(concat!("../fixtures/pcen-", $rate, ".f32"))),
            agc: floats(include_bytes!("../fixtures/agc-16000.f32")),
        }
    };
}

impl Golden {
    pub fn at_8000() -> Self {
        golden!(8000)
    }

    pub fn at_16000() -> Self {
        golden!(16000)
    }
}

/// Runs `work` with a front end for `config` that has heard nothing.
pub fn with_float<T>(config: Config, work: impl FnOnce(&mut LogMel<'_>) -> T) -> T {
    let (mut window, mut weights) = (vec![0.0; config.frame], vec![0.0; config.bins()]);
    let mut counts = vec![0; config.bands];
    let tables = TablesRef::fill(config, &mut window, &mut weights, &mut counts).unwrap();
    let memory = Buffers {
        samples: &mut vec![-7; config.frame],
        spectrum: &mut vec![[f32::NAN; 2]; config.bins()],
        bands: &mut vec![f32::NAN; config.bands],
        levels: &mut vec![f32::NAN; config.bands],
    };
    work(&mut LogMel::new(tables, memory).unwrap())
}

/// The same in integers.
pub fn with_fixed<T>(config: Config, work: impl FnOnce(&mut fixed::LogMel<'_>) -> T) -> T {
    let (mut window, mut twiddles) = (vec![0; config.frame], vec![[0; 2]; config.bins()]);
    let (mut weights, mut counts) = (vec![0; config.bins()], vec![0; config.bands]);
    let tables = fixed::TablesRef::fill(
        config,
        &mut window,
        &mut twiddles,
        &mut weights,
        &mut counts,
    )
    .unwrap();
    let memory = fixed::Buffers {
        samples: &mut vec![-7; config.frame],
        spectrum: &mut vec![[-7; 2]; config.bins()],
        energies: &mut vec![7; config.bands],
        levels: &mut vec![7; config.bands],
        features: &mut vec![-7; config.bands],
    };
    work(&mut fixed::LogMel::new(tables, memory).unwrap())
}

/// A front end's `next`.
pub type Next<'n> =
    &'n mut dyn FnMut(&mut &[i16], &mut [u32], &mut [f32]) -> Result<bool, LengthError>;

/// Runs `work` with the calls of a front end for `config` whose memory for work is lent, and the words that it needs.
pub fn with_shared<T>(config: Config, work: impl FnOnce(Next<'_>, usize) -> T) -> T {
    let (mut window, mut weights) = (vec![0.0; config.frame], vec![0.0; config.bins()]);
    let mut counts = vec![0; config.bands];
    let tables = TablesRef::fill(config, &mut window, &mut weights, &mut counts).unwrap();
    let kept = Kept {
        samples: &mut vec![-7; config.frame],
        levels: &mut vec![f32::NAN; config.levels()],
    };
    let mut front_end = SharedLogMel::new(tables, kept).unwrap();
    work(
        &mut |samples, work, features| front_end.next(samples, work, features),
        SharedLogMel::work_words(&config),
    )
}

/// The same in integers.
pub fn with_fixed_shared<T>(config: Config, work: impl FnOnce(Next<'_>, usize) -> T) -> T {
    let (mut window, mut twiddles) = (vec![0; config.frame], vec![[0; 2]; config.bins()]);
    let (mut weights, mut counts) = (vec![0; config.bins()], vec![0; config.bands]);
    let tables = fixed::TablesRef::fill(
        config,
        &mut window,
        &mut twiddles,
        &mut weights,
        &mut counts,
    )
    .unwrap();
    let kept = Kept {
        samples: &mut vec![-7; config.frame],
        levels: &mut vec![7; config.levels()],
    };
    let mut front_end = fixed::SharedLogMel::new(tables, kept).unwrap();
    work(
        &mut |samples, work, features| front_end.next(samples, work, features),
        fixed::SharedLogMel::work_words(&config),
    )
}

/// The features of all frames, one after the other.
pub fn float_features(config: Config, samples: &[i16]) -> Vec<f32> {
    with_float(config, |front_end| {
        let mut all = Vec::new();
        front_end.push(samples, |features| all.extend_from_slice(features));
        all
    })
}

/// The features in integers, as floats.
pub fn fixed_features(config: Config, samples: &[i16]) -> Vec<f32> {
    with_fixed(config, |front_end| {
        let mut all = Vec::new();
        let one = f32::from(fixed::ONE);
        front_end.push(samples, |features| {
            all.extend(features.iter().map(|f| f32::from(*f) / one));
        });
        all
    })
}
