//! The network that gives a Toeplitz operator its kernel.
//!
//! `hidden` holds, each `[rows, width]`: the output of each map but the last (the input of the norm
//! behind it), then the activated norms; then room for the gradient of one of either. The kernel
//! before its activation `[channels, lags]` follows, then what the last map reads of a response
//! `[parts, lags, width]` and its gradient.

use super::activation::{activate, activate_backward};
use super::gemm::{gemm, gemm_long};
use super::{norm, response};
use crate::device::{Activation, Gemm, Norm, NormShape, Outputs, RpeInput, RpeShape};
use rayon::prelude::*;
use std::f64::consts::PI;

/// Rows of activations of one task.
const CHUNK: usize = 8192;

/// Parts of the buffer that keeps hidden values.
struct Hidden<'a> {
    /// Outputs of the maps.
    outputs: Vec<&'a mut [f32]>,
    /// Inputs of the maps after the first.
    inputs: Vec<&'a mut [f32]>,
    d_output: &'a mut [f32],
    d_input: &'a mut [f32],
    before_act: &'a mut [f32],
    /// Transforms of the last map's inputs, where those are of frequencies, and their gradient.
    responses: &'a mut [f32],
    d_responses: &'a mut [f32],
}

impl<'a> Hidden<'a> {
    fn split(shape: &RpeShape, hidden: &'a mut [f32]) -> Self {
        let (maps, one) = (shape.layers + 1, shape.rows() * shape.width);
        let (hidden, rest) = hidden[..shape.hidden_len()].split_at_mut(4 * maps * one);
        let (before_act, rest) = rest.split_at_mut(shape.channels * shape.lags());
        let (responses, d_responses) = rest.split_at_mut(shape.responses_len());
        let mut parts = hidden.chunks_exact_mut(one);
        let mut next = |count: usize| parts.by_ref().take(count).collect::<Vec<_>>();
        let (outputs, inputs, mut rest) = (next(maps), next(maps), next(2));
        let (d_input, d_output) = (rest.remove(1), rest.remove(0));
        Self {
            outputs,
            inputs,
            d_output,
            d_input,
            before_act,
            responses,
            d_responses,
        }
    }
}

/// The lag of a column of the kernel; none for the one that stands between.
fn lag(shape: &RpeShape, column: usize) -> Option<i64> {
    let (column, length) = (column as i64, shape.length as i64);
    match column.cmp(&length) {
        std::cmp::Ordering::Less => Some(column),
        std::cmp::Ordering::Equal => None,
        std::cmp::Ordering::Greater => Some(column - 2 * length),
    }
}

/// What the network sees in a row.
fn position(shape: &RpeShape, row: usize) -> f32 {
    let lag = || lag(shape, row).unwrap_or(0) as f32;
    let omega = |bins: usize| PI * row as f64 / bins as f64;
    match shape.input {
        RpeInput::Lag => lag(),
        RpeInput::Scaled(length) => lag() / length as f32,
        RpeInput::Omega(bins) => omega(bins) as f32,
        RpeInput::Cosine(bins) => omega(bins).cos() as f32,
        RpeInput::Warped { lambda, spacing } => {
            let lag = f64::from(lag());
            let size = lambda.powf(lag.abs() * spacing);
            (if lag < 0.0 { -size } else { size }) as f32
        }
    }
}

fn norm_shape(shape: &RpeShape, norm: Norm, layer: usize) -> NormShape {
    let weight_at = shape.norms_at.get(layer).copied().unwrap_or(0);
    NormShape {
        norm,
        width: shape.width,
        weight_at,
    }
}

/// `C = op(A) op(B)` by its sizes.
fn product(m: usize, n: usize, k: usize) -> Gemm {
    let (transpose_a, transpose_b, accumulate) = (false, false, false);
    Gemm {
        m,
        n,
        k,
        transpose_a,
        transpose_b,
        accumulate,
    }
}

