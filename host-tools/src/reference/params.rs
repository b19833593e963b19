//! Parameters looked up by name, their shapes checked against the configuration.

use super::{Real, ReferenceError};
use ndarray::{Array1, Array2, ArrayD};
use std::collections::BTreeMap;

/// The parameters below one prefix of a checkpoint.
#[derive(Clone, Debug)]
pub struct Params<'a> {
    tensors: &'a BTreeMap<String, ArrayD<f32>>,
    prefix: String,
}

impl<'a> Params<'a> {
    /// The parameters whose names begin with `prefix` (which ends in a dot, or is empty).
    pub fn new(tensors: &'a BTreeMap<String, ArrayD<f32>>, prefix: &str) -> Self {
        let prefix = prefix.to_owned();
        Self { tensors, prefix }
    }

    /// The parameters of a submodule; `name` without a dot at its end.
    pub fn sub(&self, name: &str) -> Self {
        let prefix = format!("{}{name}.", self.prefix);
        Self { prefix, ..*self }
    }

    /// A vector of `len` numbers.
    ///
    /// # Errors
    /// The tensor is missing or not `[len]`.
    pub fn vector<T: Real>(&self, name: &str, len: usize) -> Result<Array1<T>, ReferenceError> {
        let values = self.values(name, &[len])?;
        Ok(values.collect())
    }

    /// A matrix of `rows` by `columns`.
    ///
    /// # Errors
    /// The tensor is missing or not `[rows, columns]`.
    pub fn matrix<T: Real>(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Array2<T>, ReferenceError> {
        let values: Vec<T> = self.values(name, &[rows, columns])?.collect();
        Ok(Array2::from_shape_vec((rows, columns), values).expect("the shape was just checked"))
    }

    /// The entries of a tensor of the given shape, the last dimension fastest.
    ///
    /// # Errors
    /// The tensor is missing or of another shape.
    pub fn values<T: Real>(
        &self,
        name: &str,
        shape: &[usize],
    ) -> Result<impl Iterator<Item = T> + 'a, ReferenceError> {
        let name = format!("{}{name}", self.prefix);
        let Some(tensor) = self.tensors.get(&name) else {
            return Err(ReferenceError::MissingTensor { name });
        };
        if tensor.shape() != shape {
            return Err(ReferenceError::TensorShape {
                name,
                expected: shape.to_vec(),
                found: tensor.shape().to_vec(),
            });
        }
        Ok(tensor.iter().map(|&value| T::of(value.into())))
    }
}
