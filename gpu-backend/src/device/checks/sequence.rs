//! Checks of kernels, the gated Toeplitz unit and the gate of a GLU.

use super::{Random, act, act_error, added, error, full, full_error, gradient, plain};
use crate::device::{Activation, Device, MixShape, Norm, Result, RpeInput, RpeShape};

/// An RPE without decay or options, its parameters one behind another, and how many they are
/// (the decay's included, which come last).
pub fn rpe_shape(
    length: usize,
    causal: bool,
    sizes: (usize, usize, usize),
    norm: Option<Norm>,
    act: Activation,
    bias: bool,
) -> (RpeShape, usize) {
    shape_of(length, causal, sizes, norm, act, bias, RpeInput::Lag, 1)
}

/// [`rpe_shape`] of a response that `input` says the frequencies of, for channels of so many heads.
pub fn response_shape(
    length: usize,
    causal: bool,
    sizes: (usize, usize, usize),
    norm: Option<Norm>,
    input: RpeInput,
    heads: usize,
) -> (RpeShape, usize) {
    let (act, bias) = (Activation::Silu, true);
    shape_of(length, causal, sizes, norm, act, bias, input, heads)
}

/// [`rpe_shape`] of a bidirectional kernel that sees warped lags, `spacing` positions apart.
pub fn warped_shape(
    length: usize,
    sizes: (usize, usize, usize),
    spacing: f64,
) -> (RpeShape, usize) {
    let (norm, act) = (Some(Norm::SimpleRms), Activation::Silu);
    let input = RpeInput::Warped {
        lambda: 0.9,
        spacing,
    };
    shape_of(length, false, sizes, norm, act, true, input, 1)
}

#[allow(clippy::too_many_arguments)]
fn shape_of(
    length: usize,
    causal: bool,
    (width, layers, channels): (usize, usize, usize),
    norm: Option<Norm>,
    act: Activation,
    bias: bool,
    input: RpeInput,
    heads: usize,
) -> (RpeShape, usize) {
    let mut end = 1;
    let mut take = |len: usize| {
        end += len;
        end - len
    };
    let affine = |outputs: usize, inputs: usize| outputs * (inputs + usize::from(bias));
    let first_at = take(affine(width, 1));
    let hidden_at = (0..layers).map(|_| take(affine(width, width))).collect();
    let complex = input.bins().is_some() && !causal;
    let last_at = take(affine(channels * (1 + usize::from(complex)), width));
    let norms_at = match norm {
        Some(Norm::Layer) => (0..=layers).map(|_| take(2 * width)).collect(),
        _ => Vec::new(),
    };
    take(channels);
    let shape = RpeShape {
        length,
        causal,
        width,
        layers,
        channels,
        heads,
        norm,
        norms_at,
        act,
        residual: false,
        input,
        gamma_at: None,
        kernel_act: Activation::None,
        bias,
        first_at,
        hidden_at,
        last_at,
    };
    (shape, end)
}

/// A kernel and the gradients of its parameters, of which there are `count`.
pub fn rpe<D: Device>(device: &D, shape: &RpeShape, count: usize, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    let mut values = random.values(count);
    if let Some(at) = shape.gamma_at {
        let gamma = &mut values[at..at + shape.channels];
        gamma
            .iter_mut()
            .for_each(|gamma| *gamma = 0.95 + 0.05 * *gamma);
    }
    let (parameters, held) = full(device, &values)?;
    let elements = shape.channels * shape.lags();
    let mut hidden = device.new_f32(shape.hidden_len())?;
    let mut kernel = device.new_f32(elements)?;
    let (mut d_kernel, dy) = full(device, &random.values(elements))?;
    let (mut gradients, before) = full(device, &random.values(count))?;
    device.rpe(shape, &parameters, &mut hidden, &mut kernel)?;
    device.rpe_backward(
        shape,
        &parameters,
        &mut hidden,
        &mut d_kernel,
        &mut gradients,
    )?;
    let mut want = gradient(&held, &dy, |parameters| plain::kernel(shape, parameters));
    if let Some(at) = shape.gamma_at {
        want[at..at + shape.channels].fill(0.0);
    }
    let forward = full_error(device, &kernel, &plain::kernel(shape, &held))?;
    Ok(forward.max(full_error(device, &gradients, &added(want, &before))?))
}

