//! Features against those of librosa: see `fixtures/golden.py`. Differences are from `1 + |expected|`.

mod common;

use common::{Golden, fixed_features, float_features};
use toeplite_audio::Config;

/// The largest difference of `found` from `expected`.
fn worst(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let errors = found.iter().zip(expected);
    let errors = errors.map(|(f, e)| (f - e).abs() / (1.0 + e.abs()));
    errors.fold(0.0, f32::max)
}

#[test]
fn float_features_are_librosas() {
    for golden in [Golden::at_8000(), Golden::at_16000()] {
        let config = Config::speech(golden.rate);
        let log = worst(&float_features(config, &golden.samples), &golden.log);
        assert!(log < 5e-5, "{}: {log:e}", golden.rate);
        let pcen = float_features(config.with_pcen(), &golden.samples);
        let pcen = worst(&pcen, &golden.pcen);
        assert!(pcen < 1.5e-4, "{}: {pcen:e}", golden.rate);
    }
}

/// Where a band is more than 70 dB below the loudest of its frame, twiddles of 15 places are what is heard in it.
#[test]
fn features_in_integers_are_librosas() {
    for golden in [Golden::at_8000(), Golden::at_16000()] {
        let config = Config::speech(golden.rate);
        let log = fixed_features(config, &golden.samples);
        let pcen = fixed_features(config.with_pcen(), &golden.samples);
        let (all_log, all_pcen) = (worst(&log, &golden.log), worst(&pcen, &golden.pcen));
        let audible = audible(&golden.log, config.bands);
        let of_audible = |all: &[f32]| -> Vec<f32> {
            let pairs = all.iter().zip(&audible).filter(|(_, a)| **a);
            pairs.map(|(x, _)| *x).collect()
        };
        let log = worst(&of_audible(&log), &of_audible(&golden.log));
        let pcen = worst(&of_audible(&pcen), &of_audible(&golden.pcen));
        let found = (log, all_log, pcen, all_pcen);
        let good = log < 5e-3 && all_log < 0.02 && pcen < 4e-3 && all_pcen < 0.06;
        assert!(good, "{}: {found:?}", golden.rate);
    }
}

/// Which logarithms are less than 70 dB below the largest of their frame.
fn audible(logs: &[f32], bands: usize) -> Vec<bool> {
    let mut all = Vec::new();
    for frame in logs.chunks_exact(bands) {
        let loudest = frame.iter().fold(f32::MIN, |a, b| a.max(*b));
        all.extend(frame.iter().map(|x| loudest - x < 16.1));
    }
    all
}

/// Automatic gain control against the formula in f64.
#[test]
fn gain_control_is_the_formula() {
    let golden = Golden::at_16000();
    let config = Config::speech(golden.rate).with_agc();
    let float = worst(&float_features(config, &golden.samples), &golden.agc);
    let fixed = worst(&fixed_features(config, &golden.samples), &golden.agc);
    assert!(float < 2e-6 && fixed < 6e-4, "{float:e} {fixed:e}");
}
