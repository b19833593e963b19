//! Random numbers that are the same everywhere and for ever.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

/// A stream of random numbers. The ways from bits to numbers are spelt out here: those of libraries may
/// change from version to version.
pub struct Draw(ChaCha8Rng);

impl Draw {
    /// The stream of one clip. `part` has at most 16 bytes.
    pub fn of(seed: u64, part: &str, index: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..16].copy_from_slice(&index.to_le_bytes());
        let name = part.as_bytes();
        key[16..16 + name.len()].copy_from_slice(name);
        Self(ChaCha8Rng::from_seed(key))
    }

    /// Below `end`, at least 1: the upper half of a product (Lemire 2019, without his correction, which
    /// is below `end / 2^64`).
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.0.next_u64()) * end as u128) >> 64) as usize
    }

    /// 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Between two numbers.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_and_stay_what_they_are() {
        let mut draw = Draw::of(1, "train", 2);
        let first: Vec<usize> = (0..6).map(|_| draw.below(1000)).collect();
        assert_eq!(first, [430, 470, 48, 191, 107, 336]);
        let mut counts = [0; 7];
        (0..70_000).for_each(|_| counts[draw.below(7)] += 1);
        assert!(
            counts.iter().all(|c| (9500..10_500).contains(c)),
            "{counts:?}"
        );
        let mean = (0..10_000).map(|_| draw.between(-1.0, 3.0)).sum::<f64>() / 1e4;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        let same = |seed, part, index| Draw::of(seed, part, index).below(1 << 40);
        let all = [same(1, "test", 2), same(2, "train", 2), same(1, "train", 3)];
        assert!(all.iter().all(|n| *n != same(1, "train", 2)));
    }
}
