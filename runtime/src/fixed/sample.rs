//! Choosing a token from logits, in integers: a seed gives the same text on the host and on every
//! device.

use super::number::bits;
use crate::session::Token;

/// Places of a weight: that of the likeliest token is `2^24`.
const WEIGHT_BITS: u32 = 24;

/// The token of the largest logit, the first of equals.
pub fn greedy(logits: &[i32]) -> Token {
    let mut best = (0, i32::MIN);
    for (i, &x) in logits.iter().enumerate() {
        best = if x > best.1 { (i as u32, x) } else { best };
    }
    Token(best.0)
}

/// Draws tokens with a temperature, from the `k` likeliest if asked to.
///
/// ```
/// use toeplite::fixed::sample::Sampler;
/// let mut sampler = Sampler::new(7).with_temperature(800).with_top_k(2);
/// let token = sampler.sample(&[6_554, 131_072, -65_536, 124_518]);
/// assert!(token.0 == 1 || token.0 == 3);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    state: u64,
    /// `mantissa * 2^(exponent - 16)` is `log2(e)` divided by the temperature; 0: always the likeliest.
    mantissa: u32,
    exponent: i32,
    /// Logits so far below the largest weigh nothing: 17.4 temperatures, above `24 * ln(2)`.
    cutoff: u32,
    top_k: usize,
}

impl Sampler {
    /// A sampler at temperature 1 over all tokens, its draws fixed by `seed`.
    pub const fn new(seed: u64) -> Self {
        let sampler = Self {
            state: seed,
            mantissa: 0,
            exponent: 0,
            cutoff: 0,
            top_k: usize::MAX,
        };
        sampler.with_temperature(1000)
    }

    /// Divides the logits by `thousandths / 1000` before the softmax. 0: always the likeliest.
    #[must_use]
    pub const fn with_temperature(mut self, thousandths: u32) -> Self {
        // 1000 * log2(e), in Q32
        const NUMERATOR: u64 = 6_196_328_018_745;
        self.mantissa = 0;
        self.cutoff = thousandths.saturating_mul(1140);
        if let Some(quotient) = NUMERATOR.checked_div(thousandths as u64) {
            // Q32 to 16 bits
            let places = 48 - quotient.leading_zeros() as i32;
            self.mantissa = if places >= 0 {
                (quotient >> places) as u32
            } else {
                (quotient << -places) as u32
            };
            self.exponent = places - 16;
        }
        self
    }

    /// Draws from the `k` likeliest tokens (more where the last of them are equal). 0: from all.
    #[must_use]
    pub const fn with_top_k(mut self, k: usize) -> Self {
        self.top_k = if k == 0 { usize::MAX } else { k };
        self
    }

    /// Draws a token.
    pub fn sample(&mut self, logits: &[i32]) -> Token {
        let best = greedy(logits);
        let largest = logits.get(best.0 as usize).copied().unwrap_or(0);
        if self.mantissa == 0 || self.top_k == 1 {
            return best;
        }
        let least = if self.top_k < logits.len() {
            kth_largest(logits, self.top_k)
        } else {
            i32::MIN
        };
        let scale = *self;
        let weight = |x: i32| {
            let below = largest.wrapping_sub(x) as u32;
            if x < least || below > scale.cutoff {
                0
            } else {
                scale.weight(below)
            }
        };
        let total = logits
            .iter()
            .fold(0u64, |sum, &x| sum + u64::from(weight(x)));
        let mut left = part(total, self.uniform());
        for (i, &x) in logits.iter().enumerate() {
            let w = u64::from(weight(x));
            if left < w {
                return Token(i as u32);
            }
            left -= w;
        }
        best // never: less than the total is left at first
    }

    /// `2^24 * exp(-below / temperature)` of a logit so far below the largest.
    #[inline(always)]
    fn weight(&self, below: u32) -> u32 {
        let high = (below >> 16) * self.mantissa;
        let product = high.saturating_add(((below & 0xFFFF) * self.mantissa) >> 16);
        let exponent = if self.exponent <= 0 {
            product >> (-self.exponent).min(31) as u32
        } else if bits(product) + self.exponent > 31 {
            u32::MAX
        } else {
            product << self.exponent as u32
        };
        power_of_two_below(exponent)
    }