/// Writes the kernel `[channels, lags]`.
pub fn forward(shape: &RpeShape, parameters: &[f32], hidden: &mut [f32], kernel: &mut [f32]) {
    let (rows, width) = (shape.rows(), shape.width);
    let mut hidden = Hidden::split(shape, hidden);
    first(shape, parameters, hidden.outputs[0]);
    for layer in 0..=shape.layers {
        let (done, todo) = hidden.outputs.split_at_mut(layer + 1);
        let (x, a) = (&*done[layer], &mut *hidden.inputs[layer]);
        norm_act(shape, layer, parameters, x, a);
        let Some(next) = todo.first_mut() else { break };
        let at = shape.hidden_at[layer];
        let bias = shape
            .bias
            .then(|| &parameters[at + width * width..][..width]);
        if shape.residual {
            next.copy_from_slice(x);
        }
        let by = Gemm {
            transpose_b: true,
            accumulate: shape.residual,
            ..product(rows, width, width)
        };
        gemm(by, a, &parameters[at..], bias, next);
    }
    let a = &*hidden.inputs[shape.layers];
    let read = match shape.input.bins() {
        Some(bins) => {
            response::forward(shape, bins, a, hidden.responses);
            &*hidden.responses
        }
        None => a,
    };
    let lags = shape.lags();
    for Outputs {
        channels,
        first,
        part,
    } in shape.outputs()
    {
        let by = Gemm {
            transpose_b: true,
            accumulate: part > 0,
            ..product(channels.len(), lags, width)
        };
        let (weight, read) = (shape.last_at + first * width, &read[part * lags * width..]);
        let to = &mut hidden.before_act[channels.start * lags..channels.end * lags];
        gemm(by, &parameters[weight..], read, None, to);
    }
    finish(shape, parameters, hidden.before_act, kernel);
}

fn first(shape: &RpeShape, parameters: &[f32], x: &mut [f32]) {
    let width = shape.width;
    let (weight, bias) = parameters[shape.first_at..].split_at(width);
    x.par_chunks_exact_mut(width)
        .enumerate()
        .for_each(|(row, x)| {
            let position = position(shape, row);
            for (x, weight) in x.iter_mut().zip(weight) {
                *x = weight * position;
            }
            if shape.bias {
                x.iter_mut().zip(bias).for_each(|(x, bias)| *x += bias);
            }
        });
}

fn norm_act(shape: &RpeShape, layer: usize, parameters: &[f32], x: &[f32], a: &mut [f32]) {
    match shape.norm {
        Some(norm) => norm::forward(norm_shape(shape, norm, layer), parameters, x, a),
        None => a.copy_from_slice(x),
    }
    a.par_chunks_mut(CHUNK).for_each(|a| activate(shape.act, a));
}

/// Powers of a decay along the columns of one channel; in f64, since errors grow with the lag.
fn decays(shape: &RpeShape, gamma: f32) -> Vec<f32> {
    let gamma = f64::from(gamma).powf(shape.input.spacing());
    let mut power = 1.0;
    let mut decays = Vec::with_capacity(shape.lags());
    for _ in 0..shape.length {
        decays.push(power as f32);
        power *= gamma;
    }
    if !shape.causal {
        decays.push(0.0);
        decays.extend_from_within(1..shape.length);
        decays[shape.length + 1..].reverse();
    }
    decays
}

/// The factors of each channel, those of neighbours with one gamma computed once.
fn factors(shape: &RpeShape, parameters: &[f32]) -> Option<(Vec<Vec<f32>>, Vec<usize>)> {
    let gamma = &parameters[shape.gamma_at?..][..shape.channels];
    let mut distinct: Vec<Vec<f32>> = Vec::new();
    let mut last = f32::NAN;
    let which = gamma.iter().map(|&gamma| {
        if gamma != last {
            distinct.push(decays(shape, gamma));
            last = gamma;
        }
        distinct.len() - 1
    });
    let which = which.collect();
    Some((distinct, which))
}

/// Bias, decay and activation of the kernel.
fn finish(shape: &RpeShape, parameters: &[f32], before: &mut [f32], kernel: &mut [f32]) {
    let lags = shape.lags();
    let factors = factors(shape, parameters);
    let biases = shape.bias.then(|| Biases::new(shape));
    let rows = before
        .par_chunks_exact_mut(lags)
        .zip(kernel.par_chunks_exact_mut(lags));
    rows.enumerate().for_each(|(channel, (before, kernel))| {
        if let Some(biases) = &biases {
            biases.add(parameters, channel, before);
        }
        if let Some((distinct, which)) = &factors {
            let factors = &distinct[which[channel]];
            before
                .iter_mut()
                .zip(factors)
                .for_each(|(x, factor)| *x *= factor);
        }
        kernel.copy_from_slice(before);
        if shape.kernel_act != Activation::None {
            activate(shape.kernel_act, kernel);
        }
        if !shape.causal {
            kernel[shape.length] = 0.0;
        }
    });
}

