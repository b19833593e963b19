//! The gated Toeplitz unit, by FFT.
//!
//! Two sequences of one channel are one complex sequence: its product with a real kernel is the
//! product of both, with no step that takes them apart. The gradient of the kernel needs none
//! either: with `z = v1 + i v2` and `d = dy1 + i dy2`, the real part of the inverse transform of
//! `FFT(d) conj(FFT(z))` is the sum of both correlations, since the cross terms are imaginary.

use super::activation::{Function, with_activation};
use super::buffer::{Counter, Share};
use super::simd::vectorized;
use crate::device::MixShape;
use rayon::prelude::*;
use std::sync::{Arc, Mutex};
use toeplite_fft::{Complex, ComplexPlan, plan_complex};

/// Plan and scratch of one shape.
pub struct Mix {
    shape: MixShape,
    /// Length of the transforms.
    size: usize,
    plan: ComplexPlan<f32>,
    /// One for each thread that ever worked.
    scratch: Mutex<Vec<Scratch>>,
    counter: Arc<Counter>,
}

struct Scratch {
    /// Spectrum of the kernel, over the length of the transform.
    kernel: Vec<Complex<f32>>,
    z: Vec<Complex<f32>>,
    d: Vec<Complex<f32>>,
    /// Sum of the spectra of the kernel's gradient.
    sum: Vec<Complex<f32>>,
    fft: Vec<Complex<f32>>,
    _share: Share,
}

impl Mix {
    /// Plans the products of `shape`.
    pub(super) fn new(counter: &Arc<Counter>, shape: MixShape) -> Self {
        let shape = MixShape {
            support: shape.support.clamp(1, shape.length.max(1)),
            ..shape
        };
        // Lags past the support are left out, so that less padding keeps the ends apart.
        let size = fast_length(shape.length + shape.support - 1);
        Self {
            shape,
            size,
            plan: plan_complex(size),
            scratch: Mutex::default(),
            counter: Arc::clone(counter),
        }
    }

    /// Channels of the operands.
    pub(super) fn channels(&self) -> usize {
        self.shape.channels
    }

    /// Runs `task` with scratch that no other task uses.
    fn with_scratch(&self, task: impl FnOnce(&mut Scratch)) {
        let lock = || {
            self.scratch
                .lock()
                .unwrap_or_else(|broken| broken.into_inner())
        };
        let free = lock().pop();
        let mut scratch = free.unwrap_or_else(|| self.new_scratch());
        task(&mut scratch);
        lock().push(scratch);
    }

    fn new_scratch(&self) -> Scratch {
        let plan = &self.plan;
        let fft = plan
            .forward
            .get_inplace_scratch_len()
            .max(plan.inverse.get_inplace_scratch_len());
        let zeros = |len| vec![Complex::default(); len];
        let bytes = (4 * self.size + fft) * size_of::<Complex<f32>>();
        Scratch {
            kernel: zeros(self.size),
            z: zeros(self.size),
            d: zeros(self.size),
            sum: zeros(self.size),
            fft: zeros(fft),
            _share: Share::new(&self.counter, bytes),
        }
    }

    /// Where the lags of a kernel's row stand in the transform: pairs of (first column of the row,
    /// first element of the transform, count).
    fn places(&self) -> [(usize, usize, usize); 2] {
        let MixShape {
            support, causal, ..
        } = self.shape;
        let negative = if causal { 0 } else { support - 1 };
        let columns = self.shape.lags();
        [
            (0, 0, support),
            (columns - negative, self.size - negative, negative),
        ]
    }

    fn transform_kernel(&self, row: &[f32], scratch: &mut Scratch) {
        let Scratch { kernel, fft, .. } = scratch;
        kernel.fill(Complex::default());
        let scale = 1.0 / self.size as f32;
        for (column, at, count) in self.places() {
            let lags = kernel[at..at + count].iter_mut().zip(&row[column..]);
            lags.for_each(|(to, &from)| to.re = from * scale);
        }
        self.plan.forward.process_with_scratch(kernel, fft);
    }
}

/// The next `2^a 3^b` with b at most 2: what FFTs are fastest at.
fn fast_length(least: usize) -> usize {
    let power = |factor: usize| factor * least.div_ceil(factor).next_power_of_two();
    power(1).min(power(3)).min(power(9))
}

/// What the passes read and do not change.
#[derive(Clone, Copy)]
pub(super) struct Input<'a> {
    pub kernel: &'a [f32],
    /// `[2E]`, or empty.
    pub bias: &'a [f32],
    pub uv: &'a [f32],
}

impl<'a> Input<'a> {
    /// Biases of `u` and `v` of a channel.
    fn biases(&self, channel: usize) -> (f32, f32) {
        let half = self.bias.len() / 2;
        let at = |i: usize| self.bias.get(i).copied().unwrap_or(0.0);
        (at(channel), at(half + channel))
    }

