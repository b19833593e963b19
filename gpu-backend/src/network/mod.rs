//! Causal and bidirectional Toeplitz neural networks over any [`Device`].
//!
//! The network of Qin et al. 2023 (<https://arxiv.org/abs/2305.04749>): pre-norm layers
//! `x += GTU(norm(x)); x += GLU(norm(x))` between an embedding and a head. Inside GTU and GLU values
//! are channel-major, see [`crate::device`].
//!
//! Classifiers of tokens read sequences of different lengths in one batch. A position behind a
//! sequence's end enters no Toeplitz product (its `v` is 0) and no mean, so that a sequence has the
//! logits that it has alone, whatever padding follows. Its own row of the residual stream is not zero
//! after the first layer, but nothing reads it.
//!
//! The backward pass is written by hand; all buffers of a
//! batch shape are allocated once, so that a device may record a step and replay it.

mod differences;
mod error;
mod image;
mod initial;
mod layer;
mod layout;
mod mixing;
mod pass;
mod stages;
mod step;
mod support;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod workspace;

pub use error::NetworkError;
pub use layout::{Layout, Tensor};
pub use step::StepSums;

use crate::device::{Device, Optimiser};
use ndarray::{ArrayD, IxDyn};
use support::Options;
use toeplite_checkpoint::{Checkpoint, Config};
use workspace::Workspace;

/// Parameters, their copy in the type of activations, and their gradients.
pub(crate) struct Parameters<D: Device> {
    pub values: D::F32,
    pub copy: D::Act,
    pub gradients: D::F32,
}

/// The optimiser's running means, made at the first step.
struct Moments<D: Device> {
    first: D::F32,
    second: D::F32,
}

/// A kind of forward and backward pass, which is recorded once.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Pass {
    shape: (usize, usize),
    /// Whether gradients are summed over all processes during it.
    last: bool,
}

/// A network on a device.
pub struct Network<D: Device> {
    /// Recorded passes, where the device can record. Dropped before the device: what sums over
    /// processes cannot end while a recording of it lives.
    recorded: Vec<(Pass, D::Graph)>,
    device: D,
    config: Config,
    options: Options,
    layout: Layout,
    /// Largest decay rate of all channels; 1 without decay.
    gamma: f32,
    parameters: Parameters<D>,
    moments: Option<Moments<D>>,
    /// Laid out as [`Optimiser`] says.
    hyper: D::F32,
    /// Loss, targets, right answers: see [`Device::head_loss`].
    sums: D::F32,
    dropout: f32,
    workspaces: Vec<Workspace<D>>,
    /// Passes that have run once without being recorded: that sizes the scratch memory, and connects
    /// the processes.
    warm: Vec<Pass>,
}

/// Whether a network of `config` can be trained, before there is a device for it.
///
/// # Errors
/// As [`Network::new`], but for the device's failures.
pub fn check(config: &Config) -> Result<(), NetworkError> {
    config.validate()?;
    support::options(config).map(|_| ())
}

impl<D: Device> Network<D> {
    /// A new network whose decay rates are `gamma` and whose parameters depend on `seed` alone.
    ///
    /// # Errors
    /// The configuration is not valid or has options that cannot be trained; the device fails.
    pub fn new(device: D, config: Config, gamma: f32, seed: u64) -> Result<Self, NetworkError> {
        config.validate()?;
        let layout = Layout::new(&config);
        let values = initial::parameters(&config, &layout, gamma, seed);
        Self::with_values(device, config, layout, &values)
    }

    /// The network of a checkpoint.
    ///
    /// # Errors
    /// As [`Network::new`].
    pub fn from_checkpoint(device: D, checkpoint: &Checkpoint) -> Result<Self, NetworkError> {
        checkpoint.config.validate()?;
        let layout = Layout::new(&checkpoint.config);
        let values = layout.values_of(checkpoint)?;
        Self::with_values(device, checkpoint.config.clone(), layout, &values)
    }

    fn with_values(
        device: D,
        config: Config,
        layout: Layout,
        values: &[f32],
    ) -> Result<Self, NetworkError> {
        let options = support::options(&config)?;
        let rates = layout.tensors().iter();
        let rates = rates.filter(|(name, _)| name.ends_with(".gamma"));
        let rates = rates.flat_map(|(_, tensor)| &values[tensor.range()]);
        let gamma = rates.copied().reduce(f32::max).unwrap_or(1.0);
        let mut parameters = Parameters::<D> {
            values: device.new_f32(layout.len())?,
            copy: device.new_act(layout.len())?,
            gradients: device.new_f32(layout.len())?,
        };
        device.write_f32(&mut parameters.values, 0, values)?;
        device.cast(&parameters.values, &mut parameters.copy, 0..layout.len())?;
        Ok(Self {
            recorded: Vec::new(),
            hyper: device.new_f32(Optimiser::LEN)?,
            sums: device.new_f32(3)?,
            device,
            config,
            options,
            layout,
            gamma,
            parameters,
            moments: None,
            dropout: 0.0,
            workspaces: Vec::new(),
            warm: Vec::new(),
        })
    }

