//! Automatic gain control in integers.

use super::functions::ln_of;
use super::log_mel::{Feature, energy, feature};
use super::pcen::follow;
use crate::config::Agc;

/// Parameters in binary places, made once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control {
    /// 16 places.
    smoothing: u32,
    /// [`FLOOR_PLACES`].
    floor: u64,
    /// As energies are.
    epsilon: u64,
}

const FLOOR_PLACES: u32 = 24;

impl Control {
    pub fn new(agc: Agc) -> Self {
        Self {
            smoothing: (agc.smoothing * 65536.0 + 0.5) as u32,
            floor: (agc.floor * (1 << FLOOR_PLACES) as f32 + 0.5) as u64,
            epsilon: energy(agc.epsilon),
        }
    }

    /// The features of a frame's `energies` beside `level`, which the first frame begins.
    pub fn apply<T: Feature>(
        &self,
        is_first: bool,
        energies: &[u64],
        level: &mut u64,
        features: &mut [T],
    ) {
        // less than 2^63, as the energies of all bins together are
        let total = energies.iter().fold(0, |sum, energy| sum + *energy);
        if is_first {
            *level = total;
        }
        *level = follow(*level, total, self.smoothing);
        let reference = *level + self.epsilon;
        let (floor, loudness) = (share(reference, self.floor), ln_of(reference));
        for (to, energy) in features.iter_mut().zip(energies) {
            *to = T::of(feature(ln_of(*energy + floor) - loudness));
        }
    }
}

/// `x share` rounded down, `share` in [`FLOOR_PLACES`] and at most .1. In two parts, as the product has more than 64 bits.
fn share(x: u64, share: u64) -> u64 {
    let rest = x & ((1 << FLOOR_PLACES) - 1);
    (x >> FLOOR_PLACES) * share + ((rest * share) >> FLOOR_PLACES)
}

#[cfg(test)]
mod tests {
    use super::{FLOOR_PLACES, share};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_are_exact(x in 0u64..1 << 63, part in 0u64..1 << 21) {
            let exact = (u128::from(x) * u128::from(part)) >> FLOOR_PLACES;
            prop_assert_eq!(u128::from(share(x, part)), exact);
        }
    }
}