    /// 32 random bits: SplitMix64 (Steele, Lea, Flood 2014).
    fn uniform(&mut self) -> u32 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = self.state;
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 32) as u32
    }
}

/// `2^24 * 2^(-x / 2^16)`.
#[inline(always)]
fn power_of_two_below(x: u32) -> u32 {
    (super::table::power(x) << (WEIGHT_BITS - 16)) >> (x >> 16).min(31)
}

/// `floor(total * random / 2^32)`.
fn part(total: u64, random: u32) -> u64 {
    let random = u64::from(random);
    (total >> 32) * random + (((total & 0xFFFF_FFFF) * random) >> 32)
}

/// The largest `t` such that at least `k` logits are `>= t`, found bit by bit: 32 passes and no
/// memory, whatever `k` is.
fn kth_largest(logits: &[i32], k: usize) -> i32 {
    // in the order of the numbers
    let ordered = |x: i32| x as u32 ^ 1 << 31;
    let threshold = (0..32).rev().fold(0, |t, bit| {
        let candidate = t | 1 << bit;
        let at_least = logits.iter().filter(|x| ordered(**x) >= candidate).count();
        if at_least >= k { candidate } else { t }
    });
    (threshold ^ 1 << 31) as i32
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    #[test]
    fn frequencies_follow_the_softmax() {
        let logits = [0, 65_536, 131_072, -1_966_080];
        for (thousandths, temperature) in [(500, 0.5), (1000, 1.0), (4000, 4.0), (37, 0.037)] {
            let mut counts = [0u32; 4];
            let mut sampler = Sampler::new(1).with_temperature(thousandths);
            for _ in 0..100_000 {
                counts[sampler.sample(&logits).0 as usize] += 1;
            }
            let weight = |x: &i32| libm::exp(f64::from(*x - 131_072) / 65_536.0 / temperature);
            let total: f64 = logits.iter().map(weight).sum();
            for (x, n) in logits.iter().zip(counts) {
                let p = weight(x) / total;
                assert!((f64::from(n) / 1e5 - p).abs() < 0.005, "{n} {p}");
            }
        }
    }

    #[test]
    fn extremes_still_give_a_token() {
        assert_eq!(greedy(&[]), Token(0));
        assert_eq!(Sampler::new(0).sample(&[]), Token(0));
        for thousandths in [0, 1, 2, 1000, u32::MAX] {
            for seed in 0..20 {
                let mut sampler = Sampler::new(seed).with_temperature(thousandths);
                let token = sampler.sample(&[i32::MIN, i32::MAX, 0, i32::MIN]);
                assert!(token.0 < 4);
                if thousandths < 100 {
                    assert_eq!(token, Token(1));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn weights_are_those_of_the_softmax(below in 0u32..2_000_000, thousandths in 50u32..10_000) {
            let sampler = Sampler::new(0).with_temperature(thousandths);
            let temperature = f64::from(thousandths) / 1000.0;
            let exact = 16_777_216.0 * libm::exp(-f64::from(below) / 65_536.0 / temperature);
            let found = f64::from(sampler.weight(below));
            prop_assert!((found - exact).abs() <= exact * 0.002 + 1.0, "{} {}", found, exact);
        }

        #[test]
        fn top_k_draws_only_from_the_k_largest(logits in prop::collection::vec(-500_000i32..500_000, 1..60), k in 1usize..70, seed: u64) {
            let token = Sampler::new(seed).with_top_k(k).with_temperature(3000).sample(&logits);
            let larger = logits.iter().filter(|x| **x > logits[token.0 as usize]).count();
            prop_assert!(larger < k);
        }

        #[test]
        fn threshold_is_the_kth_largest(logits: Vec<i32>, k in 1usize..60) {
            prop_assume!(k <= logits.len());
            let mut sorted = logits.clone();
            sorted.sort_by(|a, b| b.cmp(a));
            prop_assert_eq!(kth_largest(&logits, k), sorted[k - 1]);
        }
    }
}
