//! Per-channel energy normalization in integers.

use super::PLACES;
use super::functions::{EXP_PLACES, LN_2, exp_of, ln_of, power_of, share};
use super::log_mel::{ENERGY_PLACES, energy};
use crate::config::Pcen;

/// Parameters in binary places, made once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Normalizer {
    /// 16 places.
    smoothing: u32,
    /// 15 places.
    gain: u16,
    /// As exponentials are.
    bias: u64,
    /// 15 places.
    power: u16,
    /// As energies are.
    epsilon: u64,
    /// `bias^power`.
    silence: u64,
}

impl Normalizer {
    pub fn new(pcen: Pcen) -> Self {
        let places = |x: f32, places: u32| (x * (1u32 << places) as f32 + 0.5) as u32;
        let bias = u64::from(places(pcen.bias, EXP_PLACES));
        let power = places(pcen.power, 15) as u16;
        Self {
            smoothing: places(pcen.smoothing, 16),
            gain: places(pcen.gain, 15) as u16,
            bias,
            power,
            epsilon: energy(pcen.epsilon),
            silence: power_of(bias, power),
        }
    }

    /// The first frame's energy begins a level.
    pub fn feature(&self, is_first: bool, energy: u64, level: &mut u64) -> i16 {
        if is_first {
            *level = energy;
        }
        *level = follow(*level, energy, self.smoothing);
        let loudness = ln_of(*level + self.epsilon) - ENERGY_PLACES as i32 * LN_2;
        let above = ln_of(energy) - ENERGY_PLACES as i32 * LN_2 - share(loudness, self.gain);
        let beside = if energy == 0 { 0 } else { exp_of(above) };
        let compressed = power_of(beside + self.bias, self.power) - self.silence;
        let shift = EXP_PLACES - PLACES;
        let rounded = (compressed + (1 << (shift - 1))) >> shift;
        i16::try_from(rounded).unwrap_or(i16::MAX)
    }
}

/// `level + smoothing (energy - level)`, rounded down; `smoothing` in 16 places. In two parts, as the product has
/// more than 64 bits.
pub(super) fn follow(level: u64, energy: u64, smoothing: u32) -> u64 {
    let (change, smoothing) = (energy as i64 - level as i64, i64::from(smoothing));
    let high = (change >> 16) * smoothing;
    let low = ((change & 0xFFFF) * smoothing) >> 16;
    (level as i64 + high + low) as u64
}

#[cfg(test)]
mod tests {
    use super::follow;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn levels_go_the_exact_way(level in 0u64..1 << 62, energy in 0u64..1 << 62, smoothing in 1u32..=1 << 16) {
            let change = (i128::from(energy) - i128::from(level)) * i128::from(smoothing);
            let exact = i128::from(level) + (change >> 16);
            prop_assert_eq!(i128::from(follow(level, energy, smoothing)), exact);
        }
    }
}