/// Columns of a kernel's row that lie within the support.
fn supported(shape: MixShape, column: usize) -> bool {
    let (n, lags) = (shape.length, shape.lags());
    let lag = if column < n { column } else { lags - column };
    lag < shape.support.min(n)
}

/// The Toeplitz product and its gradients, with its gate or without.
pub fn mix<D: Device>(device: &D, shape: MixShape, bias: bool, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    let (tokens, lags, channels) = (shape.tokens(), shape.lags(), shape.channels);
    let (rows, elements) = (shape.halves() * channels, channels * tokens);
    let within = |i: usize| supported(shape, i % lags);
    let mut values = random.values(channels * lags);
    let outside = values.iter_mut().enumerate().filter(|(i, _)| !within(*i));
    outside.for_each(|(_, value)| *value = 0.0);
    let (kernel, kernel_held) = full(device, &values)?;
    let (parameters, held) = full(device, &random.values(rows + 1))?;
    let (uv, uv_held) = act(device, &random.values(rows * tokens))?;
    let (dg, dg_held) = act(device, &random.values(elements))?;
    let mut y = device.new_act(elements)?;
    let mut g = device.new_act((shape.halves() - 1) * elements)?;
    let (mut duv, _) = act(device, &random.values(rows * tokens))?;
    let (mut d_kernel, _) = full(device, &random.values(channels * lags))?;
    let (mut gradients, before) = full(device, &random.values(rows + 1))?;
    let mut mix = device.new_mix(shape)?;
    let bias_at = bias.then_some(1);
    device.mix(&mut mix, &kernel, &parameters, bias_at, &uv, &mut y, &mut g)?;
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
    )?;

    let plain = |kernel: &[f64], parameters: &[f64], uv: &[f64]| {
        let bias = if bias { &parameters[1..] } else { &[] };
        plain::mix(shape, kernel, bias, uv)
    };
    // The last is what gradients are given of.
    let of_g = |yg: Vec<f64>| yg[yg.len() - elements..].to_vec();
    let yg = plain(&kernel_held, &held, &uv_held);
    let want_duv = gradient(&uv_held, &dg_held, |uv| {
        of_g(plain(&kernel_held, &held, uv))
    });
    let want_kernel = gradient(&kernel_held, &dg_held, |k| of_g(plain(k, &held, &uv_held)));
    let want_bias = gradient(&held, &dg_held, |p| of_g(plain(&kernel_held, p, &uv_held)));
    let got_kernel = device.read_f32(&d_kernel, 0..channels * lags)?;
    let (got_kernel, want_kernel): (Vec<f32>, Vec<f64>) = got_kernel
        .into_iter()
        .zip(want_kernel)
        .enumerate()
        .filter(|(i, _)| within(*i))
        .map(|(_, pair)| pair)
        .unzip();
    let errors = [
        act_error(device, &y, &yg[..elements])?,
        act_error(device, &g, &yg[elements..])?,
        act_error(device, &duv, &want_duv)?,
        error(&got_kernel, &want_kernel),
        full_error(device, &gradients, &added(want_bias, &before))?,
    ];
    Ok(errors.into_iter().fold(0.0, f64::max))
}

