//! Affine maps.

use super::{Params, Real, ReferenceError};
use ndarray::{Array1, Array2};

/// `x W^T + b` on every row.
#[derive(Clone, Debug)]
pub struct Linear<T> {
    /// `[inputs, outputs]`: matrix products read it faster this way round.
    transposed: Array2<T>,
    bias: Option<Array1<T>>,
}

impl<T: Real> Linear<T> {
    /// Reads `weight` `[outputs, inputs]` and, where `bias` is set, `bias` `[outputs]`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn from_params(
        params: &Params,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Self, ReferenceError> {
        let weight: Array2<T> = params.matrix("weight", outputs, inputs)?;
        let transposed = weight.t().as_standard_layout().into_owned();
        let bias = bias.then(|| params.vector("bias", outputs)).transpose()?;
        Ok(Self { transposed, bias })
    }

    /// `[rows, inputs]` to `[rows, outputs]`.
    pub fn forward(&self, x: &Array2<T>) -> Array2<T> {
        let mut y = x.dot(&self.transposed);
        if let Some(bias) = &self.bias {
            y.rows_mut().into_iter().for_each(|mut row| row += bias);
        }
        y
    }
}
