//! Gradients against differences of the loss.

use super::{Network, NetworkError};
use crate::data::Batch;
use crate::device::Device;

impl<D: Device> Network<D> {
    /// For every trained tensor, the error of its gradient's norm (relative to it, or to 2% of the
    /// norm of all) against the central
    /// difference of the loss along that gradient. The parameters are as before afterwards.
    ///
    /// # Errors
    /// The batch does not fit; the device fails.
    pub fn gradient_errors(&mut self, batch: &Batch) -> Result<Vec<(String, f64)>, NetworkError> {
        let gradients = self.gradients(std::slice::from_ref(batch), 1)?;
        self.take_sums()?;
        let start = self.parameters()?;
        let all = gradients.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>();
        // A tensor with hardly any gradient is judged by that of the others: the difference along
        // it is mostly rounding, and the loss's bends.
        let least = 0.02 * all.sqrt();
        let mut errors = Vec::new();
        for (name, tensor) in self.layout().tensors().clone() {
            if !self.layout().trained().contains(&tensor.at) {
                continue;
            }
            let along = &gradients[tensor.range()];
            let squares = along.iter().map(|g| f64::from(*g).powi(2));
            let norm = squares.sum::<f64>().sqrt();
            // Moves the loss by about 0.04 nats of 70: far above f32's rounding of it, and little
            // enough for the loss to be nearly straight.
            let step = (0.02 / norm).min(0.05);
            let mut loss = |sign: f64| {
                let mut values = start.clone();
                for (value, g) in values[tensor.range()].iter_mut().zip(along) {
                    *value += (sign * step * f64::from(*g) / norm) as f32;
                }
                self.set_parameters(&values)?;
                self.evaluate(batch)?;
                Ok::<_, NetworkError>(self.take_sums()?.loss)
            };
            let measured = (loss(1.0)? - loss(-1.0)?) / (2.0 * step);
            errors.push((name, (measured - norm).abs() / norm.max(least)));
        }
        self.set_parameters(&start)?;
        Ok(errors)
    }
}
