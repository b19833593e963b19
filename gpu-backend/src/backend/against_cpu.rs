//! A device's Toeplitz product against the CPU's, where plain sums would take too long.

use crate::bench::noise;
use crate::device::cpu::Cpu;
use crate::device::{Device, MixShape, Result};

/// The largest error of all outputs and gradients, each relative to its largest element.
pub(super) fn mix<D: Device>(device: &D, shape: MixShape, seed: u64) -> Result<f64> {
    let found = outputs(device, shape, seed)?;
    let expected = outputs(&Cpu::new(), shape, seed)?;
    let errors = found.iter().zip(&expected).map(|(a, b)| relative(a, b));
    Ok(errors.fold(0.0, f64::max))
}

fn relative(found: &[f32], expected: &[f32]) -> f64 {
    let largest = expected
        .iter()
        .fold(1e-20, |m: f64, x| m.max(f64::from(x.abs())));
    let pairs = found.iter().zip(expected);
    let error = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).abs() / largest;
    // What is no number counts as infinitely wrong.
    pairs.map(error).fold(
        0.0,
        |m, e| if e.is_nan() { f64::INFINITY } else { m.max(e) },
    )
}

/// y, g, duv, the kernel's and the bias's gradients.
fn outputs<D: Device>(device: &D, shape: MixShape, seed: u64) -> Result<[Vec<f32>; 5]> {
    let (e, t, lags) = (shape.channels, shape.tokens(), shape.lags());
    let (rows, gates) = (shape.halves() * e, (shape.halves() - 1) * e);
    let act = |values: Vec<f32>| {
        let mut buffer = device.new_act(values.len())?;
        device.write_act(&mut buffer, 0, &values)?;
        Ok(buffer)
    };
    let mut mix = device.new_mix(shape)?;
    let mut values = noise(seed + 1, e * lags);
    for (index, value) in values.iter_mut().enumerate() {
        let lag = index % lags;
        let zero = lag == shape.length || (shape.causal && lag >= shape.support);
        *value *= if zero {
            0.0
        } else {
            4.0 / (shape.support as f32).sqrt()
        };
    }
    let mut kernel = device.new_f32(e * lags)?;
    device.write_f32(&mut kernel, 0, &values)?;
    let mut parameters = device.new_f32(rows)?;
    device.write_f32(&mut parameters, 0, &noise(seed + 2, rows))?;
    let uv = act(noise(seed + 3, rows * t).iter().map(|x| 4.0 * x).collect())?;
    let dg = act(noise(seed + 4, e * t))?;
    let (mut y, mut g) = (device.new_act(e * t)?, device.new_act(gates * t)?);
    let mut duv = device.new_act(rows * t)?;
    let (mut d_kernel, mut d_bias) = (device.new_f32(e * lags)?, device.new_f32(rows)?);
    device.mix(&mut mix, &kernel, &parameters, Some(0), &uv, &mut y, &mut g)?;
    device.mix_backward(
        &mut mix,
        &kernel,
        &parameters,
        Some(0),
        &uv,
        &y,
        &dg,
        &mut duv,
        &mut d_kernel,
        &mut d_bias,
    )?;
    let mut d_kernel = device.read_f32(&d_kernel, 0..e * lags)?;
    // Devices may leave out gradients of lags beyond the support, or not.
    for (index, value) in d_kernel.iter_mut().enumerate() {
        if shape.causal && index % lags >= shape.support {
            *value = 0.0;
        }
    }
    Ok([
        device.read_act(&y, 0..e * t)?,
        device.read_act(&g, 0..gates * t)?,
        device.read_act(&duv, 0..rows * t)?,
        d_kernel,
        device.read_f32(&d_bias, 0..rows)?,
    ])
}
