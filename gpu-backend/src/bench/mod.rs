//! Measurements: of whole training steps and of single operators.
//!
//! Times are of the host's clock around work that the device was waited for: one sample is one
//! step, of steps that follow each other as in training. Inputs are random, and several sets are
//! used in turn, so that nothing is measured out of a cache that training would not have.

mod network;
mod operator;

pub use network::{NetworkBench, NetworkResult, network};
pub use operator::{OperatorBench, OperatorResult, operator};

use serde::Serialize;

/// Times of repeated runs, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Times {
    /// The middle one.
    pub median: f64,
    /// The shortest.
    pub min: f64,
    /// The longest.
    pub max: f64,
}

impl Times {
    /// Of `samples` in milliseconds.
    ///
    /// # Panics
    /// There are no samples.
    pub fn of(mut samples: Vec<f64>) -> Self {
        samples.sort_by(f64::total_cmp);
        Self {
            median: samples[samples.len() / 2],
            min: samples[0],
            max: samples[samples.len() - 1],
        }
    }
}

/// Numbers in -0.5 .. 0.5, the same everywhere (Marsaglia's xorshift).
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    (0..len).map(|_| draw()).collect()
}
