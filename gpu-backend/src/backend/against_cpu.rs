//! A device against the CPU: Toeplitz products for which plain sums would take too long, and training.

use super::small;
use crate::bench::noise;
use crate::device::cpu::Cpu;
use crate::device::{Device, MixShape, Optimiser, Result, SkiShape, checks};
use crate::network::{Network, NetworkError};

/// The first pass of a kind runs, the second is recorded, later ones replay that.
const STEPS: u64 = 8;

/// Trains the causal network on one batch, on the device and on the CPU, from the same parameters.
/// The largest relative error of the steps' losses, and the device again.
pub(super) fn training<D: Device>(device: D, seed: u64) -> Result<(D, f64), NetworkError> {
    let mut found = Network::new(device, small::causal(), 0.9, seed)?;
    let mut expected = Network::new(Cpu::new(), small::causal(), 0.9, seed)?;
    let pairs = losses(&mut found, seed)?;
    let pairs = pairs.into_iter().zip(losses(&mut expected, seed)?);
    let error = |(a, b): (f64, f64)| {
        if a.is_finite() {
            (a / b - 1.0).abs()
        } else {
            f64::INFINITY
        }
    };
    Ok((found.into_device(), pairs.map(error).fold(0.0, f64::max)))
}

/// The loss of each step.
fn losses<D: Device>(network: &mut Network<D>, seed: u64) -> Result<Vec<f64>, NetworkError> {
    let batch = [small::text(seed)];
    let each = |step| {
        // Large enough for the losses to fall by a third.
        let values = Optimiser::published(1e-2, step, batch[0].targets.len());
        network.step(&batch, values, 1)?;
        Ok::<_, NetworkError>(network.take_sums()?.loss)
    };
    (1..=STEPS).map(each).collect()
}

/// The largest error of all outputs and gradients, each relative to its largest element.
pub(super) fn mix<D: Device>(device: &D, shape: MixShape, seed: u64) -> Result<f64> {
    let found = outputs(device, shape, seed)?;
    let expected = outputs(&Cpu::new(), shape, seed)?;
    let errors = found.iter().zip(&expected).map(|(a, b)| relative(a, b));
    Ok(errors.fold(0.0, f64::max))
}

/// [`mix`] of the product of SKI.
pub(super) fn ski<D: Device>(device: &D, shape: SkiShape, seed: u64) -> Result<f64> {
    let found = checks::ski_outputs(device, shape, seed)?;
    let expected = checks::ski_outputs(&Cpu::new(), shape, seed)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps that change little would hide what is wrong with them.
    #[test]
    fn the_compared_losses_fall() {
        for seed in 0..4 {
            let mut network = Network::new(Cpu::new(), small::causal(), 0.9, seed).unwrap();
            let losses = losses(&mut network, seed).unwrap();
            assert_eq!(losses.len(), STEPS as usize);
            assert!(losses[7] < 0.8 * losses[0], "{losses:?}");
        }
    }
}
