//! A network as the training loop sees it.

use crate::data::{Batch, Shard};
use crate::device::{Device, Optimiser};
use crate::network::Network;
use crate::train::{
    ModelError, ModelInfo, OptimiserState, StepReport, StepValues, Sums, Trainable,
};
use std::collections::BTreeMap;
use toeplite_checkpoint::Checkpoint;

/// A network on a device.
pub(super) struct Learner<D: Device> {
    network: Network<D>,
}

impl<D: Device> Learner<D> {
    pub fn new(network: Network<D>) -> Self {
        Self { network }
    }
}

impl<D: Device> Trainable for Learner<D> {
    fn info(&self) -> ModelInfo {
        let device = self.network.device();
        ModelInfo {
            device: device.name(),
            memory: Some(device.memory()),
            parameters: self.network.trained_parameters(),
            flops_per_token: Some(6.0 * self.network.product_weights() as f64),
            peak_flops: peak_flops(&device.name()),
        }
    }

    fn shard(&self) -> Shard {
        self.network.device().shard()
    }

    fn step(&mut self, micro_batches: &[Batch], values: &StepValues) -> Result<(), ModelError> {
        self.network.set_dropout(values.dropout);
        let [beta1, beta2] = values.betas;
        let optimiser = Optimiser {
            rate: values.rate,
            beta1,
            beta2,
            epsilon: values.epsilon,
            weight_decay: values.weight_decay,
            correction1: Optimiser::correction(beta1, values.step),
            correction2: Optimiser::correction(beta2, values.step),
            max_norm: values.clip,
            gradient_scale: 1.0 / values.targets.max(1) as f32,
        };
        Ok(self.network.step(micro_batches, optimiser, values.seed)?)
    }

    fn report(&mut self) -> Result<StepReport, ModelError> {
        let sums = self.network.take_sums()?;
        Ok(StepReport {
            sums: Sums {
                loss: sums.loss,
                targets: sums.targets as u64,
                correct: sums.correct as u64,
            },
            gradient_norm: sums.gradient_norm as f32,
        })
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Sums, ModelError> {
        self.network.evaluate(batch)?;
        Ok(self.report()?.sums)
    }

    fn classify(&mut self, batch: &Batch) -> Result<(Sums, Vec<f32>), ModelError> {
        let logits = self.network.classify(batch)?;
        Ok((self.report()?.sums, logits))
    }

    fn position_logits(&mut self, batch: &Batch) -> Result<Vec<f32>, ModelError> {
        Ok(self.network.position_logits(batch)?)
    }

    fn next_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, ModelError> {
        let last = tokens.len().saturating_sub(1);
        Ok(self.network.logits(tokens, last..tokens.len())?)
    }

    fn export(&self) -> Result<Checkpoint, ModelError> {
        Ok(self.network.checkpoint()?)
    }

    fn optimiser_state(&self) -> Result<OptimiserState, ModelError> {
        let [first, second] = self.network.moments()?;
        let tensors = [("first", first), ("second", second)];
        Ok(OptimiserState {
            tensors: tensors.map(|(name, t)| (name.to_owned(), t)).into(),
        })
    }

    fn restore(
        &mut self,
        _: u64,
        parameters: &Checkpoint,
        state: &OptimiserState,
    ) -> Result<(), ModelError> {
        self.network.set_checkpoint(parameters)?;
        let tensor = |name: &str| state.tensors.get(name).cloned().unwrap_or_default();
        Ok(self
            .network
            .set_moments(&[tensor("first"), tensor("second")])?)
    }
}

/// Dense bf16 operations a second by NVIDIA's data sheets, of devices whose name says what they are.
fn peak_flops(name: &str) -> Option<f64> {
    let sheets = BTreeMap::from([
        ("H100 PCIe", 756e12),
        ("H100", 989e12),
        ("H200", 989e12),
        ("A100", 312e12),
    ]);
    let known = sheets.iter().filter(|(part, _)| name.contains(*part));
    let longest = known.max_by_key(|(part, _)| part.len())?;
    name.contains("bf16").then_some(*longest.1)
}
