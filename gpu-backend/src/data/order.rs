//! Shuffling without a list: a pseudorandom permutation of any size, computed at any place.

use toeplite_clips::mix;

/// A permutation of `0..len` that is decided by a key, in constant memory.
///
/// A Feistel network permutes the numbers of an even count of bits; what lands at `len` or beyond is
/// sent through again until it does not (cycle walking, Black and Rogaway 2002). The domain is less
/// than four times `len`, so that takes fewer than four passes on average.
#[derive(Clone, Copy, Debug)]
pub struct Permutation {
    len: u64,
    half: u32,
    key: u64,
}

/// Luby and Rackoff need four rounds for any order to be as likely as any other; small domains like
/// a few more.
const ROUNDS: u64 = 8;

impl Permutation {
    /// The permutation of `0..len` that belongs to `key`.
    pub fn new(len: u64, key: u64) -> Self {
        let bits = u64::BITS - len.saturating_sub(1).leading_zeros();
        Self {
            len,
            half: bits.div_ceil(2).max(1),
            key,
        }
    }

    /// What stands at `place`, below the length.
    pub fn at(&self, place: u64) -> u64 {
        debug_assert!(place < self.len);
        let mask = (1u64 << self.half) - 1;
        let mut x = place;
        loop {
            let (mut left, mut right) = (x >> self.half, x & mask);
            for round in 0..ROUNDS {
                let noise = mix(self.key ^ mix(right ^ (round << 56))) & mask;
                (left, right) = (right, left ^ noise);
            }
            x = (left << self.half) | right;
            if x < self.len {
                return x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_values_do_not_change() {
        // A resumed run must go on in the order it began with, also after an update of the program.
        let order: Vec<u64> = (0..8).map(|i| Permutation::new(8, 42).at(i)).collect();
        let again: Vec<u64> = (0..8).map(|i| Permutation::new(8, 43).at(i)).collect();
        assert_ne!(order, again);
        assert_eq!(order, [4, 1, 6, 2, 5, 3, 7, 0]);
    }

    #[test]
    fn neighbours_are_torn_apart() {
        let permutation = Permutation::new(1000, 1);
        let stay = (0..999).filter(|&i| permutation.at(i) + 1 == permutation.at(i + 1));
        assert!(stay.count() < 10);
    }

    proptest! {
        #[test]
        fn every_number_comes_once(len in 1u64..600, key: u64) {
            let permutation = Permutation::new(len, key);
            let mut seen: Vec<u64> = (0..len).map(|i| permutation.at(i)).collect();
            seen.sort_unstable();
            prop_assert!(seen.into_iter().eq(0..len));
        }

        #[test]
        fn large_sizes_stay_in_range(len in 1u64..=1 << 60, key: u64, place: u64) {
            prop_assert!(Permutation::new(len, key).at(place % len) < len);
        }
    }
}
