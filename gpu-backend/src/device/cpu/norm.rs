//! Norms over the channels of a token. Sums over a row are taken in f64, in a fixed order.

use super::blocks::{ROWS, add_in_order, dot, squares, sum};
use super::simd::vectorized;
use crate::device::{Norm, NormShape};
use rayon::prelude::*;

/// Added to the root mean square, outside the root.
const RMS_EPS: f64 = 1e-8;
/// Added to the variance, inside the root.
const LAYER_EPS: f64 = 1e-5;

/// Weight and bias of a norm, empty where it has none.
fn affine(shape: NormShape, parameters: &[f32]) -> (&[f32], &[f32]) {
    match shape.norm {
        Norm::SimpleRms => (&[], &[]),
        Norm::Layer => parameters[shape.weight_at..][..2 * shape.width].split_at(shape.width),
    }
}

/// `y = norm(x)` of each row.
pub fn forward(shape: NormShape, parameters: &[f32], x: &[f32], y: &mut [f32]) {
    let (weight, bias) = affine(shape, parameters);
    let chunk = shape.width * ROWS;
    let chunks = y.par_chunks_mut(chunk).zip(x.par_chunks(chunk));
    chunks.for_each(|(y, x)| {
        vectorized(
            #[inline(always)]
            || {
                let rows = y
                    .chunks_exact_mut(shape.width)
                    .zip(x.chunks_exact(shape.width));
                for (y, x) in rows {
                    match shape.norm {
                        Norm::SimpleRms => simple_rms(x, y),
                        Norm::Layer => layer(x, weight, bias, y),
                    }
                }
            },
        );
    });
}

#[inline(always)]
fn simple_rms(x: &[f32], y: &mut [f32]) {
    let root = (squares(x) / x.len() as f64).sqrt();
    let factor = (1.0 / (root + RMS_EPS)) as f32;
    for (y, x) in y.iter_mut().zip(x) {
        *y = x * factor;
    }
}

/// Mean, and one over the deviation.
#[inline(always)]
fn moments(x: &[f32]) -> (f32, f32) {
    let len = x.len() as f64;
    let mean = (sum(x) / len) as f32;
    // Squares of differences, not a difference of squares: the mean may be large.
    let mut squares = [0f64; 8];
    for x in x.chunks(8) {
        for (sum, x) in squares.iter_mut().zip(x) {
            *sum += f64::from(x - mean) * f64::from(x - mean);
        }
    }
    let variance = squares.iter().sum::<f64>() / len;
    (mean, (1.0 / (variance + LAYER_EPS).sqrt()) as f32)
}

#[inline(always)]
fn layer(x: &[f32], weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let (mean, factor) = moments(x);
    for (((y, x), w), b) in y.iter_mut().zip(x).zip(weight).zip(bias) {
        *y = (x - mean) * factor * w + b;
    }
}

/// `dx += (d norm / dx)^T dy`; gradients of weight and bias are added.
pub fn backward(
    shape: NormShape,
    parameters: &[f32],
    x: &[f32],
    dy: &[f32],
    dx: &mut [f32],
    gradients: &mut [f32],
) {
    let (weight, _) = affine(shape, parameters);
    let chunk = shape.width * ROWS;
    let chunks = dx
        .par_chunks_mut(chunk)
        .zip(x.par_chunks(chunk))
        .zip(dy.par_chunks(chunk));
    chunks.for_each(|((dx, x), dy)| {
        vectorized(
            #[inline(always)]
            || {
                let rows = dx
                    .chunks_exact_mut(shape.width)
                    .zip(x.chunks_exact(shape.width));
                for ((dx, x), dy) in rows.zip(dy.chunks_exact(shape.width)) {
                    match shape.norm {
                        Norm::SimpleRms => simple_rms_backward(x, dy, dx),
                        Norm::Layer => layer_backward(x, weight, dy, dx),
                    }
                }
            },
        );
    });
    if shape.norm == Norm::Layer {
        let sums = &mut gradients[shape.weight_at..][..2 * shape.width];
        affine_gradients(shape.width, x, dy, sums);
    }
}

#[inline(always)]
fn simple_rms_backward(x: &[f32], dy: &[f32], dx: &mut [f32]) {
    let len = x.len() as f64;
    let root = (squares(x) / len).sqrt();
    let factor = 1.0 / (root + RMS_EPS);
    // A row of zeros has no direction: its norm is linear there.
    let along = if root > 0.0 {
        dot(x, dy) * factor * factor / (len * root)
    } else {
        0.0
    };
    let (factor, along) = (factor as f32, along as f32);
    for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
        *dx += dy * factor - x * along;
    }
}

#[inline(always)]
fn layer_backward(x: &[f32], weight: &[f32], dy: &[f32], dx: &mut [f32]) {
    let len = x.len() as f64;
    let (mean, factor) = moments(x);
    let (mut total, mut along) = ([0f64; 8], [0f64; 8]);
    for ((x, dy), w) in x.chunks(8).zip(dy.chunks(8)).zip(weight.chunks(8)) {
        for (i, ((x, dy), w)) in x.iter().zip(dy).zip(w).enumerate() {
            let d = f64::from(dy * w);
            total[i] += d;
            along[i] += d * f64::from((x - mean) * factor);
        }
    }
    let total = (total.iter().sum::<f64>() / len) as f32;
    let along = (along.iter().sum::<f64>() / len) as f32;
    for (((dx, x), dy), w) in dx.iter_mut().zip(x).zip(dy).zip(weight) {
        *dx += factor * (dy * w - total - (x - mean) * factor * along);
    }
}

fn affine_gradients(width: usize, x: &[f32], dy: &[f32], sums: &mut [f32]) {
    add_in_order(x.len() / width, sums, |rows, sums| {
        let (d_weight, d_bias) = sums.split_at_mut(width);
        let range = rows.start * width..rows.end * width;
        vectorized(
            #[inline(always)]
            || {
                let rows = x[range.clone()].chunks_exact(width);
                for (x, dy) in rows.zip(dy[range.clone()].chunks_exact(width)) {
                    let (mean, factor) = moments(x);
                    let sums = d_weight.iter_mut().zip(d_bias.iter_mut());
                    for (((d_weight, d_bias), x), dy) in sums.zip(x).zip(dy) {
                        *d_weight += dy * ((x - mean) * factor);
                        *d_bias += dy;
                    }
                }
            },
        );
    });
}

/// `sums[j] += sum_t x[t, j]`.
pub fn column_sums(x: &[f32], width: usize, sums: &mut [f32]) {
    add_in_order(x.len() / width, sums, |rows, sums| {
        for x in x[rows.start * width..rows.end * width].chunks_exact(width) {
            super::blocks::add(x, sums);
        }
    });
}
