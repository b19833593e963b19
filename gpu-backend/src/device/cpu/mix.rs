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

    /// Rows of `uv`, and elements of its bias.
    pub(super) fn rows(&self) -> usize {
        self.shape.halves() * self.shape.channels
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
    /// `[2E]` (`[E]` without a gate), or empty.
    pub bias: &'a [f32],
    pub uv: &'a [f32],
}

impl<'a> Input<'a> {
    /// A channel's row `[tokens]` of `v`, and its bias.
    fn value(&self, shape: MixShape, channel: usize) -> (&'a [f32], f32) {
        self.row(shape, (shape.halves() - 1) * shape.channels + channel)
    }

    /// A channel's row `[tokens]` of `u`, and its bias.
    fn gate(&self, shape: MixShape, channel: usize) -> (&'a [f32], f32) {
        self.row(shape, channel)
    }

    fn row(&self, shape: MixShape, row: usize) -> (&'a [f32], f32) {
        let tokens = shape.tokens();
        let bias = self.bias.get(row).copied().unwrap_or(0.0);
        (&self.uv[row * tokens..][..tokens], bias)
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
    let (shape, tokens) = (mix.shape, mix.shape.tokens().max(1));
    let products = y.par_chunks_exact_mut(tokens).take(shape.channels);
    let product = |channel: usize, y: &mut [f32]| {
        mix.with_scratch(|scratch| {
            with_activation!(shape.act, F => forward_channel::<F>(mix, input, channel, scratch, y));
        });
    };
    if !shape.gated {
        let channels = products.enumerate();
        return channels.for_each(|(channel, y)| product(channel, y));
    }
    let rows = products.zip(g.par_chunks_exact_mut(tokens)).enumerate();
    rows.for_each(|(channel, (y, g))| {
        product(channel, y);
        let (u, bias) = input.gate(shape, channel);
        with_activation!(shape.act, F => vectorized(
            #[inline(always)]
            || {
                for ((g, y), u) in g.iter_mut().zip(y).zip(u) {
                    *g = F::value(u + bias) * *y;
                }
            },
        ));
    });
}

fn forward_channel<F: Function>(
    mix: &Mix,
    input: Input,
    channel: usize,
    scratch: &mut Scratch,
    y: &mut [f32],
) {
    let (shape, lags) = (mix.shape, mix.shape.lags());
    mix.transform_kernel(&input.kernel[channel * lags..][..lags], scratch);
    let Scratch { kernel, z, fft, .. } = scratch;
    let (v, bias) = input.value(shape, channel);
    let pair = 2 * shape.length;
    for (v, y) in v.chunks(pair).zip(y.chunks_mut(pair)) {
        vectorized(
            #[inline(always)]
            || load::<F>(v, shape.length, bias, z),
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
            },
        );
    }
}

/// What the backward pass writes.
pub(super) struct Gradients<'a> {
    pub duv: &'a mut [f32],
    pub d_kernel: &'a mut [f32],
    /// `[2E]` (`[E]` without a gate), or empty.
    pub d_bias: &'a mut [f32],
}

/// Gradients of [`forward`]: `duv` and `d_kernel` are written, `d_bias` is added to.
pub(super) fn backward(mix: &Mix, input: Input, y: &[f32], dg: &[f32], to: Gradients) {
    let (shape, tokens) = (mix.shape, mix.shape.tokens().max(1));
    let elements = shape.channels * shape.tokens();
    let (du, dv) =
        to.duv[..shape.halves() * elements].split_at_mut((shape.halves() - 1) * elements);
    let (du_bias, dv_bias) = to
        .d_bias
        .split_at_mut(to.d_bias.len() * (shape.halves() - 1) / 2);
    // The gradient of y takes the place of dv for a moment.
    if shape.gated {
        let rows = du
            .par_chunks_exact_mut(tokens)
            .zip(dv.par_chunks_exact_mut(tokens));
        let given = y.par_chunks_exact(tokens).zip(dg.par_chunks_exact(tokens));
        let sums = rows
            .zip(given)
            .enumerate()
            .map(|(channel, ((du, dy), (y, dg)))| {
                let (u, bias) = input.gate(shape, channel);
                with_activation!(shape.act, F => vectorized(
                    #[inline(always)]
                    || gate_backward::<F>(u, bias, y, dg, du, dy),
                ));
                super::blocks::sum(du) as f32
            });
        add(du_bias, &sums.collect::<Vec<_>>());
    } else {
        dv.copy_from_slice(&dg[..elements]);
    }
    let rows = dv.par_chunks_exact_mut(tokens);
    let rows = rows.zip(to.d_kernel.par_chunks_exact_mut(shape.lags().max(1)));
    let sums = rows.enumerate().map(|(channel, (dv, d_kernel))| {
        mix.with_scratch(|scratch| {
            with_activation!(shape.act, F => backward_channel::<F>(mix, input, channel, scratch, dv));
            mix.kernel_gradient(scratch, d_kernel);
        });
        super::blocks::sum(dv) as f32
    });
    add(dv_bias, &sums.collect::<Vec<_>>());
}

/// `to += values`; nothing where there is no bias.
fn add(to: &mut [f32], values: &[f32]) {
    to.iter_mut()
        .zip(values)
        .for_each(|(to, value)| *to += value);
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

/// Turns a channel's gradient of `y` into that of `v`; leaves the spectrum of the kernel's gradient in
/// the scratch.
fn backward_channel<F: Function>(
    mix: &Mix,
    input: Input,
    channel: usize,
    scratch: &mut Scratch,
    dv: &mut [f32],
) {
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
    let (v, bias) = input.value(shape, channel);
    let pair = 2 * shape.length;
    for (v, dv) in v.chunks(pair).zip(dv.chunks_mut(pair)) {
        vectorized(
            #[inline(always)]
            || {
                load::<F>(v, shape.length, bias, z);
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
                    *dv *= F::both(v + bias).1;
                }
            },
        );
    }
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
