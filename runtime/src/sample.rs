//! Choosing a token from logits.
//!
//! Everything is computed in a fixed order from IEEE operations, so a seed gives the same text on
//! the host and on every device.

use crate::math::exp_of_minus;
use crate::session::Token;

/// The token of the largest logit, the first of equals.
pub fn greedy(logits: &[f32]) -> Token {
    let mut best = (0, f32::NEG_INFINITY);
    for (i, &x) in logits.iter().enumerate() {
        best = if x > best.1 { (i as u32, x) } else { best };
    }
    Token(best.0)
}

/// Draws tokens with a temperature, from the `k` likeliest if asked to.
///
/// ```
/// use toeplite::sample::Sampler;
/// let mut sampler = Sampler::new(7).with_temperature(0.8).with_top_k(2);
/// let token = sampler.sample(&[0.1, 2.0, -1.0, 1.9]);
/// assert!(token.0 == 1 || token.0 == 3);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    state: u64,
    temperature: f32,
    top_k: usize,
}

impl Sampler {
    /// A sampler at temperature 1 over all tokens, its draws fixed by `seed`.
    pub const fn new(seed: u64) -> Self {
        Self {
            state: seed,
            temperature: 1.0,
            top_k: usize::MAX,
        }
    }

    /// Divides the logits by `temperature` before the softmax. Zero or less: always the likeliest.
    #[must_use]
    pub const fn with_temperature(mut self, temperature: f32) -> Self {
        self.temperature = temperature;
        self
    }

    /// Draws from the `k` likeliest tokens (more where the last of them are equal). 0: from all.
    #[must_use]
    pub const fn with_top_k(mut self, k: usize) -> Self {
        self.top_k = if k == 0 { usize::MAX } else { k };
        self
    }

    /// Draws a token.
    pub fn sample(&mut self, logits: &[f32]) -> Token {
        let best = greedy(logits);
        let largest = logits.get(best.0 as usize).copied().unwrap_or(0.0);
        let inverse = 1.0 / self.temperature;
        // false too of a temperature that is not a number, or so small that its inverse is infinite
        let hot = self.temperature > 0.0 && inverse.is_finite();
        if !hot || self.top_k == 1 {
            return best;
        }
        let least = if self.top_k < logits.len() {
            kth_largest(logits, self.top_k)
        } else {
            0
        };
        let weight = |x: f32| {
            if ordered(x) < least {
                0.0
            } else {
                exp_of_minus((largest - x) * inverse)
            }
        };
        let total = logits.iter().fold(0.0, |sum, &x| sum + weight(x));
        let mut left = self.uniform() * total;
        for (i, &x) in logits.iter().enumerate() {
            let w = weight(x);
            if left < w {
                return Token(i as u32);
            }
            left -= w;
        }
        best // only when rounding ate the last weight
    }

    /// A number in 0..1 with 24 random bits: SplitMix64 (Steele, Lea, Flood 2014).
    fn uniform(&mut self) -> f32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = self.state;
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 * f32::from_bits((127 - 24) << 23)
    }
}

/// The bits of `x`, changed so that they are in the order of the numbers.
fn ordered(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 0 {
        bits | 1 << 31
    } else {
        !bits
    }
}

/// The largest `t` such that at least `k` logits have `ordered(x) >= t`, found bit by bit: 32
/// passes and no memory, whatever `k` is.
fn kth_largest(logits: &[f32], k: usize) -> u32 {
    (0..32).rev().fold(0, |t, bit| {
        let candidate = t | 1 << bit;
        let at_least = logits.iter().filter(|x| ordered(**x) >= candidate).count();
        if at_least >= k { candidate } else { t }
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0.0f32, 1.0, 2.0, -30.0];
        let mut counts = [0u32; 4];
        let mut sampler = Sampler::new(1).with_temperature(0.5);
        for _ in 0..100_000 {
            counts[sampler.sample(&logits).0 as usize] += 1;
        }
        let total: f64 = logits.iter().map(|x| f64::from(x / 0.5).exp()).sum();
        for (x, n) in logits.iter().zip(counts) {
            let p = f64::from(x / 0.5).exp() / total;
            assert!((f64::from(n) / 1e5 - p).abs() < 0.005, "{n} {p}");
        }
    }

    #[test]
    fn no_logits_and_no_numbers_still_give_a_token() {
        assert_eq!(greedy(&[]), Token(0));
        assert_eq!(Sampler::new(0).sample(&[]), Token(0));
        assert!(Sampler::new(0).sample(&[f32::NAN; 3]).0 < 3);
        for cold in [f32::NAN, 0.0, -1.0, f32::from_bits(1), f32::MIN_POSITIVE] {
            for seed in 0..20 {
                let mut sampler = Sampler::new(seed).with_temperature(cold);
                assert_eq!(sampler.sample(&[0.0, 1.0, 0.5]), Token(1));
            }
        }
    }

    proptest! {
        #[test]
        fn top_k_draws_only_from_the_k_largest(logits in prop::collection::vec(-50f32..50.0, 1..60), k in 1usize..70, seed: u64) {
            let token = Sampler::new(seed).with_top_k(k).with_temperature(3.0).sample(&logits);
            let larger = logits.iter().filter(|x| **x > logits[token.0 as usize]).count();
            prop_assert!(larger < k);
        }

        #[test]
        fn threshold_is_the_kth_largest(logits in prop::collection::vec(-5f32..5.0, 1..60), k in 1usize..60) {
            prop_assume!(k <= logits.len());
            let mut sorted: Vec<f32> = logits.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            prop_assert_eq!(kth_largest(&logits, k), ordered(sorted[k - 1]));
        }
    }
}
