//! Gradients against differences of the loss.

use super::layout::Tensor;
use super::workspace::Workspace;
use super::{Network, NetworkError};
use crate::data::Batch;
use crate::device::checks::Random;
use crate::device::{Device, IGNORE};

/// Random directions of each tensor. Along the gradient alone, what it has besides the true one would
/// not show: there it is orthogonal to both.
const RANDOM: u64 = 2;
/// Part of the norm of all gradients below which a tensor is judged by that: its own differences are
/// mostly rounding.
const LEAST: f64 = 0.02;
/// Nats by which a step may move the loss (of about 70), how far it may go, and how far relative to
/// the tensor's norm: enough above f32's rounding of what the head reads, little enough for the four
/// points to be exact. With these, small networks on the CPU are off by up to 7e-4.
const NATS: f64 = 0.02;
const FARTHEST: f64 = 0.03;
const FARTHEST_OF_NORM: f64 = 0.03;

/// A tensor's unit vector, and how large the derivative of the loss along it ordinarily is.
struct Direction {
    unit: Vec<f64>,
    size: f64,
}

impl<D: Device> Network<D> {
    /// For every trained tensor, how far its gradient is from central differences of the loss, along
    /// it and along random directions: the largest of their errors. Each is relative to what a
    /// gradient of that norm (or of 2% of the norm of all) has in such a direction: `n` elements have
    /// `norm / sqrt(n)` in a random one. First the loss itself, against f64. The parameters are as
    /// before afterwards.
    ///
    /// # Errors
    /// The batch does not fit; the device fails.
    pub fn gradient_errors(&mut self, batch: &Batch) -> Result<Vec<(String, f64)>, NetworkError> {
        let gradients = self.gradients(std::slice::from_ref(batch), 1)?;
        self.errors_of(&gradients, batch)
    }

    /// [`Network::gradient_errors`] of any `gradients`, laid out as [`Network::layout`].
    ///
    /// # Errors
    /// As [`Network::gradient_errors`].
    pub fn errors_of(
        &mut self,
        gradients: &[f32],
        batch: &Batch,
    ) -> Result<Vec<(String, f64)>, NetworkError> {
        self.take_sums()?;
        let start = self.parameters()?;
        let loss = self.exact_loss(batch)?;
        let summed = self.take_sums()?.loss;
        let mut errors = vec![("loss".to_string(), (summed - loss).abs() / loss)];
        let least = LEAST * norm(gradients);
        for (name, tensor) in self.layout().tensors().clone() {
            if !self.layout().trained().contains(&tensor.at) {
                continue;
            }
            let mut largest = 0f64;
            for direction in directions(&gradients[tensor.range()], tensor.at, least) {
                let own = gradients[tensor.range()].iter().zip(&direction.unit);
                let expected: f64 = own.map(|(g, d)| f64::from(*g) * d).sum();
                let measured = self.slope(&start, &tensor, &direction, batch)?;
                let error = (measured - expected).abs() / direction.size;
                // What is no number counts as infinitely wrong.
                largest = largest.max(if error.is_nan() { f64::INFINITY } else { error });
            }
            errors.push((name, largest));
        }
        self.set_parameters(&start)?;
        self.take_sums()?;
        Ok(errors)
    }

    /// The derivative of the loss along a direction, by four points.
    fn slope(
        &mut self,
        start: &[f32],
        tensor: &Tensor,
        direction: &Direction,
        batch: &Batch,
    ) -> Result<f64, NetworkError> {
        // Biases that are zero have no norm to go by.
        let farthest = match norm(&start[tensor.range()]) {
            0.0 => FARTHEST,
            own => FARTHEST.min(FARTHEST_OF_NORM * own),
        };
        let step = (NATS / direction.size).min(farthest) / 2.0;
        let mut loss = |steps: f64| {
            let mut values = start.to_vec();
            for (value, d) in values[tensor.range()].iter_mut().zip(&direction.unit) {
                *value += (steps * step * d) as f32;
            }
            self.set_parameters(&values)?;
            self.exact_loss(batch)
        };
        let (near, far) = (loss(1.0)? - loss(-1.0)?, loss(2.0)? - loss(-2.0)?);
        Ok((8.0 * near - far) / (12.0 * step))
    }

    /// The summed loss of a batch: what the head reads comes from the device, its logits and their
    /// cross entropy are computed here in f64, whose rounding differences do not see.
    fn exact_loss(&mut self, batch: &Batch) -> Result<f64, NetworkError> {
        self.evaluate(batch)?;
        let shape = (batch.sequences, batch.length);
        let workspace = self.take_workspace(shape)?;
        let (rows, targets) = self.head_inputs(&workspace, batch)?;
        self.workspaces.push(workspace);
        let (dim, classes) = (self.config.dim, self.config.outputs());
        let at = self.head_at();
        let values = &self.parameters.values;
        let head = self.device.read_f32(values, at..at + classes * dim)?;
        let pairs = rows.chunks_exact(dim).zip(targets);
        let losses = pairs.map(|(x, target)| match target {
            IGNORE => 0.0,
            target => cross_entropy(&head, x, target as usize),
        });
        Ok(losses.sum())
    }

    /// Rows that the head reads, and their targets.
    fn head_inputs(
        &self,
        workspace: &Workspace<D>,
        batch: &Batch,
    ) -> Result<(Vec<f32>, Vec<u32>), NetworkError> {
        let (dim, targets) = (self.config.dim, batch.targets.clone());
        if let Some(pooled) = &workspace.pooled {
            return Ok((
                self.device.read_act(pooled, 0..targets.len() * dim)?,
                targets,
            ));
        }
        let all = 0..workspace.positions() * dim;
        let rows = self.device.read_act(&workspace.last_norm, all)?;
        if targets.len() == workspace.positions() {
            return Ok((rows, targets));
        }
        Ok((workspace.last_rows(&rows), targets))
    }

    /// Gives the device back.
    pub fn into_device(self) -> D {
        // Recordings end before it, as when the network is dropped.
        drop(self.recorded);
        self.device
    }
}

fn norm(values: &[f32]) -> f64 {
    let squares = values.iter().map(|v| f64::from(*v).powi(2));
    squares.sum::<f64>().sqrt()
}

/// That of the gradient, and random ones, of all elements alike.
fn directions(gradient: &[f32], seed: usize, least: f64) -> Vec<Direction> {
    let (own, root) = (norm(gradient), (gradient.len() as f64).sqrt());
    let size = own.max(least);
    let random = |index| {
        let values = Random::new(seed as u64 * RANDOM + index).values(gradient.len());
        let sign = |v: &f32| f64::from(v.signum()) / root;
        let unit = values.iter().map(sign).collect();
        let size = size / root;
        Direction { unit, size }
    };
    let mut directions: Vec<_> = (0..RANDOM).map(random).collect();
    if own > 0.0 {
        let unit = gradient.iter().map(|g| f64::from(*g) / own).collect();
        directions.push(Direction { unit, size });
    }
    directions
}

/// Of one row of the head's input, in nats.
fn cross_entropy(head: &[f32], x: &[f32], target: usize) -> f64 {
    let logit = |row: &[f32]| -> f64 {
        let products = row.iter().zip(x);
        products.map(|(w, x)| f64::from(*w) * f64::from(*x)).sum()
    };
    let logits: Vec<f64> = head.chunks_exact(x.len()).map(logit).collect();
    let top = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = logits.iter().map(|l| (l - top).exp()).sum();
    sum.ln() + top - logits[target]
}
