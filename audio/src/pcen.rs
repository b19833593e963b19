//! Per-channel energy normalization.

use crate::config::Pcen;
use crate::math::{exp, ln, pow};

/// Turns energies into what is left of them beside their levels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Normalizer {
    pcen: Pcen,
    /// `bias^power`.
    silence: f32,
}

impl Normalizer {
    pub fn new(pcen: Pcen) -> Self {
        Self {
            pcen,
            silence: pow(pcen.bias, pcen.power),
        }
    }

    /// `bands` and `levels` after a frame; the first frame begins the levels.
    pub fn apply(&self, is_first: bool, bands: &mut [f32], levels: &mut [f32]) {
        let Pcen {
            smoothing,
            gain,
            bias,
            power,
            epsilon,
        } = self.pcen;
        if is_first {
            levels.iter_mut().zip(&*bands).for_each(|(l, b)| *l = *b);
        }
        for (band, level) in bands.iter_mut().zip(levels) {
            *level += smoothing * (*band - *level);
            let quiet = exp(-gain * ln(*level + epsilon));
            *band = pow(*band * quiet + bias, power) - self.silence;
        }
    }
}
