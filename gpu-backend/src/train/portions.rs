//! What a process computes of a step.

use super::TrainError;
use crate::config::RunConfig;
use crate::data::{Batch, DataError, Sampler, Shard, Source};

/// The sequences of a run's steps, in portions.
pub struct Portions<'a> {
    source: &'a dyn Source,
    sampler: Sampler,
    micro_batches: usize,
}

impl<'a> Portions<'a> {
    /// Whether `processes` processes can share a step of a run.
    ///
    /// # Errors
    /// [`TrainError::Portions`].
    pub fn check(config: &RunConfig, processes: usize) -> Result<(), TrainError> {
        let (batch, micro_batches) = (config.train.batch, config.train.micro_batches);
        let portions = micro_batches.checked_mul(processes);
        if portions.is_some_and(|portions| batch.is_multiple_of(portions)) {
            return Ok(());
        }
        Err(TrainError::Portions {
            batch,
            micro_batches,
            processes,
        })
    }

    /// Of a run with this configuration and training data.
    pub fn of(config: &RunConfig, source: &'a dyn Source) -> Self {
        let sampler = Sampler {
            sequences: source.sequences(),
            batch: config.train.batch,
            seed: config.train.seed,
        };
        Self {
            source,
            sampler,
            micro_batches: config.train.micro_batches,
        }
    }

    /// The micro-batches that `shard` computes of `step`.
    ///
    /// # Errors
    /// The data failed.
    pub fn batches(&self, step: u64, shard: Shard) -> Result<Vec<Batch>, DataError> {
        let picks = self.sampler.step(step, self.micro_batches, shard);
        picks.iter().map(|p| self.source.training(p)).collect()
    }

    /// Epochs that `steps` steps read.
    pub fn epochs(&self, steps: u64) -> f64 {
        self.sampler.epochs(steps)
    }

    /// Targets that count of the whole of `step`.
    ///
    /// # Errors
    /// The data failed.
    pub fn targets(&self, step: u64) -> Result<u64, DataError> {
        let picks = self.sampler.step(step, 1, Shard::WHOLE);
        picks.iter().map(|p| self.source.counted(p)).sum()
    }
}
