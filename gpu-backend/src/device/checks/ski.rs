//! Check of the product of SKI against its dense matrix.

use super::{Random, act, act_error, added, full, full_error, gradient, plain};
use crate::device::{Device, Result, SkiOffsets, SkiShape};

/// The gated unit with the product of SKI, and its gradients.
pub fn ski<D: Device>(device: &D, shape: SkiShape, bias: bool, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    let (tokens, channels) = (shape.tokens(), shape.channels);
    let (elements, lags) = (channels * tokens, channels * shape.lags());
    // Taps before the biases for some seeds, behind them for others, as networks have them.
    let (taps, biases) = (channels * shape.taps, 2 * channels);
    let (taps_at, bias_at) = match seed.is_multiple_of(2) {
        true => (1 + biases, 1),
        false => (1, 1 + taps),
    };
    let at = SkiOffsets {
        taps: taps_at,
        bias: bias.then_some(bias_at),
    };
    let (kernel, kernel_held) = full(device, &random.values(lags))?;
    let (parameters, held) = full(device, &random.values(1 + taps + biases))?;
    let (uv, uv_held) = act(device, &random.values(2 * elements))?;
    let (dg, dg_held) = act(device, &random.values(elements))?;
    let (mut y, mut g) = (device.new_act(elements)?, device.new_act(elements)?);
    let (mut duv, _) = act(device, &random.values(2 * elements))?;
    let (mut d_kernel, _) = full(device, &random.values(lags))?;
    let (mut gradients, before) = full(device, &random.values(1 + taps + biases))?;
    let operands = [&uv, &dg];
    let (to, by) = ([&mut y, &mut g, &mut duv], [&mut d_kernel, &mut gradients]);
    both_ways(device, shape, [&kernel, &parameters], at, operands, to, by)?;
    let plain = |kernel: &[f64], parameters: &[f64], uv: &[f64]| {
        let bias = if bias {
            &parameters[bias_at..][..biases]
        } else {
            &[]
        };
        plain::ski(shape, kernel, &parameters[taps_at..][..taps], bias, uv)
    };
    let of_g = |yg: Vec<f64>| yg[elements..].to_vec();
    let yg = plain(&kernel_held, &held, &uv_held);
    let want_duv = gradient(&uv_held, &dg_held, |uv| {
        of_g(plain(&kernel_held, &held, uv))
    });
    let want_kernel = gradient(&kernel_held, &dg_held, |k| of_g(plain(k, &held, &uv_held)));
    let want = gradient(&held, &dg_held, |p| of_g(plain(&kernel_held, p, &uv_held)));
    let errors = [
        act_error(device, &y, &yg[..elements])?,
        act_error(device, &g, &yg[elements..])?,
        act_error(device, &duv, &want_duv)?,
        full_error(device, &d_kernel, &want_kernel)?,
        full_error(device, &gradients, &added(want, &before))?,
    ];
    Ok(errors.into_iter().fold(0.0, f64::max))
}

/// Forward and backward, from a kernel and parameters, uv and dg, to y, g and duv and to the gradients of the first two.
fn both_ways<D: Device>(
    device: &D,
    shape: SkiShape,
    [kernel, parameters]: [&D::F32; 2],
    at: SkiOffsets,
    [uv, dg]: [&D::Act; 2],
    [y, g, duv]: [&mut D::Act; 3],
    [d_kernel, gradients]: [&mut D::F32; 2],
) -> Result<()> {
    device.ski(shape, kernel, parameters, at, uv, y, g)?;
    device.ski_backward(
        shape, kernel, parameters, at, uv, y, dg, duv, d_kernel, gradients,
    )
}

/// y, g, duv, the gradients of the kernel and of taps and biases, for random operands: what two devices
/// should agree on where sequences are too long for [`ski`].
pub fn ski_outputs<D: Device>(device: &D, shape: SkiShape, seed: u64) -> Result<[Vec<f32>; 5]> {
    let mut random = Random::new(seed);
    let (e, t, lags) = (shape.channels, shape.tokens(), shape.lags());
    let (kernel, _) = full(device, &random.values(e * lags))?;
    let (taps, biases) = (e * shape.taps, 2 * e);
    let at = SkiOffsets {
        taps: 0,
        bias: Some(taps),
    };
    let (parameters, _) = full(device, &random.values(taps + biases))?;
    let (uv, _) = act(device, &random.values(2 * e * t))?;
    let (dg, _) = act(device, &random.values(e * t))?;
    let (mut y, mut g) = (device.new_act(e * t)?, device.new_act(e * t)?);
    let mut duv = device.new_act(2 * e * t)?;
    let (mut d_kernel, mut d) = (device.new_f32(e * lags)?, device.new_f32(taps + biases)?);
    let operands = [&uv, &dg];
    let (to, by) = ([&mut y, &mut g, &mut duv], [&mut d_kernel, &mut d]);
    both_ways(device, shape, [&kernel, &parameters], at, operands, to, by)?;
    Ok([
        device.read_act(&y, 0..e * t)?,
        device.read_act(&g, 0..e * t)?,
        device.read_act(&duv, 0..2 * e * t)?,
        device.read_f32(&d_kernel, 0..e * lags)?,
        device.read_f32(&d, 0..taps + biases)?,
    ])
}
