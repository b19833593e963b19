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

    /// Numbers of an input row.
    pub fn inputs(&self) -> usize {
        self.transposed.nrows()
    }

    /// A bound of each output's absolute value for input rows of at most the Euclidean norm `length`.
    pub fn bound(&self, length: f64) -> Vec<f64> {
        let size = |x: &T| x.wide().abs();
        let columns = self.transposed.columns().into_iter();
        let norms = columns.map(|c| c.iter().map(|w| size(w) * size(w)).sum::<f64>().sqrt());
        let bias = |c| self.bias.as_ref().map_or(0.0, |b: &Array1<T>| size(&b[c]));
        norms
            .enumerate()
            .map(|(c, n)| n * length + bias(c))
            .collect()
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