/// Gradients of the parameters from the kernel's, which is overwritten.
pub fn backward(
    shape: &RpeShape,
    parameters: &[f32],
    hidden: &mut [f32],
    d_kernel: &mut [f32],
    gradients: &mut [f32],
) {
    let mut hidden = Hidden::split(shape, hidden);
    finish_backward(shape, parameters, hidden.before_act, d_kernel);
    if shape.bias {
        let biases = Biases::new(shape);
        let rows = d_kernel.chunks_exact(shape.lags()).enumerate();
        rows.for_each(|(channel, d)| biases.add_gradient(channel, d, gradients));
    }
    last_backward(shape, parameters, &mut hidden, d_kernel, gradients);
    // From here on d_output is the gradient of the output of the map before the norm.
    hidden.d_output.fill(0.0);
    norm_act_backward(shape, shape.layers, parameters, &mut hidden, gradients);
    for layer in (0..shape.layers).rev() {
        map_backward(shape, layer, parameters, &mut hidden, gradients);
        if !shape.residual {
            hidden.d_output.fill(0.0);
        }
        norm_act_backward(shape, layer, parameters, &mut hidden, gradients);
    }
    first_backward(shape, hidden.d_output, gradients);
}

/// Gradients of the last map, and of what it reads into `d_input`.
fn last_backward(
    shape: &RpeShape,
    parameters: &[f32],
    hidden: &mut Hidden,
    d_kernel: &[f32],
    gradients: &mut [f32],
) {
    let (lags, width, bins) = (shape.lags(), shape.width, shape.input.bins());
    let (read, d_read) = match bins {
        Some(_) => (&*hidden.responses, &mut *hidden.d_responses),
        None => (&*hidden.inputs[shape.layers], &mut *hidden.d_input),
    };
    for Outputs {
        channels,
        first,
        part,
    } in shape.outputs()
    {
        let d = &d_kernel[channels.start * lags..channels.end * lags];
        let (weight, part) = (shape.last_at + first * width, part * lags * width);
        let by = product(channels.len(), width, lags);
        gemm_long(by, d, &read[part..], &mut gradients[weight..]);
        let by = Gemm {
            transpose_a: true,
            accumulate: channels.start > 0,
            ..product(lags, width, channels.len())
        };
        let d_read = &mut d_read[part..part + lags * width];
        gemm(by, d, &parameters[weight..], None, d_read);
    }
    if let Some(bins) = bins {
        response::backward(shape, bins, hidden.d_responses, hidden.d_input);
    }
}

/// What the biases of the last map add to a kernel.
struct Biases {
    /// Offset of the first.
    at: usize,
    outputs: Vec<Outputs>,
    /// Of each part, what a bias of 1 adds to each lag; empty where that is 1.
    ones: Vec<Vec<f32>>,
}

impl Biases {
    fn new(shape: &RpeShape) -> Self {
        let outputs = shape.channels * shape.parts();
        let ones = |bins| (0..shape.parts()).map(move |part| response::of_one(shape, bins, part));
        Self {
            at: shape.last_at + outputs * shape.width,
            outputs: shape.outputs(),
            ones: shape.input.bins().into_iter().flat_map(ones).collect(),
        }
    }

    /// Offsets of a channel's biases, and what they add.
    fn of(&self, channel: usize) -> impl Iterator<Item = (usize, Option<&[f32]>)> {
        let outputs = self.outputs.iter();
        let own = outputs.filter(move |o| o.channels.contains(&channel));
        own.map(move |o| {
            let at = self.at + o.first + channel - o.channels.start;
            (at, self.ones.get(o.part).map(Vec::as_slice))
        })
    }

