//! The product along sequences of one layer, forward and backward.

use super::{Spread, noise};
use crate::device::{Activation, Device, MixShape, Result, SkiOffsets, SkiShape, decayed_support};
use serde::Serialize;
use std::time::Instant;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OperatorBench {
    /// Channels, each with a kernel of its own.
    pub channels: usize,
    /// Positions of a sequence.
    pub length: usize,
    /// Positions of all sequences.
    pub tokens: usize,
    /// Decay of the kernel a lag; 1 for none. Where it has fallen below f32's rounding, the product
    /// may leave lags out.
    pub gamma: f32,
    /// Which product.
    pub product: Product,
    /// Calls that are timed.
    pub calls: usize,
}

/// What was measured, in milliseconds a call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OperatorResult {
    /// Name of the device.
    pub device: String,
    /// Channels.
    pub channels: usize,
    /// Positions of a sequence.
    pub length: usize,
    /// Positions of all sequences.
    pub tokens: usize,
    /// The product, a kernel's spectrum included; biases, activations and gate too where
    /// there is one.
    pub forward_ms: f64,
    /// Gradients of values and kernel; of gate and biases too where there are any.
    pub backward_ms: f64,
    /// Reading and writing each operand of the forward pass once, at the speed of a copy measured
    /// in the same run.
    pub floor_ms: f64,
    /// The same for the backward pass.
    pub backward_floor_ms: f64,
    /// Copy speed, bytes read and written, in 10^9 a second.
    pub copy_gb_per_second: f64,
}

/// Which product is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// By all lags of the kernel.
    Toeplitz {
        /// Whether there are biases, activations and a gate, as in a GTU; else the product is all.
        gated: bool,
        /// Whether lags below zero are absent.
        causal: bool,
    },
    /// By a short convolution and inducing points, in a GTU.
    Ski {
        /// Inducing points.
        rank: usize,
        /// Taps of the convolution.
        taps: usize,
    },
}

impl OperatorBench {
    fn batch(&self) -> usize {
        (self.tokens / self.length).max(1)
    }

    fn toeplitz(&self, gated: bool, causal: bool) -> MixShape {
        MixShape {
            batch: self.batch(),
            length: self.length,
            channels: self.channels,
            causal,
            act: match gated {
                true => Activation::Silu,
                false => Activation::None,
            },
            gated,
            support: decayed_support(self.gamma, self.length),
        }
    }

    fn ski(&self, rank: usize, taps: usize) -> SkiShape {
        SkiShape {
            batch: self.batch(),
            length: self.length,
            channels: self.channels,
            act: Activation::Silu,
            rank,
            taps,
        }
    }
}

/// The operands of a product, random.
struct Operands<'d, D: Device> {
    device: &'d D,
    kernel: D::F32,
    parameters: D::F32,
    uv: D::Act,
    dg: D::Act,
    y: D::Act,
    g: D::Act,
    duv: D::Act,
    d_kernel: D::F32,
    gradients: D::F32,
}

impl<'d, D: Device> Operands<'d, D> {
    /// For `rows` rows of `t` tokens before the product, `e` behind it, and a kernel of `lags` columns that decays
    /// by `gamma` on both sides of its first column.
    fn new(
        device: &'d D,
        (e, rows, t): (usize, usize, usize),
        lags: usize,
        gamma: f32,
        parameters: usize,
    ) -> Result<Self> {
        let mut values = noise(1, e * lags);
        for (index, value) in values.iter_mut().enumerate() {
            let column = index % lags;
            *value *= gamma.powi(column.min(lags - column) as i32);
        }
        let mut kernel = device.new_f32(e * lags)?;
        device.write_f32(&mut kernel, 0, &values)?;
        let mut uv = device.new_act(rows * t)?;
        device.write_act(&mut uv, 0, &noise(2, rows * t))?;
        let mut dg = device.new_act(e * t)?;
        device.write_act(&mut dg, 0, &noise(3, e * t))?;
        Ok(Self {
            device,
            kernel,
            parameters: device.new_f32(parameters)?,
            uv,
            dg,
            y: device.new_act(e * t)?,
            g: device.new_act((rows - e) * t)?,
            duv: device.new_act(rows * t)?,
            d_kernel: device.new_f32(e * lags)?,
            gradients: device.new_f32(parameters)?,
        })
    }

