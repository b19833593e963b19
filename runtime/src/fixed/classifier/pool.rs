//! One vector of all positions, in integers: their mean, or the last one.

use super::super::quantize::NORMAL_PLACES;
use crate::classifier::Pooling;
use crate::error::DecayError;
use core::num::NonZero;

/// By what factor the weight of what was heard shrinks at each input.
///
/// ```
/// use toeplite::fixed::classifier::Decay;
/// let decay = Decay::half_life(25_000)?;        // 25 inputs
/// let factor = 1.0 - f64::from(decay.lost()) / 2f64.powi(32);
/// assert!((factor.powi(25) - 0.5).abs() < 1e-8);
/// # Ok::<(), toeplite::DecayError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decay(u32);

impl Decay {
    /// All inputs count the same: the mean that the network was trained with.
    pub const NONE: Self = Self(0);
    /// Longest half-life, in thousandths of an input.
    const LONGEST: u32 = 100_000_000;

    /// What is lost of the weight at each input, in units of 2^-32.
    pub const fn new(lost: u32) -> Self {
        Self(lost)
    }

    /// What is `thousandths / 1000` inputs older counts half: `1 - 2^(-1000 / thousandths)` is lost at each input, within 8 units; the same number on every target.
    ///
    /// # Errors
    /// [`DecayError::OutOfRange`] unless `thousandths` is above 0 and at most 100 million.
    pub fn half_life(thousandths: u32) -> Result<Self, DecayError> {
        let length = NonZero::new(thousandths).filter(|length| length.get() <= Self::LONGEST);
        let length = length.ok_or(DecayError::OutOfRange)?;
        // octaves at each input, in units of 2^-32
        let octaves = (1000u64 << 32) / NonZero::<u64>::from(length);
        Ok(Self(lost(octaves)))
    }

    /// What is lost of the weight at each input, in units of 2^-32.
    pub const fn lost(self) -> u32 {
        self.0
    }
}

/// `1 - 2^-octaves` in units of 2^-32, both; by the series of the exponential function.
fn lost(octaves: u64) -> u32 {
    /// ln 2 in units of 2^-32.
    const LN_2: u64 = 2_977_044_472;
    let (whole, part) = (octaves >> 32, octaves as u32);
    let x = (u64::from(part) * LN_2) >> 32;
    // 1 - e^-x = x (1 - x / 2 (1 - x / 3 (...))), x < 0.7
    let one = 1u64 << 32;
    let divisors = [13u32, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2];
    let sum = divisors.into_iter().fold(one, |sum, divisor| {
        one - ((x * sum) >> 32) / u64::from(divisor)
    });
    let kept = (one - ((x * sum) >> 32))
        .checked_shr(whole.min(64) as u32)
        .unwrap_or(0);
    (one - kept).min(u32::MAX.into()) as u32
}

/// Numbers of 64 bits in pairs of words, the low one first: a session's memory lies at multiples of four bytes.
pub(super) type Wide = [i32; 2];

/// Words that the vectors of `dim` numbers need: a sum of each, and the weights'.
pub(super) const fn words(dim: usize) -> usize {
    2 * (dim + 1)
}

/// A weight above it is halved, and all sums with it: the mean is the same.
const HEAVY: i64 = 1 << 61;
/// By how much the magnitude of a sum may exceed the weight: halving rounds.
const SLACK: i64 = 64;

/// Takes in the vector `x` of a position, as [`normalize`](super::super::quantize::normalize) leaves it.
/// `state` has [`words`] of them, at first zero.
pub(super) fn take_in(pooling: Pooling, decay: Decay, x: &[i32], state: &mut [Wide]) {
    let decay = match pooling {
        Pooling::Mean => decay,
        Pooling::Last => {
            state.fill([0; 2]);
            Decay::NONE
        }
    };
    let weighted = x.iter().chain(&[1 << NORMAL_PLACES]);
    let halving = u32::from(weight(state) > HEAVY);
    for (sum, x) in state.iter_mut().zip(weighted) {
        let before = wide(*sum) >> halving;
        *sum = words_of(before - product(before, decay.0) + (i64::from(*x) >> halving));
    }
}

/// `floor(sum * share / 2^32)`.
fn product(sum: i64, share: u32) -> i64 {
    let (high, low, share) = (sum >> 32, sum as u32, i64::from(share));
    high * share + ((u64::from(low) * share as u64) >> 32) as i64
}

/// Writes the pooled vector, times the weight that is returned, to `out`, all divided by a power of two; nothing before the
/// first position.
pub(super) fn pooled(state: &[Wide], out: &mut [i32]) -> Option<NonZero<u32>> {
    let all = state
        .iter()
        .fold(0, |all, sum| all | (wide(*sum) ^ (wide(*sum) >> 63)) as u64);
    let down = 33u32.saturating_sub(all.leading_zeros());
    for (out, sum) in out.iter_mut().zip(state) {
        *out = (wide(*sum) >> down) as i32;
    }
    NonZero::new((weight(state) >> down) as u32)
}

