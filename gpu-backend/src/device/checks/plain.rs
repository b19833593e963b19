//! The operations in f64, as plainly as possible.

use crate::device::{Activation, Gemm, MixShape, Norm, RpeInput, RpeShape, SkiShape};
use std::f64::consts::PI;

pub fn act(act: Activation, x: f64) -> f64 {
    match act {
        Activation::None => x,
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
        Activation::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
    }
}

/// `op(A) op(B)`.
pub fn product(shape: Gemm, a: &[f64], b: &[f64]) -> Vec<f64> {
    let Gemm { m, n, k, .. } = shape;
    let a_at = |i: usize, p: usize| {
        if shape.transpose_a {
            a[p * m + i]
        } else {
            a[i * k + p]
        }
    };
    let b_at = |p: usize, j: usize| {
        if shape.transpose_b {
            b[j * k + p]
        } else {
            b[p * n + j]
        }
    };
    let element = |at: usize| (0..k).map(|p| a_at(at / n, p) * b_at(p, at % n)).sum();
    (0..m * n).map(element).collect()
}

/// A norm of rows; `affine` is weight then bias.
pub fn norm(norm: Norm, width: usize, affine: &[f64], x: &[f64]) -> Vec<f64> {
    let mut y = Vec::with_capacity(x.len());
    for row in x.chunks(width) {
        let mean = |f: &dyn Fn(f64) -> f64| row.iter().map(|&x| f(x)).sum::<f64>() / width as f64;
        match norm {
            Norm::SimpleRms => {
                let root = mean(&|x| x * x).sqrt();
                y.extend(row.iter().map(|x| x / (root + 1e-8)));
            }
            Norm::Layer => {
                let middle = mean(&|x| x);
                let root = (mean(&|x| (x - middle).powi(2)) + 1e-5).sqrt();
                let one = |(j, x)| (x - middle) / root * affine[j] + affine[width + j];
                y.extend(row.iter().enumerate().map(one));
            }
        }
    }
    y
}

/// `x W^T (+ b)` of rows; the bias follows the weight `[outputs, inputs]`.
fn linear(x: &[f64], inputs: usize, outputs: usize, weight: &[f64], bias: bool) -> Vec<f64> {
    let mut y = Vec::new();
    for row in x.chunks(inputs) {
        for j in 0..outputs {
            let weight = &weight[j * inputs..(j + 1) * inputs];
            y.push(row.iter().zip(weight).map(|(x, w)| x * w).sum::<f64>());
        }
    }
    if bias {
        let bias = &weight[inputs * outputs..];
        for row in y.chunks_mut(outputs) {
            row.iter_mut().zip(bias).for_each(|(y, b)| *y += b);
        }
    }
    y
}

/// The kernel `[channels, lags]` from all parameters.
pub fn kernel(shape: &RpeShape, parameters: &[f64]) -> Vec<f64> {
    let (width, n) = (shape.width, shape.length as i64);
    let lags = 0..shape.lags() as i64;
    let lags: Vec<i64> = lags.map(|i| if i > n { i - 2 * n } else { i }).collect();
    let of_lags = |scale: f64| lags.iter().map(|&lag| lag as f64 / scale).collect();
    let omega = |bins: usize| (0..=bins).map(move |k| PI * k as f64 / bins as f64);
    let position: Vec<f64> = match shape.input {
        RpeInput::Lag => of_lags(1.0),
        RpeInput::Scaled(length) => of_lags(length as f64),
        RpeInput::Omega(bins) => omega(bins).collect(),
        RpeInput::Cosine(bins) => omega(bins).map(f64::cos).collect(),
        RpeInput::Warped { lambda, spacing } => {
            let warped = |&lag: &i64| {
                let size = lambda.powf(lag.abs() as f64 * spacing);
                if lag < 0 { -size } else { size }
            };
            lags.iter().map(warped).collect()
        }
    };
    let block = |x: &[f64], layer: usize, at: usize, outputs: usize| {
        let mut x = match shape.norm {
            Some(norm) => {
                let at = shape.norms_at.get(layer).copied().unwrap_or(0);
                self::norm(norm, width, &parameters[at..], x)
            }
            None => x.to_vec(),
        };
        x.iter_mut().for_each(|x| *x = act(shape.act, *x));
        linear(&x, width, outputs, &parameters[at..], shape.bias)
    };
    let mut x = linear(
        &position,
        1,
        width,
        &parameters[shape.first_at..],
        shape.bias,
    );
    for (layer, &at) in shape.hidden_at.iter().enumerate() {
        let mut next = block(&x, layer, at, width);
        if shape.residual {
            next.iter_mut().zip(&x).for_each(|(next, x)| *next += x);
        }
        x = next;
    }
    let outputs = shape.channels * shape.parts();
    let out = block(&x, shape.layers, shape.last_at, outputs);
    if let Some(bins) = shape.input.bins() {
        return impulse_response(shape, bins, &lags, &out);
    }
    let mut kernel = Vec::new();
    for channel in 0..shape.channels {
        for (row, &lag) in lags.iter().enumerate() {
            let decay =
                |at: usize| parameters[at + channel].powf(lag.abs() as f64 * shape.input.spacing());
            let value = out[row * shape.channels + channel] * shape.gamma_at.map_or(1.0, decay);
            let between = !shape.causal && lag == n;
            kernel.push(if between {
                0.0
            } else {
                act(shape.kernel_act, value)
            });
        }
    }
    kernel
}

