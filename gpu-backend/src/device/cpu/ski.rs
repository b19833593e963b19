//! The gated Toeplitz unit with the product of SKI.
//!
//! Nothing here is of `length x rank` elements: positions are gone through interval by interval, each
//! with two inducing points.

use super::activation::{Function, with_activation};
use super::blocks::{dot, sum};
use super::simd::vectorized;
use crate::device::SkiShape;
use rayon::prelude::*;
use std::ops::Range;

/// What the passes read and do not change.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    /// `[channels, 2 * rank]`.
    pub kernel: &'a [f32],
    /// `[channels, taps]`.
    pub taps: &'a [f32],
    /// `[2E]`, or empty.
    pub bias: &'a [f32],
    pub uv: &'a [f32],
}

/// What a channel's passes read.
#[derive(Clone, Copy)]
struct Channel<'a> {
    kernel: &'a [f32],
    taps: &'a [f32],
    u: &'a [f32],
    u_bias: f32,
    v: &'a [f32],
    v_bias: f32,
}

impl<'a> Input<'a> {
    fn channel(&self, shape: SkiShape, channel: usize) -> Channel<'a> {
        let (lags, tokens) = (shape.lags(), shape.tokens());
        let second = shape.channels + channel;
        let bias = |row: usize| self.bias.get(row).copied().unwrap_or(0.0);
        Channel {
            kernel: &self.kernel[channel * lags..][..lags],
            taps: &self.taps[channel * shape.taps..][..shape.taps],
            u: &self.uv[channel * tokens..][..tokens],
            u_bias: bias(channel),
            v: &self.uv[second * tokens..][..tokens],
            v_bias: bias(second),
        }
    }
}

/// `z = W^T x`.
fn gather(shape: SkiShape, x: &[f32], z: &mut [f32]) {
    z.fill(0.0);
    for q in 0..shape.rank - 1 {
        let (positions, way) = shape.interval(q);
        let (mut near, mut far) = (0.0, 0.0);
        for i in positions {
            far += way(i) * x[i];
            near += (1.0 - way(i)) * x[i];
        }
        z[q] += near;
        z[q + 1] += far;
    }
}

/// `y += W z`.
fn spread(shape: SkiShape, z: &[f32], y: &mut [f32]) {
    for q in 0..shape.rank - 1 {
        let (positions, way) = shape.interval(q);
        let (from, step) = (z[q], z[q + 1] - z[q]);
        for i in positions {
            y[i] += from + way(i) * step;
        }
    }
}

/// The column of a kernel of `rank` points that lag `a - b` has.
fn column(rank: usize, a: usize, b: usize) -> usize {
    if a >= b { a - b } else { 2 * rank + a - b }
}

/// `A z` for `A[a, b] = kernel(a - b)`, or, `transposed`, for its transpose.
fn multiply(kernel: &[f32], z: &[f32], transposed: bool) -> Vec<f32> {
    let rank = z.len();
    let at = |a: usize, b: usize| match transposed {
        false => kernel[column(rank, a, b)],
        true => kernel[column(rank, b, a)],
    };
    let row = |a: usize| (0..rank).map(|b| at(a, b) * z[b]).sum();
    (0..rank).map(row).collect()
}

/// Positions `i` of a sequence for which `i - lag` is one, and those, for the tap at `lag`.
fn overlap(length: usize, lag: isize) -> (Range<usize>, Range<usize>) {
    let size = lag.unsigned_abs().min(length);
    let (late, early) = (size..length, 0..length - size);
    if lag >= 0 {
        (late, early)
    } else {
        (early, late)
    }
}

/// Lags of taps, in their order.
fn lags(taps: usize) -> impl Iterator<Item = isize> {
    let reach = (taps / 2) as isize;
    -reach..=reach
}

/// `y[i] += tap * x[i - lag]` for all taps.
fn convolve(taps: &[f32], x: &[f32], y: &mut [f32]) {
    for (&tap, lag) in taps.iter().zip(lags(taps.len())) {
        let (to, from) = overlap(x.len(), lag);
        add(tap, &x[from], &mut y[to]);
    }
}

/// The transpose of [`convolve`]: `dx[i - lag] += tap * dy[i]`.
fn correlate(taps: &[f32], dy: &[f32], dx: &mut [f32]) {
    for (&tap, lag) in taps.iter().zip(lags(taps.len())) {
        let (from, to) = overlap(dy.len(), lag);
        add(tap, &dy[from], &mut dx[to]);
    }
}

/// `y += factor * x`.
fn add(factor: f32, x: &[f32], y: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (y, x) in y.iter_mut().zip(x) {
                *y += factor * x;
            }
        },
    );
}

/// `to = f(x + bias)`.
fn activated<F: Function>(x: &[f32], bias: f32, to: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (to, x) in to.iter_mut().zip(x) {
                *to = F::value(x + bias);
            }
        },
    );
}