fn weight(state: &[Wide]) -> i64 {
    state.last().map_or(0, |weight| wide(*weight))
}

fn wide([low, high]: Wide) -> i64 {
    i64::from(high) << 32 | i64::from(low as u32)
}

fn words_of(x: i64) -> Wide {
    [x as i32, (x >> 32) as i32]
}

/// Whether these are sums that a session can have.
pub(super) fn holds(state: impl Iterator<Item = Wide> + Clone) -> bool {
    let weight = state.clone().last().map_or(0, wide);
    let fits = |sum| wide(sum).unsigned_abs() <= (weight + SLACK) as u64;
    (0..=2 * HEAVY).contains(&weight) && { state }.all(fits)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn mean(state: &[Wide]) -> Vec<f64> {
        let mut out = vec![0; state.len() - 1];
        let weight = pooled(state, &mut out).map_or(1, NonZero::get);
        out.iter()
            .map(|x| f64::from(*x) / f64::from(weight))
            .collect()
    }

    /// The largest error of the means of `inputs`, each in units of 2^-30.
    fn error(decay: Decay, inputs: &[[i32; 2]]) -> f64 {
        let (mut state, mut sums) = ([[0; 2]; 3], [0f64; 3]);
        let kept = 1.0 - f64::from(decay.lost()) / 2f64.powi(32);
        let mut worst = 0f64;
        for x in inputs {
            take_in(Pooling::Mean, decay, x, &mut state);
            let unit = |x: i32| f64::from(x) / 2f64.powi(30);
            let added = [unit(x[0]), unit(x[1]), 1.0];
            for (sum, x) in sums.iter_mut().zip(added) {
                *sum = kept * *sum + x;
            }
            for (found, sum) in mean(&state).iter().zip(sums) {
                worst = worst.max((found - sum / sums[2]).abs());
            }
            assert!(holds(state.iter().copied()));
        }
        worst
    }

    proptest! {
        #[test]
        fn means_are_those_of_floats(x in prop::collection::vec([-(1i32 << 30)..=1 << 30, -5..=5], 1..300), half_life in 1u32..1_000_000) {
            for decay in [Decay::NONE, Decay::half_life(half_life).unwrap()] {
                let found = error(decay, &x);
                prop_assert!(found < 1e-8, "{:?}: {}", decay, found);
            }
        }

        #[test]
        fn half_lives_are_those_of_floats(thousandths in 1u32..100_000_000) {
            let lost = f64::from(Decay::half_life(thousandths).unwrap().lost());
            let exact = -libm::expm1(-core::f64::consts::LN_2 * 1000.0 / f64::from(thousandths));
            prop_assert!((lost - exact * 2f64.powi(32)).abs() <= 8.0, "{} {}", lost, exact);
        }
    }

    #[test]
    fn half_lives_have_limits() {
        for bad in [0, 100_000_001, u32::MAX] {
            assert_eq!(Decay::half_life(bad), Err(DecayError::OutOfRange));
        }
        assert_eq!(Decay::half_life(1000).unwrap().lost(), 1 << 31);
        // bits are part of the contract
        let lost = [1, 700, 25_000, 1_234_567].map(|t| Decay::half_life(t).unwrap().lost());
        assert_eq!(lost, [u32::MAX, 2_699_393_077, 117_446_105, 2_410_730]);
    }

    /// As after a century: the weight is halved again and again, the mean stays.
    #[test]
    fn means_go_on_for_ever() {
        let heavy = |sum: i64| words_of(sum);
        let mut state = [heavy(HEAVY / 2), heavy(-HEAVY), heavy(HEAVY + 1)];
        for _ in 0..1000 {
            take_in(
                Pooling::Mean,
                Decay::NONE,
                &[1 << 29, -(1 << 30)],
                &mut state,
            );
            assert!(holds(state.iter().copied()) && weight(&state) <= HEAVY + (1 << 31));
        }
        let found = mean(&state);
        assert!((found[0] - 0.5).abs() < 1e-8 && (found[1] + 1.0).abs() < 1e-8);
    }

    #[test]
    fn the_last_position_alone_counts() {
        let mut state = [[0; 2]; 3];
        assert_eq!(pooled(&state, &mut [0; 2]), None);
        for x in [[1, 2], [1 << 28, -(1 << 30)]] {
            take_in(Pooling::Last, Decay::NONE, &x, &mut state);
        }
        assert_eq!(mean(&state), [0.25, -1.0]);
    }
}
