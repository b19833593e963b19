//! The Toeplitz product of one layer, forward and backward.

use super::{Spread, noise};
use crate::device::{Activation, Device, MixShape, Result, decayed_support};
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
    /// Whether there are biases, activations and a gate, as in a GTU; else the product is all.
    pub gated: bool,
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
    /// The Toeplitz product, the kernel's spectrum included; biases, activations and gate too where
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

/// Times the Toeplitz product on random inputs.
///
/// # Errors
/// The device fails, for example for want of memory.
pub fn operator<D: Device>(device: &D, bench: OperatorBench) -> Result<OperatorResult> {
    let shape = MixShape {
        batch: (bench.tokens / bench.length).max(1),
        length: bench.length,
        channels: bench.channels,
        causal: true,
        act: if bench.gated {
            Activation::Silu
        } else {
            Activation::None
        },
        gated: bench.gated,
        support: decayed_support(bench.gamma, bench.length),
    };
    let (e, t) = (shape.channels, shape.tokens());
    let (rows, gates) = (shape.halves() * e, (shape.halves() - 1) * e);
    let bias_at = bench.gated.then_some(0);
    let mut mix = device.new_mix(shape)?;
    let mut kernel = device.new_f32(e * shape.lags())?;
    let mut values = noise(1, e * shape.lags());
    for (index, value) in values.iter_mut().enumerate() {
        *value *= bench.gamma.powi((index % shape.lags()) as i32);
    }
    device.write_f32(&mut kernel, 0, &values)?;
    let parameters = device.new_f32(rows)?;
    let mut uv = device.new_act(rows * t)?;
    device.write_act(&mut uv, 0, &noise(2, rows * t))?;
    let mut dg = device.new_act(e * t)?;
    device.write_act(&mut dg, 0, &noise(3, e * t))?;
    let (mut y, mut g) = (device.new_act(e * t)?, device.new_act(gates * t)?);
    let mut duv = device.new_act(rows * t)?;
    let mut d_kernel = device.new_f32(e * shape.lags())?;
    let mut gradients = device.new_f32(rows)?;
    let forward_ms = timed(device, bench.calls, || {
        device.mix(&mut mix, &kernel, &parameters, bias_at, &uv, &mut y, &mut g)
    })?;
    let backward_ms = timed(device, bench.calls, || {
        device.mix_backward(
            &mut mix,
            &kernel,
            &parameters,
            bias_at,
            &uv,
            &y,
            &dg,
            &mut duv,
            &mut d_kernel,
            &mut gradients,
        )
    })?;
    let copy_ms = timed(device, bench.calls, || device.copy(&uv, &mut duv))?;
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
