//! What the training program needs of a network.

use super::TrainError;
use super::evaluate::{Windows, evaluate_batch};
use crate::data::{Batch, Shard, Source};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use toeplite_checkpoint::Checkpoint;

/// Why a network could not do what it was asked: whatever its device says.
pub type ModelError = Box<dyn std::error::Error + Send + Sync>;

/// A network that learns. Everything around it (data, schedule, files) is written against this
/// trait; networks on devices implement it, and so does a toy that the tests train.
pub trait Trainable {
    /// Device, memory, cost.
    fn info(&self) -> ModelInfo;

    /// The part of each step that is to be given to [`Trainable::step`].
    fn shard(&self) -> Shard {
        Shard::WHOLE
    }

    /// One update from all of `micro_batches`, whose gradients are added up; the loss is the mean
    /// over all targets that count. May return before the device is done: the next batch is read
    /// meanwhile.
    ///
    /// # Errors
    /// The device failed, or the batch is of a kind that the network cannot read.
    fn step(&mut self, micro_batches: &[Batch], values: &StepValues) -> Result<(), ModelError>;

    /// What the steps since the last report added up to; waits for them.
    ///
    /// # Errors
    /// The device failed.
    fn report(&mut self) -> Result<StepReport, ModelError>;

    /// Loss and hits on a batch, of any length, without dropout; changes nothing.
    ///
    /// # Errors
    /// As [`Trainable::step`].
    fn evaluate(&mut self, batch: &Batch) -> Result<Sums, ModelError>;

    /// [`Trainable::evaluate`] of the batches of an evaluation from `index` on, as many as there are
    /// processes that train together (whose own `source` is the same), or as are left.
    ///
    /// # Errors
    /// As [`Trainable::step`]; the data failed.
    fn evaluate_batches(
        &mut self,
        source: &dyn Source,
        windows: Windows,
        index: u64,
    ) -> Result<Vec<Sums>, TrainError> {
        let sums = evaluate_batch(&mut |batch| self.evaluate(batch), source, windows, index)?;
        Ok(sums.into_iter().collect())
    }

    /// [`Trainable::evaluate`] of a classifier, with the logits `[sequences, classes]`.
    ///
    /// # Errors
    /// As [`Trainable::step`].
    fn classify(&mut self, batch: &Batch) -> Result<(Sums, Vec<f32>), ModelError>;

    /// The logits of a classifier's head at every position, `[positions, classes]`, before they are
    /// pooled: their mean is what [`Trainable::classify`] gives of a network that pools so.
    ///
    /// # Errors
    /// As [`Trainable::step`].
    fn position_logits(&mut self, batch: &Batch) -> Result<Vec<f32>, ModelError>;

    /// The logits that follow `tokens`, at least one.
    ///
    /// # Errors
    /// As [`Trainable::step`].
    fn next_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError>;

    /// All parameters, exactly.
    ///
    /// # Errors
    /// The device failed.
    fn export(&self) -> Result<Checkpoint, ModelError>;

    /// What the optimiser keeps from step to step, exactly.
    ///
    /// # Errors
    /// The device failed.
    fn optimiser_state(&self) -> Result<OptimiserState, ModelError>;

    /// Goes back to the state that was exported after `step`: steps from here on give the same bits
    /// as they did then, on the same device.
    ///
    /// # Errors
    /// The state is another network's, or the device failed.
    fn restore(
        &mut self,
        step: u64,
        parameters: &Checkpoint,
        state: &OptimiserState,
    ) -> Result<(), ModelError>;
}

/// Device, memory, cost of a network.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ModelInfo {
    /// Name of the device, for example `NVIDIA H100 80GB HBM3 (bf16)`.
    pub device: String,
    /// Bytes allocated on it at present, and at most so far.
    pub memory: Option<(usize, usize)>,
    /// Trained numbers.
    pub parameters: usize,
    /// Floating-point operations of one token, forward and backward.
    pub flops_per_token: Option<f64>,
    /// Floating-point operations a second that the device can do at best.
    pub peak_flops: Option<f64>,
}

/// The values of one update.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepValues {
    /// Number of the update; the first is 1.
    pub step: u64,
    /// Learning rate.
    pub rate: f32,
    /// Decays of the running means of the gradients and of their squares.
    pub betas: [f32; 2],
    /// Added to the root.
    pub epsilon: f32,
    /// Decoupled weight decay, of matrices and of all of the RPE networks.
    pub weight_decay: f32,
    /// Largest norm of all gradients together; 0 for no limit.
    pub clip: f32,
    /// Probability that dropout zeroes an activation.
    pub dropout: f32,
    /// Decides dropout; differs from step to step.
    pub seed: u64,
    /// Targets that count of the whole step, all processes together.
    pub targets: u64,
}

/// What the steps since the last report added up to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepReport {
    /// Loss and hits of all of them.
    pub sums: Sums,
    /// Norm of all gradients together at the last of them, before clipping.
    pub gradient_norm: f32,
}

/// Sums over targets that count.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    /// Cross entropy in nats.
    pub loss: f64,
    /// Targets.
    pub targets: u64,
    /// Targets that had the largest logit.
    pub correct: u64,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.loss += other.loss;
        self.targets += other.targets;
        self.correct += other.correct;
    }
}

impl Sums {
    /// Mean cross entropy in nats.
    pub fn mean_loss(&self) -> f64 {
        self.loss / self.targets as f64
    }

    /// Share of targets that had the largest logit.
    pub fn accuracy(&self) -> f64 {
        self.correct as f64 / self.targets as f64
    }
}

/// What an optimiser keeps from step to step: flat f32 tensors by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OptimiserState {
    /// For AdamW `first` and `second`, each as long as all parameters; names are up to the network.
    pub tensors: BTreeMap<String, Vec<f32>>,
}
