//! Measurements: of whole training steps and of single operators.
//!
//! Times are of the host's clock around work that the device was waited for: one sample is one
//! step, of steps that follow each other as in training. Inputs are random, and several sets are
//! used in turn, so that nothing is measured out of a cache that training would not have.

mod network;
mod operator;

pub use network::{NetworkBench, NetworkResult, network};
pub use operator::{OperatorBench, OperatorResult, Product, operator};

use crate::device::checks::Random;
use serde::Serialize;

/// Of several measurements, in their unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The one in the middle.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of `values`; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[half - 1], values[half])
        } else {
            values[half]
        };
        Some(Self { median, min, max })
    }
}

/// Numbers in -0.5 .. 0.5, the same everywhere.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<f32> {
    let values = Random::new(seed).values(len).into_iter();
    values.map(|x| x / 2.0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spread_is_that_of_the_values() {
        let of = |v: &[f64]| Spread::of(v.to_vec()).map(|s| (s.median, s.min, s.max));
        assert_eq!(of(&[3.0, 1.0, 2.0]), Some((2.0, 1.0, 3.0)));
        assert_eq!(of(&[4.0, 1.0]), Some((2.5, 1.0, 4.0)));
        assert_eq!(of(&[]), None);
    }
}