/// The kernel of a response `[bins + 1, outputs]`, term by term.
fn impulse_response(shape: &RpeShape, bins: usize, lags: &[i64], response: &[f64]) -> Vec<f64> {
    let (head, outputs) = (shape.channels / shape.heads, shape.channels * shape.parts());
    let mut kernel = Vec::new();
    for channel in 0..shape.channels {
        let real = match shape.parts() {
            1 => channel,
            _ => channel / head * 2 * head + channel % head,
        };
        for &lag in lags {
            let term = |(k, row): (usize, &[f64])| {
                let (sin, cos) = (PI * (k as i64 * lag) as f64 / bins as f64).sin_cos();
                let at_end = k == 0 || k == bins;
                let imaginary = match shape.parts() {
                    2 if !at_end => row[real + head],
                    _ => 0.0,
                };
                let sum = row[real] * cos - imaginary * sin;
                if at_end { sum } else { 2.0 * sum }
            };
            let sum: f64 = response.chunks(outputs).enumerate().map(term).sum();
            let outside = lag.unsigned_abs() as usize >= bins.min(shape.length);
            let factor = match (outside, shape.causal && lag > 0) {
                (true, _) => 0.0,
                (false, true) => 2.0,
                (false, false) => 1.0,
            };
            kernel.push(factor * sum / (2 * bins) as f64);
        }
    }
    kernel
}

/// `y` and `g` of the gated Toeplitz unit, one behind the other; `bias` `[2E]` or empty.
pub fn mix(shape: MixShape, kernel: &[f64], bias: &[f64], uv: &[f64]) -> Vec<f64> {
    let (tokens, n, lags) = (shape.tokens(), shape.length, shape.lags());
    let at = |row: usize, t: usize| {
        let bias = bias.get(row).copied().unwrap_or(0.0);
        act(shape.act, uv[row * tokens + t] + bias)
    };
    let (mut y, mut g) = (Vec::new(), Vec::new());
    for channel in 0..shape.channels {
        let kernel = &kernel[channel * lags..][..lags];
        let v: Vec<f64> = (0..tokens)
            .map(|t| at((shape.halves() - 1) * shape.channels + channel, t))
            .collect();
        for t in 0..tokens {
            let (first, i) = (t - t % n, t % n);
            let term = |j: usize| match i >= j {
                true => kernel[i - j] * v[first + j],
                false if shape.causal => 0.0,
                false => kernel[2 * n + i - j] * v[first + j],
            };
            let sum = (0..n).map(term).sum();
            y.push(sum);
            if shape.gated {
                g.push(at(channel, t) * sum);
            }
        }
    }
    y.extend(g);
    y
}

/// The dense matrix `T + W A W^T` `[length, length]` of one channel, by its definition.
fn ski_matrix(shape: SkiShape, kernel: &[f64], taps: &[f64]) -> Vec<f64> {
    let (n, rank) = (shape.length, shape.rank);
    let distance = (n.max(2) - 1) as f64 / (rank - 1) as f64;
    // A hat over each point, as wide as the distance to its neighbours.
    let w = |i: usize, a: usize| (1.0 - (i as f64 / distance - a as f64).abs()).max(0.0);
    let half = (shape.taps / 2) as isize;
    let mut matrix = vec![0.0; n * n];
    for i in 0..n {
        for j in 0..n {
            let mut sum = 0.0;
            for a in 0..rank {
                for b in 0..rank {
                    let lag = if a >= b { a - b } else { 2 * rank + a - b };
                    sum += w(i, a) * kernel[lag] * w(j, b);
                }
            }
            let lag = i as isize - j as isize;
            if lag.abs() <= half {
                sum += taps[(lag + half) as usize];
            }
            matrix[i * n + j] = sum;
        }
    }
    matrix
}

/// `y` and `g` of the gated unit with the product of SKI, one behind the other.
pub fn ski(shape: SkiShape, kernel: &[f64], taps: &[f64], bias: &[f64], uv: &[f64]) -> Vec<f64> {
    let (tokens, n) = (shape.tokens(), shape.length);
    let at = |row: usize, t: usize| {
        let bias = bias.get(row).copied().unwrap_or(0.0);
        act(shape.act, uv[row * tokens + t] + bias)
    };
    let (mut y, mut g) = (Vec::new(), Vec::new());
    for channel in 0..shape.channels {
        let kernel = &kernel[channel * shape.lags()..][..shape.lags()];
        let taps = &taps[channel * shape.taps..][..shape.taps];
        let matrix = ski_matrix(shape, kernel, taps);
        for t in 0..tokens {
            let (first, row) = (t - t % n, &matrix[t % n * n..][..n]);
            let terms = row.iter().enumerate();
            let sum = terms.map(|(j, m)| m * at(shape.channels + channel, first + j));
            y.push(sum.sum());
            g.push(at(channel, t) * y[y.len() - 1]);
        }
    }
    y.extend(g);
    y
}

/// The gate of a GLU; `bias` `[2G]` or empty.
pub fn gate(f: Activation, tokens: usize, bias: &[f64], h: &[f64]) -> Vec<f64> {
    let half = h.len() / 2;
    let at = |i: usize| h[i] + bias.get(i / tokens).copied().unwrap_or(0.0);
    (0..half).map(|i| act(f, at(i)) * at(half + i)).collect()
}

/// Cross entropy summed over targets, number of targets, right guesses.
pub fn loss(width: usize, weight: &[f64], x: &[f64], targets: &[Option<usize>]) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for (x, target) in x.chunks(width).zip(targets) {
        let Some(target) = *target else { continue };
        let logits = linear(x, width, weight.len() / width, weight, false);
        let largest = logits.iter().fold(f64::MIN, |a, &b| a.max(b));
        let sum: f64 = logits.iter().map(|x| (x - largest).exp()).sum();
        sums[0] += sum.ln() + largest - logits[target];
        sums[1] += 1.0;
        sums[2] += if logits[target] >= largest { 1.0 } else { 0.0 };
    }
    sums
}