    fn add(&self, parameters: &[f32], channel: usize, kernel: &mut [f32]) {
        for (at, ones) in self.of(channel) {
            let bias = parameters[at];
            match ones {
                None => kernel.iter_mut().for_each(|x| *x += bias),
                Some(ones) => kernel
                    .iter_mut()
                    .zip(ones)
                    .for_each(|(x, by)| *x += bias * by),
            }
        }
    }

    fn add_gradient(&self, channel: usize, d_kernel: &[f32], gradients: &mut [f32]) {
        for (at, ones) in self.of(channel) {
            gradients[at] += match ones {
                None => super::blocks::sum(d_kernel) as f32,
                Some(ones) => d_kernel.iter().zip(ones).map(|(d, by)| d * by).sum(),
            };
        }
    }
}

/// Through activation, decay; the column between the lags has no gradient.
fn finish_backward(shape: &RpeShape, parameters: &[f32], before: &[f32], d_kernel: &mut [f32]) {
    let lags = shape.lags();
    let factors = factors(shape, parameters);
    let rows = d_kernel
        .par_chunks_exact_mut(lags)
        .zip(before.par_chunks_exact(lags));
    rows.enumerate().for_each(|(channel, (d, before))| {
        if shape.kernel_act != Activation::None {
            activate_backward(shape.kernel_act, before, d);
        }
        if let Some((distinct, which)) = &factors {
            let factors = &distinct[which[channel]];
            d.iter_mut()
                .zip(factors)
                .for_each(|(d, factor)| *d *= factor);
        }
        if !shape.causal {
            d[shape.length] = 0.0;
        }
    });
}

/// Adds to `d_output` the gradient through norm and activation of `d_input`, which is overwritten.
fn norm_act_backward(
    shape: &RpeShape,
    layer: usize,
    parameters: &[f32],
    hidden: &mut Hidden,
    gradients: &mut [f32],
) {
    let Hidden {
        outputs,
        inputs,
        d_output,
        d_input,
        ..
    } = hidden;
    let (x, a) = (&*outputs[layer], &mut *inputs[layer]);
    let Some(norm) = shape.norm else {
        each_chunk(d_input, x, |d, x| activate_backward(shape.act, x, d));
        super::blocks::add(d_input, d_output);
        return;
    };
    let norm = norm_shape(shape, norm, layer);
    // The activated norm is no longer needed: its place takes the norm.
    norm::forward(norm, parameters, x, a);
    each_chunk(d_input, a, |d, a| activate_backward(shape.act, a, d));
    norm::backward(norm, parameters, x, d_input, d_output, gradients);
}

fn each_chunk(to: &mut [f32], from: &[f32], run: impl Fn(&mut [f32], &[f32]) + Sync) {
    let chunks = to.par_chunks_mut(CHUNK).zip(from.par_chunks(CHUNK));
    chunks.for_each(|(to, from)| run(to, from));
}

/// Gradients of a hidden map, and of its input into `d_input`.
fn map_backward(
    shape: &RpeShape,
    layer: usize,
    parameters: &[f32],
    hidden: &mut Hidden,
    gradients: &mut [f32],
) {
    let (rows, width, at) = (shape.rows(), shape.width, shape.hidden_at[layer]);
    let d = &*hidden.d_output;
    let by = Gemm {
        transpose_a: true,
        ..product(width, width, rows)
    };
    gemm_long(by, d, hidden.inputs[layer], &mut gradients[at..]);
    if shape.bias {
        norm::column_sums(d, width, &mut gradients[at + width * width..][..width]);
    }
    gemm(
        product(rows, width, width),
        d,
        &parameters[at..],
        None,
        hidden.d_input,
    );
}

fn first_backward(shape: &RpeShape, d: &[f32], gradients: &mut [f32]) {
    let width = shape.width;
    let weight = &mut gradients[shape.first_at..][..width];
    super::blocks::add_in_order(shape.rows(), weight, |rows, weight| {
        for (d, row) in d[rows.start * width..].chunks_exact(width).zip(rows) {
            let position = position(shape, row);
            weight
                .iter_mut()
                .zip(d)
                .for_each(|(sum, d)| *sum += d * position);
        }
    });
    if shape.bias {
        norm::column_sums(d, width, &mut gradients[shape.first_at + width..][..width]);
    }
}
