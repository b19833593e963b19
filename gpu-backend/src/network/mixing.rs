//! The product along sequences between the linear maps of a gated Toeplitz unit.

use super::image::ImageMixing;
use super::layer::{Layer, mix_shape, ski_shape};
use super::support::Options;
use super::workspace::{Gradients, Kept, Operator};
use crate::device::{Device, Result, SkiOffsets, SkiShape};
use toeplite_checkpoint::Config;

/// Which product a network has, for one batch shape.
pub(super) enum Mixing<D: Device> {
    /// By all lags of the kernel.
    Toeplitz(D::Mix),
    /// Along rows and columns.
    Image(ImageMixing<D>),
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
        Ok(match config.toeplitz.image {
            Some(sides) => Self::Image(ImageMixing::new(device, shape, sides)?),
            None => Self::Toeplitz(device.new_mix(shape)?),
        })
    }

    /// From `kept.uv` to `kept.g` and the operators' products.
    pub fn forward(
        &mut self,
        device: &D,
        layer: &Layer,
        values: &D::F32,
        kept: &mut Kept<D>,
    ) -> Result<()> {
        let bias = layer.uv_bias_at;
        match self {
            Self::Image(image) => image.forward(device, bias, values, kept),
            Self::Toeplitz(mix) => {
                let (Operator { y, kernel, .. }, uv, g) = single(kept);
                device.mix(mix, kernel, values, bias, uv, y, g)
            }
            Self::Ski(shape) => {
                let (Operator { y, kernel, .. }, uv, g) = single(kept);
                device.ski(*shape, kernel, values, offsets(layer), uv, y, g)
            }
        }
    }

    /// From `by.g` to `by.uv` and `by.kernels`; gradients of parameters are added to `all`.
    pub fn backward(
        &mut self,
        device: &D,
        layer: &Layer,
        values: &D::F32,
        kept: &mut Kept<D>,
        by: &mut Gradients<D>,
        all: &mut D::F32,
    ) -> Result<()> {
        let bias = layer.uv_bias_at;
        let (uv, Operator { y, kernel, .. }) = (&kept.uv, &kept.operators[0]);
        let (dg, duv, d_kernel) = (&by.g, &mut by.uv, &mut by.kernels[0]);
        match self {
            Self::Image(image) => image.backward(device, bias, values, kept, by, all),
            Self::Toeplitz(mix) => {
                device.mix_backward(mix, kernel, values, bias, uv, y, dg, duv, d_kernel, all)
            }
            Self::Ski(shape) => {
                let at = offsets(layer);
                device.ski_backward(*shape, kernel, values, at, uv, y, dg, duv, d_kernel, all)
            }
        }
    }
}

/// The one operator of sequences, what enters it and where the gated product goes.
fn single<D: Device>(kept: &mut Kept<D>) -> (&mut Operator<D>, &D::Act, &mut D::Act) {
    (&mut kept.operators[0], &kept.uv, &mut kept.g)
}

fn offsets(layer: &Layer) -> SkiOffsets {
    SkiOffsets {
        taps: layer.short_at,
        bias: layer.uv_bias_at,
    }
}