/// Hidden padding: whatever stands there, the gated Toeplitz unit gives what it gives of shorter
/// sequences, and padding gets no gradient.
pub fn hide_padding<D: Device>(device: &D, act_of: Activation, seed: u64) -> Result<f64> {
    let (batch, length, channels) = (3, 9, 2);
    let shape = MixShape {
        batch,
        length,
        channels,
        causal: false,
        act: act_of,
        gated: true,
        support: length,
    };
    let own = [9usize, 4, 0];
    let within = |i: usize| i % length < own[i / length % batch];
    let mut random = Random::new(seed);
    let (rows, lags) = (2 * channels, shape.lags());
    let (kernel, kernel_held) = full(device, &random.values(channels * lags))?;
    let (bias, bias_held) = full(device, &random.values(rows))?;
    let (mut uv, uv_held) = act(device, &random.values(rows * batch * length))?;
    let mut values = random.values(channels * batch * length);
    // What lies behind a sequence is not asked for.
    let padding = values.iter_mut().enumerate().filter(|(i, _)| !within(*i));
    padding.for_each(|(_, value)| *value = 0.0);
    let (dg, dg_held) = act(device, &values)?;
    let (counts, _) = full(device, &own.map(|own| own as f32))?;
    let (mut y, mut g) = (device.new_act(values.len())?, device.new_act(values.len())?);
    let (mut duv, _) = act(device, &random.values(uv_held.len()))?;
    let mut d_kernel = device.new_f32(kernel_held.len())?;
    let mut gradients = device.new_f32(rows)?;
    let mut mix = device.new_mix(shape)?;
    device.hide_padding(&mut uv, &counts, length)?;
    device.mix(&mut mix, &kernel, &bias, Some(0), &uv, &mut y, &mut g)?;
    device.mix_backward(
        &mut mix,
        &kernel,
        &bias,
        Some(0),
        &uv,
        &y,
        &dg,
        &mut duv,
        &mut d_kernel,
        &mut gradients,
    )?;

    let half = uv_held.len() / 2;
    let plain = |uv: &[f64], bias: &[f64]| {
        // Values with their biases and activations, zeros behind each sequence; a product without an
        // activation of its own takes them from there.
        let at = |i: usize| plain::act(act_of, uv[i] + bias[i / (batch * length)]);
        let shown = |i: usize| if i < half || within(i) { at(i) } else { 0.0 };
        let values: Vec<f64> = (0..uv.len()).map(shown).collect();
        let linear = MixShape {
            act: Activation::None,
            ..shape
        };
        let yg = plain::mix(linear, &kernel_held, &[], &values);
        let own = yg[half..].iter().enumerate();
        own.map(|(i, g)| if within(i) { *g } else { 0.0 })
            .collect::<Vec<_>>()
    };
    let want_duv = gradient(&uv_held, &dg_held, |uv| plain(uv, &bias_held));
    let want_bias = gradient(&bias_held, &dg_held, |bias| plain(&uv_held, bias));
    let mut got = device.read_act(&g, 0..half)?;
    let padding = got.iter_mut().enumerate().filter(|(i, _)| !within(*i));
    padding.for_each(|(_, g)| *g = 0.0);
    let errors = [
        error(&got, &plain(&uv_held, &bias_held)),
        act_error(device, &duv, &want_duv)?,
        full_error(device, &gradients, &want_bias)?,
    ];
    Ok(errors.into_iter().fold(0.0, f64::max))
}

/// The gate of a GLU and its gradients.
pub fn gate<D: Device>(
    device: &D,
    f: Activation,
    channels: usize,
    tokens: usize,
    bias: bool,
    seed: u64,
) -> Result<f64> {
    let mut random = Random::new(seed);
    let (parameters, held) = full(device, &random.values(2 * channels + 2))?;
    let (h, h_held) = act(device, &random.values(2 * channels * tokens))?;
    let (da, da_held) = act(device, &random.values(channels * tokens))?;
    let mut a = device.new_act(channels * tokens)?;
    let (mut dh, _) = act(device, &random.values(2 * channels * tokens))?;
    let (mut gradients, before) = full(device, &random.values(2 * channels + 2))?;
    let bias_at = bias.then_some(2);
    device.gate(f, &parameters, bias_at, tokens, &h, &mut a)?;
    device.gate_backward(
        f,
        &parameters,
        bias_at,
        tokens,
        &h,
        &da,
        &mut dh,
        &mut gradients,
    )?;
    let plain = |parameters: &[f64], h: &[f64]| {
        plain::gate(f, tokens, if bias { &parameters[2..] } else { &[] }, h)
    };
    let want_dh = gradient(&h_held, &da_held, |h| plain(&held, h));
    let want_bias = gradient(&held, &da_held, |parameters| plain(parameters, &h_held));
    let errors = [
        act_error(device, &a, &plain(&held, &h_held))?,
        act_error(device, &dh, &want_dh)?,
        full_error(device, &gradients, &added(want_bias, &before))?,
    ];
    Ok(errors.into_iter().fold(0.0, f64::max))
}
