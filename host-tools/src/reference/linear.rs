//! Affine maps.

use super::{Params, Real, ReferenceError};
use ndarray::{Array1, Array2, ArrayView2};
use std::convert::Infallible;

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
        let bias = bias.then(|| params.vector("bias", outputs)).transpose()?;
        Ok(Self::new(weight.view(), bias))
    }

    fn new(weights: ArrayView2<'_, T>, bias: Option<Array1<T>>) -> Self {
        let transposed = weights.t().as_standard_layout().into_owned();
        Self { transposed, bias }
    }

    /// The same map with `weights` `[outputs, inputs]` in place of its own.
    ///
    /// # Panics
    /// `weights` have another shape.
    pub fn with_weights(&self, weights: ArrayView2<'_, T>) -> Self {
        assert_eq!(weights.dim(), self.weights().dim(), "[outputs, inputs]");
        Self::new(weights, self.bias.clone())
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

    /// `[outputs, inputs]`.
    pub fn weights(&self) -> ArrayView2<'_, T> {
        self.transposed.t()
    }

    /// `[outputs]`, zeros where there is none.
    pub fn bias_or_zeros(&self) -> Array1<T> {
        let outputs = self.transposed.ncols();
        self.bias.clone().unwrap_or_else(|| Array1::zeros(outputs))
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

/// Which linear maps of a layer: those that read the same vectors stand together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `u_proj` and `v_proj`.
    GtuIn,
    /// `o`.
    GtuOut,
    /// `l1` and `l2`.
    GluIn,
    /// `l3`.
    GluOut,
}

impl Place {
    /// In the order in which a layer computes them.
    pub const ALL: [Self; 4] = [Self::GtuIn, Self::GtuOut, Self::GluIn, Self::GluOut];

    /// Names of the maps in a layer.
    pub const fn maps(self) -> &'static [&'static str] {
        match self {
            Self::GtuIn => &["token_mixer.u_proj", "token_mixer.v_proj"],
            Self::GtuOut => &["token_mixer.o"],
            Self::GluIn => &["feature_mixer.l1", "feature_mixer.l2"],
            Self::GluOut => &["feature_mixer.l3"],
        }
    }
}

/// How a layer computes its linear maps: as trained ([`AsTrained`]), or as something else that
/// looks at what they read, or has other weights.
pub trait Maps<T> {
    /// Why maps cannot be computed.
    type Error;

    /// The outputs of the maps at `place`, whose inputs are `x` `[rows, inputs]`, in their order.
    ///
    /// # Errors
    /// The implementation's own.
    fn apply<const N: usize>(
        &mut self,
        place: Place,
        maps: [&Linear<T>; N],
        x: &Array2<T>,
    ) -> Result<[Array2<T>; N], Self::Error>;
}

/// Maps with the weights that they have.
pub struct AsTrained;

impl<T: Real> Maps<T> for AsTrained {
    type Error = Infallible;

    fn apply<const N: usize>(
        &mut self,
        _: Place,
        maps: [&Linear<T>; N],
        x: &Array2<T>,
    ) -> Result<[Array2<T>; N], Infallible> {
        Ok(maps.map(|map| map.forward(x)))
    }
}