    /// Rows `u`, `v` of a channel `[tokens]`.
    fn rows(&self, shape: MixShape, channel: usize) -> (&'a [f32], &'a [f32]) {
        let tokens = shape.tokens();
        let row = |i: usize| &self.uv[i * tokens..][..tokens];
        (row(channel), row(shape.channels + channel))
    }
}

/// `z = f(x1 + bias) + i f(x2 + bias)`, zeros behind; a sequence alone has no partner.
#[inline(always)]
fn load<F: Function>(x: &[f32], length: usize, bias: f32, z: &mut [Complex<f32>]) {
    let (first, second) = x.split_at(length);
    let (z, rest) = z.split_at_mut(length);
    if second.is_empty() {
        for (z, &x) in z.iter_mut().zip(first) {
            *z = Complex::new(F::value(x + bias), 0.0);
        }
    } else {
        for ((z, &x1), &x2) in z.iter_mut().zip(first).zip(second) {
            *z = Complex::new(F::value(x1 + bias), F::value(x2 + bias));
        }
    }
    rest.fill(Complex::default());
}

/// `x *= by`.
#[inline(always)]
fn multiply(x: &mut [Complex<f32>], by: &[Complex<f32>]) {
    for (x, by) in x.iter_mut().zip(by) {
        *x = Complex::new(x.re * by.re - x.im * by.im, x.re * by.im + x.im * by.re);
    }
}

/// `sum += d conj(z)`, then `d *= conj(kernel)`.
#[inline(always)]
fn correlate(
    d: &mut [Complex<f32>],
    z: &[Complex<f32>],
    kernel: &[Complex<f32>],
    sum: &mut [Complex<f32>],
) {
    for (((d, z), k), sum) in d.iter_mut().zip(z).zip(kernel).zip(sum) {
        sum.re += d.re * z.re + d.im * z.im;
        sum.im += d.im * z.re - d.re * z.im;
        *d = Complex::new(d.re * k.re + d.im * k.im, d.im * k.re - d.re * k.im);
    }
}

/// `y = kernel * act(v)`, `g = act(u) y`.
pub(super) fn forward(mix: &Mix, input: Input, y: &mut [f32], g: &mut [f32]) {
    let tokens = mix.shape.tokens().max(1);
    let rows = y
        .par_chunks_exact_mut(tokens)
        .zip(g.par_chunks_exact_mut(tokens));
    let channels = rows.enumerate().take(mix.shape.channels);
    channels.for_each(|(channel, (y, g))| {
        mix.with_scratch(|scratch| {
            with_activation!(mix.shape.act, F => {
                forward_channel::<F>(mix, input, channel, scratch, y, g);
            });
        });
    });
}

fn forward_channel<F: Function>(
    mix: &Mix,
    input: Input,
    channel: usize,
    scratch: &mut Scratch,
    y: &mut [f32],
    g: &mut [f32],
) {
    let (shape, lags) = (mix.shape, mix.shape.lags());
    mix.transform_kernel(&input.kernel[channel * lags..][..lags], scratch);
    let Scratch { kernel, z, fft, .. } = scratch;
    let (u, v) = input.rows(shape, channel);
    let (u_bias, v_bias) = input.biases(channel);
    let pair = 2 * shape.length;
    let outputs = y.chunks_mut(pair).zip(g.chunks_mut(pair));
    for ((u, v), (y, g)) in u.chunks(pair).zip(v.chunks(pair)).zip(outputs) {
        vectorized(
            #[inline(always)]
            || load::<F>(v, shape.length, v_bias, z),
        );
        mix.plan.forward.process_with_scratch(z, fft);
        vectorized(
            #[inline(always)]
            || multiply(z, kernel),
        );
        mix.plan.inverse.process_with_scratch(z, fft);
        vectorized(
            #[inline(always)]
            || {
                let (y1, y2) = y.split_at_mut(shape.length);
                y1.iter_mut().zip(z.iter()).for_each(|(y, z)| *y = z.re);
                y2.iter_mut().zip(z.iter()).for_each(|(y, z)| *y = z.im);
                for ((g, y), u) in g.iter_mut().zip(y).zip(u) {
                    *g = F::value(u + u_bias) * *y;
                }
            },
        );
    }
}

/// What the backward pass writes.
pub(super) struct Gradients<'a> {
    pub duv: &'a mut [f32],
    pub d_kernel: &'a mut [f32],
    /// `[2E]`, or empty.
    pub d_bias: &'a mut [f32],
}

