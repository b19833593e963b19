//! Checks of products, sums, the embedding, norms and pooling.

use super::{Random, act, act_error, added, full, full_error, gradient, plain};
use crate::device::{Device, Gemm, IGNORE, Norm, NormShape, Result};

/// A product with offsets, with a bias or without.
pub fn gemm<D: Device>(device: &D, shape: Gemm, bias: bool, seed: u64) -> Result<f64> {
    let Gemm { m, n, k, .. } = shape;
    let mut random = Random::new(seed);
    let (a, a_held) = act(device, &random.values(m * k + 3))?;
    let (b, b_held) = act(device, &random.values(k * n + 5))?;
    let (offsets, offsets_held) = act(device, &random.values(n + 1))?;
    let (mut c, before) = act(device, &random.values(m * n))?;
    let mut want = plain::product(shape, &a_held[3..], &b_held[5..]);
    if shape.accumulate {
        want = added(want, &before);
    }
    if bias {
        let bias = offsets_held[1..].iter().cycle();
        want.iter_mut()
            .zip(bias)
            .for_each(|(want, bias)| *want += bias);
    }
    device.gemm(
        shape,
        (&a, 3),
        (&b, 5),
        bias.then_some((&offsets, 1)),
        &mut c,
    )?;
    let mut worst = act_error(device, &c, &want)?;
    if shape.accumulate {
        let values: Vec<f32> = before.iter().map(|&x| x as f32).collect();
        let (addend, _) = act(device, &values)?;
        let (mut sum, _) = act(device, &random.values(m * n))?;
        let (a, b, bias) = ((&a, 3), (&b, 5), bias.then_some((&offsets, 1)));
        device.gemm_add(shape, a, b, bias, &addend, &mut sum)?;
        worst = worst.max(act_error(device, &sum, &want)?);
    }
    Ok(worst)
}

/// A product added to f32.
pub fn gemm_gradient<D: Device>(device: &D, shape: Gemm, seed: u64) -> Result<f64> {
    let Gemm { m, n, k, .. } = shape;
    let mut random = Random::new(seed);
    let (a, a_held) = act(device, &random.values(m * k))?;
    let (b, b_held) = act(device, &random.values(k * n + 1))?;
    let (mut c, mut want) = full(device, &random.values(m * n + 4))?;
    let product = plain::product(shape, &a_held, &b_held[1..]);
    let sums = want[2..].iter_mut().zip(product);
    sums.for_each(|(sum, product)| *sum += product);
    device.gemm_gradient(shape, (&a, 0), (&b, 1), &mut c, 2)?;
    full_error(device, &c, &want)
}

/// Sums of columns.
pub fn column_sums<D: Device>(device: &D, tokens: usize, width: usize, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    let (x, held) = act(device, &random.values(tokens * width))?;
    let (mut sums, mut want) = full(device, &random.values(width + 1))?;
    for (i, x) in held.iter().enumerate() {
        want[1 + i % width] += x;
    }
    device.column_sums(&x, width, &mut sums, 1)?;
    full_error(device, &sums, &want)
}

/// The embedding and its gradient.
pub fn embed<D: Device>(
    device: &D,
    tokens: usize,
    vocabulary: usize,
    width: usize,
    seed: u64,
) -> Result<f64> {
    let mut random = Random::new(seed);
    let scale = 1.5;
    let values: Vec<u32> = (0..tokens)
        .map(|_| random.below(vocabulary) as u32)
        .collect();
    let mut ids = device.new_ids(tokens, vocabulary)?;
    device.write_ids(&mut ids, &values)?;
    let (table, table_held) = act(device, &random.values(vocabulary * width + 2))?;
    let (dx, dx_held) = act(device, &random.values(tokens * width))?;
    let mut x = device.new_act(tokens * width)?;
    let (mut gradients, mut want) = full(device, &random.values(vocabulary * width + 2))?;
    device.embed(&ids, &table, 2, scale, &mut x)?;
    device.embed_backward(&ids, &dx, scale, &mut gradients, 2)?;
    let mut rows = Vec::new();
    for (t, &id) in values.iter().enumerate() {
        for j in 0..width {
            let at = 2 + id as usize * width + j;
            rows.push(table_held[at] * f64::from(scale));
            want[at] += dx_held[t * width + j] * f64::from(scale);
        }
    }
    Ok(act_error(device, &x, &rows)?.max(full_error(device, &gradients, &want)?))
}

