//! Which sequences a step reads.

use super::{Permutation, mix};
use serde::{Deserialize, Serialize};

/// One sequence of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// Index of the sequence, below [`Source::sequences`](super::Source::sequences).
    pub index: u64,
    /// A number that is the same for all sequences of an epoch and differs between epochs: windows of
    /// a text are shifted by it, so that they begin elsewhere in each epoch.
    pub epoch_noise: u64,
    /// A number of this sequence in this epoch alone, for random masks.
    pub noise: u64,
}

/// The part of each step that one of several processes computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Which process, from 0.
    pub rank: usize,
    /// How many there are.
    pub ranks: usize,
}

impl Shard {
    /// All of each step.
    pub const WHOLE: Self = Self { rank: 0, ranks: 1 };
}

/// Which sequences a step reads: a function of the seed and the step alone. Each epoch reads every
/// sequence once, in an order of its own; a step may end one epoch and begin the next.
#[derive(Clone, Copy, Debug)]
pub struct Sampler {
    /// Sequences of an epoch.
    pub sequences: u64,
    /// Sequences of a step.
    pub batch: usize,
    /// Decides the order.
    pub seed: u64,
}

impl Sampler {
    /// Epochs that `steps` steps read; 1.5 are a whole one and half of the next.
    pub fn epochs(&self, steps: u64) -> f64 {
        steps as f64 * self.batch as f64 / self.sequences as f64
    }

    /// The sequences of `step` (the first is 1), in `micro_batches` portions, of which `shard` gets
    /// its part. All processes' parts together are the step of a single one.
    ///
    /// # Panics
    /// Where `micro_batches * shard.ranks` does not divide the batch, or the step is 0.
    pub fn step(&self, step: u64, micro_batches: usize, shard: Shard) -> Vec<Vec<Pick>> {
        let portion = self.batch / micro_batches / shard.ranks;
        assert_eq!(portion * micro_batches * shard.ranks, self.batch);
        let first = u128::from(step - 1) * self.batch as u128;
        (0..micro_batches)
            .map(|micro| {
                let from = (micro * shard.ranks + shard.rank) * portion;
                (from..from + portion)
                    .map(|i| self.pick(first + i as u128))
                    .collect()
            })
            .collect()
    }

    fn pick(&self, number: u128) -> Pick {
        let sequences = u128::from(self.sequences);
        // Wrapping at 2^64 epochs is of no concern.
        let epoch = (number / sequences) as u64;
        let place = (number % sequences) as u64;
        let key = mix(mix(self.seed) ^ epoch);
        Pick {
            index: Permutation::new(self.sequences, key).at(place),
            epoch_noise: mix(key),
            noise: mix(key ^ mix(place)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn indices(sampler: Sampler, steps: std::ops::RangeInclusive<u64>) -> Vec<u64> {
        let picks = steps.flat_map(|s| sampler.step(s, 1, Shard::WHOLE).into_iter().flatten());
        picks.map(|p| p.index).collect()
    }

    proptest! {
        #[test]
        fn each_epoch_reads_every_sequence_once(sequences in 1u64..50, batch in 1usize..9, seed: u64) {
            let sampler = Sampler { sequences, batch, seed };
            let order = indices(sampler, 1..=sequences * 2);
            for epoch in order.chunks_exact(sequences as usize) {
                let mut epoch = epoch.to_vec();
                epoch.sort_unstable();
                prop_assert!(epoch.into_iter().eq(0..sequences));
            }
        }

        #[test]
        fn order_goes_on_from_any_step(step in 1u64..200, seed: u64) {
            let sampler = Sampler { sequences: 37, batch: 5, seed };
            let all = indices(sampler, 1..=step + 3);
            let rest = indices(sampler, step..=step + 3);
            prop_assert_eq!(&all[(step as usize - 1) * 5..], &rest[..]);
        }

        #[test]
        fn processes_and_portions_share_the_same_step(step in 1u64..50, seed: u64) {
            let sampler = Sampler { sequences: 100, batch: 24, seed };
            let whole: Vec<Pick> = sampler.step(step, 1, Shard::WHOLE).concat();
            let parts: Vec<_> = (0..3).map(|rank| sampler.step(step, 2, Shard { rank, ranks: 3 })).collect();
            let joined: Vec<Pick> = (0..2).flat_map(|m| parts.iter().flat_map(move |p| p[m].clone())).collect();
            prop_assert_eq!(whole, joined);
        }
    }

    #[test]
    fn epochs_and_seeds_differ() {
        let sampler = Sampler {
            sequences: 64,
            batch: 64,
            seed: 1,
        };
        assert_ne!(indices(sampler, 1..=1), indices(sampler, 2..=2));
        let other = Sampler { seed: 2, ..sampler };
        assert_ne!(indices(sampler, 1..=1), indices(other, 1..=1));
    }
}