/// Gradients of [`forward`]: `duv` and `d_kernel` are written, `d_bias` is added to.
pub(super) fn backward(mix: &Mix, input: Input, y: &[f32], dg: &[f32], to: Gradients) {
    let (shape, tokens) = (mix.shape, mix.shape.tokens().max(1));
    let (du, dv) =
        to.duv[..2 * shape.channels * shape.tokens()].split_at_mut(shape.channels * shape.tokens());
    let rows = du
        .par_chunks_exact_mut(tokens)
        .zip(dv.par_chunks_exact_mut(tokens));
    let rows = rows.zip(to.d_kernel.par_chunks_exact_mut(shape.lags().max(1)));
    let sums: Vec<(f32, f32)> = rows
        .enumerate()
        .map(|(channel, ((du, dv), d_kernel))| {
            let mut sums = (0.0, 0.0);
            mix.with_scratch(|scratch| {
                let row = channel * tokens..(channel + 1) * tokens;
                let given = Given {
                    y: &y[row.clone()],
                    dg: &dg[row],
                };
                with_activation!(shape.act, F => {
                    sums = backward_channel::<F>(mix, input, channel, scratch, given, du, dv);
                });
                mix.kernel_gradient(scratch, d_kernel);
            });
            sums
        })
        .collect();
    if !to.d_bias.is_empty() {
        let (du, dv) = to.d_bias.split_at_mut(shape.channels);
        for ((du, dv), sums) in du.iter_mut().zip(dv).zip(sums) {
            *du += sums.0;
            *dv += sums.1;
        }
    }
}

/// A channel's rows of the forward pass's product and of the gradient.
#[derive(Clone, Copy)]
struct Given<'a> {
    y: &'a [f32],
    dg: &'a [f32],
}

impl Mix {
    /// The inverse transform of the sum of spectra.
    fn kernel_gradient(&self, scratch: &mut Scratch, d_kernel: &mut [f32]) {
        let Scratch { sum, fft, .. } = scratch;
        self.plan.inverse.process_with_scratch(sum, fft);
        d_kernel.fill(0.0);
        let scale = 1.0 / self.size as f32;
        for (column, at, count) in self.places() {
            let lags = d_kernel[column..column + count].iter_mut().zip(&sum[at..]);
            lags.for_each(|(to, from)| *to = from.re * scale);
        }
    }
}

/// Writes a channel's `du` and `dv`, leaves the spectrum of the kernel's gradient in the scratch;
/// returns the gradients of both biases.
fn backward_channel<F: Function>(
    mix: &Mix,
    input: Input,
    channel: usize,
    scratch: &mut Scratch,
    given: Given,
    du: &mut [f32],
    dv: &mut [f32],
) -> (f32, f32) {
    let (shape, lags) = (mix.shape, mix.shape.lags());
    mix.transform_kernel(&input.kernel[channel * lags..][..lags], scratch);
    let Scratch {
        kernel,
        z,
        d,
        sum,
        fft,
        ..
    } = scratch;
    sum.fill(Complex::default());
    let (u, v) = input.rows(shape, channel);
    let (u_bias, v_bias) = input.biases(channel);
    let pair = 2 * shape.length;
    let inputs = u.chunks(pair).zip(v.chunks(pair));
    let given = given.y.chunks(pair).zip(given.dg.chunks(pair));
    let outputs = du.chunks_mut(pair).zip(dv.chunks_mut(pair));
    let mut sums = (0f64, 0f64);
    for (((u, v), (y, dg)), (du, dv)) in inputs.zip(given).zip(outputs) {
        vectorized(
            #[inline(always)]
            || {
                load::<F>(v, shape.length, v_bias, z);
                gate_backward::<F>(u, u_bias, y, dg, du, dv);
                // `dv` holds the gradient of y for a moment.
                load::<super::activation::Identity>(dv, shape.length, 0.0, d);
            },
        );
        mix.plan.forward.process_with_scratch(z, fft);
        mix.plan.forward.process_with_scratch(d, fft);
        vectorized(
            #[inline(always)]
            || correlate(d, z, kernel, sum),
        );
        mix.plan.inverse.process_with_scratch(d, fft);
        vectorized(
            #[inline(always)]
            || {
                let (dv1, dv2) = dv.split_at_mut(shape.length);
                dv1.iter_mut().zip(d.iter()).for_each(|(dv, d)| *dv = d.re);
                dv2.iter_mut().zip(d.iter()).for_each(|(dv, d)| *dv = d.im);
                for (dv, v) in dv.iter_mut().zip(v) {
                    *dv *= F::both(v + v_bias).1;
                }
                sums.0 += super::blocks::sum(du);
                sums.1 += super::blocks::sum(dv);
            },
        );
    }
    (sums.0 as f32, sums.1 as f32)
}

/// `du` of `g = act(u) y`, and the gradient of `y`.
#[inline(always)]
fn gate_backward<F: Function>(
    u: &[f32],
    bias: f32,
    y: &[f32],
    dg: &[f32],
    du: &mut [f32],
    dy: &mut [f32],
) {
    let outputs = du.iter_mut().zip(dy);
    for (((du, dy), u), (y, dg)) in outputs.zip(u).zip(y.iter().zip(dg)) {
        let (value, slope) = F::both(u + bias);
        *du = dg * y * slope;
        *dy = dg * value;
    }
}

#[cfg(test)]
mod tests {
    use super::fast_length;

    #[test]
    fn fast_lengths_are_near() {
        let lengths = [1, 2, 5, 7, 9, 100, 1023, 1025, 1153].map(fast_length);
        assert_eq!(lengths, [1, 2, 6, 8, 9, 128, 1024, 1152, 1536]);
    }
}