    /// Probability with which training zeroes values: of the embedding, and of what enters the last
    /// map of each GTU and GLU.
    pub fn set_dropout(&mut self, p: f32) {
        // Recorded passes hold the probability.
        if self.dropout != p {
            self.dropout = p;
            self.recorded.clear();
        }
    }

    /// The device that the network lies on.
    pub fn device(&self) -> &D {
        &self.device
    }

    /// What the network is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where its parameters lie.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Numbers that are trained.
    pub fn trained_parameters(&self) -> usize {
        let tensors = self.layout.tensors().values();
        let trained = tensors.filter(|tensor| self.layout.trained().contains(&tensor.at));
        trained.map(|tensor| tensor.range().len()).sum()
    }

    /// The parameters, as `toeplite convert` reads them.
    ///
    /// # Errors
    /// The device fails.
    pub fn checkpoint(&self) -> Result<Checkpoint, NetworkError> {
        let values = self
            .device
            .read_f32(&self.parameters.values, 0..self.layout.len())?;
        let tensors = self.layout.tensors().iter().map(|(name, tensor)| {
            let data = values[tensor.range()].to_vec();
            let array = ArrayD::from_shape_vec(IxDyn(&tensor.shape), data);
            (name.clone(), array.expect("as many elements as the shape"))
        });
        Ok(Checkpoint {
            config: self.config.clone(),
            tensors: tensors.collect(),
        })
    }

    /// All parameters, laid out as [`Network::layout`].
    ///
    /// # Errors
    /// The device fails.
    pub fn parameters(&self) -> Result<Vec<f32>, NetworkError> {
        let all = 0..self.layout.len();
        Ok(self.device.read_f32(&self.parameters.values, all)?)
    }

    /// Replaces all parameters.
    ///
    /// # Errors
    /// The length is not this network's; the device fails.
    pub fn set_parameters(&mut self, values: &[f32]) -> Result<(), NetworkError> {
        let (found, expected) = (values.len(), self.layout.len());
        if found != expected {
            return Err(NetworkError::State { found, expected });
        }
        let Parameters {
            values: to, copy, ..
        } = &mut self.parameters;
        self.device.write_f32(to, 0, values)?;
        Ok(self.device.cast(to, copy, 0..expected)?)
    }

    /// Replaces all parameters by those of a checkpoint of the same network.
    ///
    /// # Errors
    /// A tensor is missing or of another shape; the device fails.
    pub fn set_checkpoint(&mut self, checkpoint: &Checkpoint) -> Result<(), NetworkError> {
        self.set_parameters(&self.layout.values_of(checkpoint)?)
    }

    /// The optimiser's running means of gradients and of their squares, laid out as
    /// [`Network::layout`]; empty before the first step.
    ///
    /// # Errors
    /// The device fails.
    pub fn moments(&self) -> Result<[Vec<f32>; 2], NetworkError> {
        let Some(moments) = &self.moments else {
            return Ok([Vec::new(), Vec::new()]);
        };
        let read = |buffer| self.device.read_f32(buffer, 0..self.layout.len());
        Ok([read(&moments.first)?, read(&moments.second)?])
    }

    /// Puts back what [`Network::moments`] gave.
    ///
    /// # Errors
    /// The lengths are not this network's; the device fails.
    pub fn set_moments(&mut self, moments: &[Vec<f32>; 2]) -> Result<(), NetworkError> {
        if moments.iter().all(Vec::is_empty) {
            self.moments = None;
            return Ok(());
        }
        let expected = self.layout.len();
        if let Some(found) = moments.iter().map(Vec::len).find(|&len| len != expected) {
            return Err(NetworkError::State { found, expected });
        }
        let mut new = self.new_moments()?;
        self.device.write_f32(&mut new.first, 0, &moments[0])?;
        self.device.write_f32(&mut new.second, 0, &moments[1])?;
        self.moments = Some(new);
        Ok(())
    }

    fn new_moments(&self) -> Result<Moments<D>, NetworkError> {
        Ok(Moments {
            first: self.device.new_f32(self.layout.len())?,
            second: self.device.new_f32(self.layout.len())?,
        })
    }

    /// The workspace of a batch shape, removed from the list so that it can be worked on.
    fn take_workspace(&mut self, shape: (usize, usize)) -> Result<Workspace<D>, NetworkError> {
        let same = |w: &Workspace<D>| (w.batch, w.length) == shape;
        if let Some(index) = self.workspaces.iter().position(same) {
            return Ok(self.workspaces.swap_remove(index));
        }
        // Another shape: only those that a recording knows are kept, or each length of a text that grows
        // would stay for ever.
        let recorded = &self.recorded;
        let known = |w: &Workspace<D>| recorded.iter().any(|(p, _)| p.shape == (w.batch, w.length));
        self.workspaces.retain(known);
        let (config, options, layout) = (&self.config, &self.options, &self.layout);
        let new = Workspace::new(&self.device, config, options, layout, self.gamma, shape)?;
        Ok(new)
    }
}