    /// Milliseconds of `calls` Toeplitz products, forward and backward.
    fn time_toeplitz(&mut self, shape: MixShape, calls: usize) -> Result<[f64; 2]> {
        let Self {
            device,
            kernel,
            parameters,
            uv,
            dg,
            y,
            g,
            duv,
            d_kernel,
            gradients,
        } = self;
        let bias = shape.gated.then_some(0);
        let mut mix = device.new_mix(shape)?;
        let forward = timed(*device, calls, || {
            device.mix(&mut mix, kernel, parameters, bias, uv, y, g)
        })?;
        let backward = timed(*device, calls, || {
            device.mix_backward(
                &mut mix, kernel, parameters, bias, uv, y, dg, duv, d_kernel, gradients,
            )
        })?;
        Ok([forward, backward])
    }

    /// The same of products by inducing points.
    fn time_ski(&mut self, shape: SkiShape, calls: usize) -> Result<[f64; 2]> {
        let Self {
            device,
            kernel,
            parameters,
            uv,
            dg,
            y,
            g,
            duv,
            d_kernel,
            gradients,
        } = self;
        let at = SkiOffsets {
            taps: 2 * shape.channels,
            bias: Some(0),
        };
        let forward = timed(*device, calls, || {
            device.ski(shape, kernel, parameters, at, uv, y, g)
        })?;
        let backward = timed(*device, calls, || {
            device.ski_backward(
                shape, kernel, parameters, at, uv, y, dg, duv, d_kernel, gradients,
            )
        })?;
        Ok([forward, backward])
    }

    /// Of copies of what comes before the product.
    fn time_copy(&mut self, calls: usize) -> Result<f64> {
        timed(self.device, calls, || {
            self.device.copy(&self.uv, &mut self.duv)
        })
    }
}

/// Times a product on random inputs.
///
/// # Errors
/// The device fails, for example for want of memory.
pub fn operator<D: Device>(device: &D, bench: OperatorBench) -> Result<OperatorResult> {
    let (e, t, calls) = (bench.channels, bench.batch() * bench.length, bench.calls);
    let ([forward_ms, backward_ms], copy_ms, rows) = match bench.product {
        Product::Toeplitz { gated, causal } => {
            let shape = bench.toeplitz(gated, causal);
            let rows = shape.halves() * e;
            let sizes = (e, rows, t);
            let mut operands = Operands::new(device, sizes, shape.lags(), bench.gamma, rows)?;
            let times = operands.time_toeplitz(shape, calls)?;
            (times, operands.time_copy(calls)?, rows)
        }
        Product::Ski { rank, taps } => {
            let shape = bench.ski(rank, taps);
            let (rows, parameters) = (2 * e, e * (2 + taps));
            let decay = f64::from(bench.gamma).powf(shape.spacing()) as f32;
            let sizes = (e, rows, t);
            let mut operands = Operands::new(device, sizes, shape.lags(), decay, parameters)?;
            let times = operands.time_ski(shape, calls)?;
            (times, operands.time_copy(calls)?, rows)
        }
    };
    // With a gate a copy moves 4 E T elements, forward 2 in and 2 out, backward 4 in and 2 out;
    // without one a copy moves 2, forward 1 in and 1 out, backward 2 in and 1 out.
    Ok(OperatorResult {
        device: device.name(),
        channels: e,
        length: bench.length,
        tokens: t,
        forward_ms,
        backward_ms,
        floor_ms: copy_ms,
        backward_floor_ms: 1.5 * copy_ms,
        copy_gb_per_second: (2 * rows * t * device.act_bytes()) as f64 / copy_ms / 1e6,
    })
}

/// The median of five groups of `calls` calls that the device is not waited for in between.
fn timed<D: Device>(device: &D, calls: usize, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let calls = calls.max(1);
    for _ in 0..2 {
        call()?;
    }
    device.synchronize()?;
    let mut samples = Vec::new();
    for _ in 0..5 {
        let begin = Instant::now();
        for _ in 0..calls {
            call()?;
        }
        device.synchronize()?;
        samples.push(begin.elapsed().as_secs_f64() * 1e3 / calls as f64);
    }
    Ok(Spread::of(samples).expect("five groups are timed").median)
}
