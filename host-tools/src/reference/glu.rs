//! The gated linear unit: a layer's feature mixing.

use super::activation::activate;
use super::{Linear, Maps, Params, Place, Real, ReferenceError};
use crate::checkpoint::config::{Activation, Config};
use ndarray::Array2;

/// `final_act(l3(act(l1 x) * l2 x))`.
#[derive(Clone, Debug)]
pub struct Glu<T> {
    l1: Linear<T>,
    l2: Linear<T>,
    l3: Linear<T>,
    act: Activation,
    final_act: Activation,
}

impl<T: Real> Glu<T> {
    /// Reads `l1`, `l2`, `l3`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape.
    pub fn from_params(config: &Config, params: &Params) -> Result<Self, ReferenceError> {
        let linear = |name: &str, inputs, outputs| {
            Linear::from_params(&params.sub(name), inputs, outputs, config.bias)
        };
        Ok(Self {
            l1: linear("l1", config.dim, config.glu_dim)?,
            l2: linear("l2", config.dim, config.glu_dim)?,
            l3: linear("l3", config.glu_dim, config.dim)?,
            act: config.glu_act,
            final_act: config.glu_final_act,
        })
    }

    /// `[n, dim]` to `[n, dim]`, with `maps` for the linear maps.
    ///
    /// # Errors
    /// Those of `maps`.
    pub fn forward_with<M: Maps<T>>(
        &self,
        x: &Array2<T>,
        maps: &mut M,
    ) -> Result<Array2<T>, M::Error> {
        let [mut gate, value] = maps.apply(Place::GluIn, [&self.l1, &self.l2], x)?;
        activate(self.act, &mut gate);
        gate *= &value;
        let [mut y] = maps.apply(Place::GluOut, [&self.l3], &gate)?;
        activate(self.final_act, &mut y);
        Ok(y)
    }
}
