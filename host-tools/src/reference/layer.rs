//! One layer: token mixing, then feature mixing, each with a norm and a residual connection.

use super::glu::Glu;
use super::gtu::Gtu;
use super::toeplitz::Toeplitz;
use super::{AsTrained, Maps, NormLayer, Params, Real, ReferenceError};
use crate::checkpoint::config::{Config, NormPosition};
use ndarray::{Array2, ArrayView2};

/// A GTU and a GLU with their norms.
#[derive(Clone, Debug)]
pub struct Layer<T> {
    token_norm: NormLayer<T>,
    token_mixer: Gtu<T>,
    feature_norm: NormLayer<T>,
    feature_mixer: Glu<T>,
    position: NormPosition,
}

impl<T: Real> Layer<T> {
    /// Reads `token_norm`, `token_mixer`, `feature_norm`, `feature_mixer`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; there are no heads or channels.
    pub fn from_params(config: &Config, params: &Params) -> Result<Self, ReferenceError> {
        let norm = |name| NormLayer::from_params(config.norm, &params.sub(name), config.dim);
        Ok(Self {
            token_norm: norm("token_norm")?,
            token_mixer: Gtu::from_params(config, &params.sub("token_mixer"))?,
            feature_norm: norm("feature_norm")?,
            feature_mixer: Glu::from_params(config, &params.sub("feature_mixer"))?,
            position: config.norm_position(),
        })
    }

    /// The Toeplitz operator of the token mixing.
    pub fn toeplitz(&self) -> &Toeplitz<T> {
        self.token_mixer.toeplitz()
    }

    /// `[n, dim]` to `[n, dim]`, with `mix` for the Toeplitz product of `[n, channels]`.
    pub fn forward(&self, x: Array2<T>, mix: impl Fn(ArrayView2<T>) -> Array2<T>) -> Array2<T> {
        let Ok(y) = self.forward_with(x, mix, &mut AsTrained);
        y
    }

    /// [`forward`](Self::forward) with `maps` for the linear maps.
    ///
    /// # Errors
    /// Those of `maps`.
    pub fn forward_with<M: Maps<T>>(
        &self,
        x: Array2<T>,
        mix: impl Fn(ArrayView2<T>) -> Array2<T>,
        maps: &mut M,
    ) -> Result<Array2<T>, M::Error> {
        let x = self.branch(x, &self.token_norm, |x| {
            self.token_mixer.forward_with(x, mix, maps)
        })?;
        self.branch(x, &self.feature_norm, |x| {
            self.feature_mixer.forward_with(x, maps)
        })
    }

    /// `x` with the branch `f` added, normalized where the layer's norms stand.
    fn branch<E>(
        &self,
        x: Array2<T>,
        norm: &NormLayer<T>,
        f: impl FnOnce(&Array2<T>) -> Result<Array2<T>, E>,
    ) -> Result<Array2<T>, E> {
        Ok(match self.position {
            NormPosition::Pre => {
                let mut inner = x.clone();
                norm.apply(&mut inner);
                x + f(&inner)?
            }
            NormPosition::PostBranch => {
                let mut branch = f(&x)?;
                norm.apply(&mut branch);
                x + branch
            }
            NormPosition::PostResidual => {
                let branch = f(&x)?;
                let mut sum = x + branch;
                norm.apply(&mut sum);
                sum
            }
        })
    }
}
