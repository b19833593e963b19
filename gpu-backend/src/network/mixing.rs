//! The product along sequences between the linear maps of a gated Toeplitz unit.

use super::layer::{Layer, mix_shape, ski_shape};
use super::support::Options;
use super::workspace::{Gradients, Kept};
use crate::device::{Device, Result, SkiOffsets, SkiShape};
use toeplite_checkpoint::Config;

/// Which product a network has, for one batch shape.
pub(super) enum Mixing<D: Device> {
    /// By all lags of the kernel.
    Toeplitz(D::Mix),
    /// By a short convolution and inducing points.
    Ski(SkiShape),
}

impl<D: Device> Mixing<D> {
    /// `gamma` is the largest decay rate, 1 without decay.
    pub fn new(
        device: &D,
        config: &Config,
        options: &Options,
        gamma: f32,
        (batch, length): (usize, usize),
    ) -> Result<Self> {
        if let Some(ski) = ski_shape(config, options, batch, length) {
            return Ok(Self::Ski(ski));
        }
        let shape = mix_shape(config, options, gamma, batch, length);
        Ok(Self::Toeplitz(device.new_mix(shape)?))
    }

    /// From `kept.uv` to `kept.y` and `kept.g`.
    pub fn forward(
        &mut self,
        device: &D,
        layer: &Layer,
        values: &D::F32,
        kept: &mut Kept<D>,
    ) -> Result<()> {
        let Kept {
            uv, y, g, kernel, ..
        } = kept;
        match self {
            Self::Toeplitz(mix) => device.mix(mix, kernel, values, layer.uv_bias_at, uv, y, g),
            Self::Ski(shape) => device.ski(*shape, kernel, values, offsets(layer), uv, y, g),
        }
    }

    /// From `by.g` to `by.uv` and `by.kernel`; gradients of parameters are added to `all`.
    pub fn backward(
        &mut self,
        device: &D,
        layer: &Layer,
        values: &D::F32,
        kept: &Kept<D>,
        by: &mut Gradients<D>,
        all: &mut D::F32,
    ) -> Result<()> {
        let Kept { uv, y, kernel, .. } = kept;
        let (dg, duv, d_kernel) = (&by.g, &mut by.uv, &mut by.kernel);
        match self {
            Self::Toeplitz(mix) => {
                let bias = layer.uv_bias_at;
                device.mix_backward(mix, kernel, values, bias, uv, y, dg, duv, d_kernel, all)
            }
            Self::Ski(shape) => {
                let at = offsets(layer);
                device.ski_backward(*shape, kernel, values, at, uv, y, dg, duv, d_kernel, all)
            }
        }
    }
}

fn offsets(layer: &Layer) -> SkiOffsets {
    SkiOffsets {
        taps: layer.short_at,
        bias: layer.uv_bias_at,
    }
}