/// A norm and its gradients.
pub fn norm<D: Device>(
    device: &D,
    norm: Norm,
    tokens: usize,
    width: usize,
    seed: u64,
) -> Result<f64> {
    let mut random = Random::new(seed);
    let shape = NormShape {
        norm,
        width,
        weight_at: 3,
    };
    let (parameters, held) = full(device, &random.values(3 + 2 * width))?;
    let (x, x_held) = act(device, &random.values(tokens * width))?;
    let mut y = device.new_act(tokens * width)?;
    let (dy, dy_held) = act(device, &random.values(tokens * width))?;
    let (mut dx, dx_before) = act(device, &random.values(tokens * width))?;
    let (mut gradients, before) = full(device, &random.values(3 + 2 * width))?;
    device.norm(shape, &parameters, &x, &mut y)?;
    device.norm_backward(shape, &parameters, &x, &dy, &mut dx, &mut gradients)?;
    let plain = |parameters: &[f64], x: &[f64]| plain::norm(norm, width, &parameters[3..], x);
    let want_dx = gradient(&x_held, &dy_held, |x| plain(&held, x));
    let want = gradient(&held, &dy_held, |parameters| plain(parameters, &x_held));
    let errors = [
        act_error(device, &y, &plain(&held, &x_held))?,
        act_error(device, &dx, &added(want_dx, &dx_before))?,
        full_error(device, &gradients, &added(want, &before))?,
    ];
    Ok(errors.into_iter().fold(0.0, f64::max))
}

/// The mean over each sequence's own positions and its gradient: sequences of every number of own
/// positions, one of none among them.
pub fn mean_pool<D: Device>(
    device: &D,
    batch: usize,
    length: usize,
    width: usize,
    seed: u64,
) -> Result<f64> {
    let mut random = Random::new(seed);
    let (x, x_held) = act(device, &random.values(batch * length * width))?;
    let (dy, dy_held) = act(device, &random.values(batch * width))?;
    let mut y = device.new_act(batch * width)?;
    let (mut dx, _) = act(device, &random.values(batch * length * width))?;
    let own = |sequence: usize| (length + sequence * (length / 2 + 1)) % (length + 1);
    let counts: Vec<f32> = (0..batch).map(|b| own(b) as f32).collect();
    let (counts, _) = full(device, &counts)?;
    device.mean_pool(&x, &counts, length, &mut y)?;
    device.mean_pool_backward(&dy, &counts, length, &mut dx)?;
    let mean = |x: &[f64]| {
        let mut y = vec![0.0; batch * width];
        for (i, x) in x.iter().enumerate() {
            let (sequence, position) = (i / (length * width), i / width % length);
            if position < own(sequence) {
                y[sequence * width + i % width] += x / own(sequence) as f64;
            }
        }
        y
    };
    let want_dx = gradient(&x_held, &dy_held, mean);
    Ok(act_error(device, &y, &mean(&x_held))?.max(act_error(device, &dx, &want_dx)?))
}

/// What products along the columns of images take: kernels spread and their gradients gathered, exactly,
/// and the sum of two products.
pub fn strided<D: Device>(device: &D, len: usize, step: usize, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    let (short, held) = full(device, &random.values(len))?;
    let (mut long, _) = full(device, &random.values(len * step))?;
    device.spread(&short, &mut long)?;
    let at = |i: usize| match i.is_multiple_of(step) {
        true => held[i / step],
        false => 0.0,
    };
    let spread: Vec<f64> = (0..len * step).map(at).collect();
    let (wide, wide_held) = full(device, &random.values(len * step))?;
    let (mut back, _) = full(device, &random.values(len))?;
    device.gather(&wide, &mut back)?;
    let gathered: Vec<f64> = wide_held.iter().step_by(step).copied().collect();
    let (x, x_held) = act(device, &random.values(len))?;
    let (mut sum, before) = act(device, &random.values(len))?;
    device.add(&x, &mut sum)?;
    let exact = full_error(device, &long, &spread)?.max(full_error(device, &back, &gathered)?);
    // A number in the wrong place is no rounding error.
    let exact = if exact == 0.0 { 0.0 } else { f64::INFINITY };
    Ok(exact.max(act_error(device, &sum, &added(x_held, &before))?))
}

/// Whether identities outside the vocabulary are refused; an error if [`IGNORE`] is.
pub fn ids<D: Device>(device: &D) -> Result<bool> {
    let mut ids = device.new_ids(2, 5)?;
    device.write_ids(&mut ids, &[4, IGNORE])?;
    Ok(device.write_ids(&mut ids, &[0, 5]).is_err())
}