/// `y = (T + W A W^T) act(v)`, `g = act(u) y`.
pub(super) fn forward(shape: SkiShape, input: Input, y: &mut [f32], g: &mut [f32]) {
    let tokens = shape.tokens().max(1);
    let rows = y
        .par_chunks_exact_mut(tokens)
        .zip(g.par_chunks_exact_mut(tokens))
        .take(shape.channels);
    rows.enumerate().for_each(|(channel, (y, g))| {
        let of = input.channel(shape, channel);
        with_activation!(shape.act, F => forward_channel::<F>(shape, of, y, g));
    });
}

fn forward_channel<F: Function>(shape: SkiShape, of: Channel, y: &mut [f32], g: &mut [f32]) {
    let n = shape.length;
    let (mut x, mut z) = (vec![0.0; n], vec![0.0; shape.rank]);
    for (v, y) in of.v.chunks_exact(n).zip(y.chunks_exact_mut(n)) {
        activated::<F>(v, of.v_bias, &mut x);
        gather(shape, &x, &mut z);
        y.fill(0.0);
        convolve(of.taps, &x, y);
        spread(shape, &multiply(of.kernel, &z, false), y);
    }
    vectorized(
        #[inline(always)]
        || {
            for ((g, y), u) in g.iter_mut().zip(y).zip(of.u) {
                *g = F::value(u + of.u_bias) * *y;
            }
        },
    );
}

/// What the backward pass writes.
pub(super) struct Gradients<'a> {
    pub duv: &'a mut [f32],
    pub d_kernel: &'a mut [f32],
    /// `[channels, taps]`.
    pub d_taps: &'a mut [f32],
    /// `[2E]`, or empty.
    pub d_bias: &'a mut [f32],
}

/// Gradients of [`forward`]: `duv` and `d_kernel` are written, the others are added to.
pub(super) fn backward(shape: SkiShape, input: Input, y: &[f32], dg: &[f32], to: Gradients) {
    let tokens = shape.tokens().max(1);
    let elements = shape.channels * shape.tokens();
    let (du, dv) = to.duv[..2 * elements].split_at_mut(elements);
    let rows = du
        .par_chunks_exact_mut(tokens)
        .zip(dv.par_chunks_exact_mut(tokens));
    let sums = to.d_kernel.par_chunks_exact_mut(shape.lags());
    let sums = sums.zip(to.d_taps.par_chunks_exact_mut(shape.taps));
    let given = y.par_chunks_exact(tokens).zip(dg.par_chunks_exact(tokens));
    let channels = rows.zip(sums).zip(given).enumerate();
    let biases = channels.map(|(channel, (((du, dv), (d_kernel, d_taps)), (y, dg)))| {
        let of = input.channel(shape, channel);
        with_activation!(shape.act, F => {
            gate_backward::<F>(of, y, dg, du, dv);
            backward_channel::<F>(shape, of, dv, d_kernel, d_taps);
        });
        [sum(du) as f32, sum(dv) as f32]
    });
    let biases: Vec<_> = biases.collect();
    // Without biases there is nothing to add to.
    for (index, sum) in to.d_bias.iter_mut().enumerate() {
        *sum += biases[index % shape.channels][index / shape.channels];
    }
}

/// `du` of `g = act(u) y`, and the gradient of `y`.
fn gate_backward<F: Function>(of: Channel, y: &[f32], dg: &[f32], du: &mut [f32], dy: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            let outputs = du.iter_mut().zip(dy);
            for (((du, dy), u), (y, dg)) in outputs.zip(of.u).zip(y.iter().zip(dg)) {
                let (value, slope) = F::both(u + of.u_bias);
                *du = dg * y * slope;
                *dy = dg * value;
            }
        },
    );
}

/// Turns the gradient of `y` into that of `v`.
fn backward_channel<F: Function>(
    shape: SkiShape,
    of: Channel,
    dv: &mut [f32],
    d_kernel: &mut [f32],
    d_taps: &mut [f32],
) {
    let (n, rank) = (shape.length, shape.rank);
    let (mut x, mut dx) = (vec![0.0; n], vec![0.0; n]);
    let (mut z, mut dz) = (vec![0.0; rank], vec![0.0; rank]);
    d_kernel.fill(0.0);
    for (v, dy) in of.v.chunks_exact(n).zip(dv.chunks_exact_mut(n)) {
        activated::<F>(v, of.v_bias, &mut x);
        gather(shape, &x, &mut z);
        gather(shape, dy, &mut dz);
        for (a, dz) in dz.iter().enumerate() {
            for (b, z) in z.iter().enumerate() {
                d_kernel[column(rank, a, b)] += dz * z;
            }
        }
        for (tap, lag) in d_taps.iter_mut().zip(lags(of.taps.len())) {
            let (to, from) = overlap(n, lag);
            *tap += dot(&dy[to], &x[from]) as f32;
        }
        dx.fill(0.0);
        correlate(of.taps, dy, &mut dx);
        spread(shape, &multiply(of.kernel, &dz, true), &mut dx);
        vectorized(
            #[inline(always)]
            || {
                for ((dv, dx), v) in dy.iter_mut().zip(&dx).zip(v) {
                    *dv = dx * F::both(v + of.v_bias).1;
                }
            },
        );
    }
}
