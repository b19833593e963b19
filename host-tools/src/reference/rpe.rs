//! The relative position encoder: the small network that a Toeplitz kernel is read from.

use super::activation::{activate, size_after};
use super::{Linear, NormLayer, Params, Real, ReferenceError};
use crate::checkpoint::config::{Activation, ToeplitzConfig};
use ndarray::{Array2, ArrayD, s};
use std::collections::BTreeMap;

/// Positions evaluated at a time: hidden values stay in cache, products stay matrix products.
const CHUNK: usize = 512;

/// `Linear(1, r)`, hidden blocks of `[norm, activation, Linear(r, r)]` with or without a residual
/// connection, and a last block `[norm, activation, Linear(r, outputs)]`.
#[derive(Clone, Debug)]
pub struct Rpe<T> {
    pos_proj: Linear<T>,
    hidden: Vec<Block<T>>,
    out: Block<T>,
    residual: bool,
    outputs: usize,
}

#[derive(Clone, Debug)]
struct Block<T> {
    norm: NormLayer<T>,
    act: Activation,
    linear: Linear<T>,
}

impl<T: Real> Block<T> {
    fn from_params(
        config: &ToeplitzConfig,
        params: &Params,
        outputs: usize,
        bias: bool,
    ) -> Result<Self, ReferenceError> {
        Ok(Self {
            norm: NormLayer::from_params(config.rpe_norm, &params.sub("0"), config.rpe_dim)?,
            act: config.rpe_act,
            linear: Linear::from_params(&params.sub("2"), config.rpe_dim, outputs, bias)?,
        })
    }

    /// A bound of each output over all inputs; none if the norm does not bound what it gives.
    fn bound(&self) -> Option<Vec<f64>> {
        let width = self.linear.inputs();
        let (factor, offset) = size_after(self.act)?;
        let length = factor * self.norm.bound(width)? + offset * (width as f64).sqrt();
        Some(self.linear.bound(length))
    }

    fn forward(&self, mut x: Array2<T>) -> Array2<T> {
        self.norm.apply(&mut x);
        activate(self.act, &mut x);
        self.linear.forward(&x)
    }
}

impl<T: Real> Rpe<T> {
    /// Reads the tensors `{prefix}pos_proj.*`, `{prefix}layers.{k}.{0,2}.*`, `{prefix}out.{0,2}.*`
    /// of a network with `outputs` outputs; `prefix` ends in a dot.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; the network has no width.
    pub fn from_tensors(
        config: &ToeplitzConfig,
        outputs: usize,
        bias: bool,
        tensors: &BTreeMap<String, ArrayD<f32>>,
        prefix: &str,
    ) -> Result<Self, ReferenceError> {
        Self::from_params(config, outputs, bias, &Params::new(tensors, prefix))
    }

    /// [`from_tensors`](Self::from_tensors) below a prefix.
    pub(super) fn from_params(
        config: &ToeplitzConfig,
        outputs: usize,
        bias: bool,
        params: &Params,
    ) -> Result<Self, ReferenceError> {
        if config.rpe_dim == 0 {
            return Err(ReferenceError::Zero { what: "rpe_dim" });
        }
        let hidden = (0..config.rpe_layers).map(|k| {
            let params = params.sub(&format!("layers.{k}"));
            Block::from_params(config, &params, config.rpe_dim, bias)
        });
        Ok(Self {
            pos_proj: Linear::from_params(&params.sub("pos_proj"), 1, config.rpe_dim, bias)?,
            hidden: hidden.collect::<Result<_, _>>()?,
            out: Block::from_params(config, &params.sub("out"), outputs, bias)?,
            residual: config.residual,
            outputs,
        })
    }

    /// A bound of each output's absolute value over all positions, `[outputs]`; none if nothing bounds
    /// them (without a norm they grow with the position).
    pub fn bound(&self) -> Option<Vec<f64>> {
        self.out.bound()
    }

    /// The outputs at the given positions, `[positions, outputs]`.
    pub fn forward(&self, positions: &[T]) -> Array2<T> {
        let mut all = Array2::zeros((positions.len(), self.outputs));
        for (chunk, start) in positions.chunks(CHUNK).zip((0..).step_by(CHUNK)) {
            let mut rows = all.slice_mut(s![start..start + chunk.len(), ..]);
            rows.assign(&self.forward_chunk(chunk));
        }
        all
    }

    fn forward_chunk(&self, positions: &[T]) -> Array2<T> {
        let positions = Array2::from_shape_fn((positions.len(), 1), |(i, _)| positions[i]);
        let mut x = self.pos_proj.forward(&positions);
        for block in &self.hidden {
            x = if self.residual {
                block.forward(x.clone()) + x
            } else {
                block.forward(x)
            };
        }
        self.out.forward(x)
    }
}
