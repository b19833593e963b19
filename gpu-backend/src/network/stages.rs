//! Times of the parts of a training step.

use super::{Network, NetworkError};
use crate::bench::Spread;
use crate::data::Batch;
use crate::device::Device;
use std::collections::BTreeMap;
use std::time::Instant;

impl<D: Device> Network<D> {
    /// Medians of `repeats` runs of each part of a step on `batch`, in milliseconds; every part is
    /// waited for. The parameters are moved by as many steps.
    ///
    /// # Errors
    /// As [`Network::step`].
    pub fn stage_times(
        &mut self,
        batch: &Batch,
        repeats: usize,
    ) -> Result<BTreeMap<&'static str, f64>, NetworkError> {
        let mut samples = BTreeMap::<_, Vec<f64>>::new();
        if self.moments.is_none() {
            self.moments = Some(self.new_moments()?);
        }
        for _ in 0..repeats.max(1) {
            let mut clock = Instant::now();
            let mut lap = |network: &Self, stage| {
                network.device.synchronize()?;
                let ms = clock.elapsed().as_secs_f64() * 1e3;
                samples.entry(stage).or_default().push(ms);
                clock = Instant::now();
                Ok::<_, NetworkError>(())
            };
            let mut workspace = self.load(batch)?;
            workspace.prepare_gradients(&self.device, &self.config)?;
            lap(self, "tokens")?;
            self.kernels(&mut workspace)?;
            lap(self, "kernels")?;
            self.forward(&mut workspace, self.dropout)?;
            lap(self, "forward")?;
            self.backward(&mut workspace, self.dropout, false)?;
            lap(self, "head and backward")?;
            self.workspaces.push(workspace);
            self.update()?;
            lap(self, "optimiser")?;
        }
        let median = |(stage, times)| Some((stage, Spread::of(times)?.median));
        Ok(samples.into_iter().filter_map(median).collect())
    }

    /// Weights of matrix products that every token goes through (the RPE networks' do not count:
    /// they see lags).
    pub fn product_weights(&self) -> usize {
        let maps = self.layout.tensors().iter().filter(|(name, tensor)| {
            tensor.shape.len() == 2 && !name.contains(".rpe.") && *name != "embed.weight"
        });
        let weights: usize = maps.map(|(_, tensor)| tensor.range().len()).sum();
        let tied = self.layout.find("head.weight").is_none();
        weights + usize::from(tied) * self.config.vocab_size * self.config.dim
    }
}
