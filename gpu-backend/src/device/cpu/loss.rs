//! Cross entropy of the head's logits, a chunk of tokens at a time.
//!
//! Chunks are dealt to groups, each with its own sums; how many groups depends on the shape alone.

use super::blocks::add;
use super::gemm::{gemm, gemm_long};
use super::simd::{exp, vectorized};
use crate::device::{Gemm, IGNORE};
use rayon::prelude::*;

/// Tokens whose logits are held at a time.
const CHUNK: usize = 256;
/// Groups that keep the threads of a large machine busy.
const GROUPS: usize = 32;
/// Elements of logits and weight gradients that all groups may hold together.
const ROOM: usize = 1 << 25;

/// Loss in nats, targets, and targets whose logit is the largest.
#[derive(Clone, Copy, Default)]
pub struct Sums {
    /// Nats.
    pub loss: f64,
    /// Targets.
    pub targets: f64,
    /// Right guesses.
    pub right: f64,
}

/// The head: `weight` `[classes, width]`.
#[derive(Clone, Copy)]
pub struct Head<'a> {
    /// Its weight.
    pub weight: &'a [f32],
    /// Rows of the weight.
    pub classes: usize,
    /// Columns of the weight.
    pub width: usize,
}

/// Where gradients go.
pub struct Gradient<'a> {
    /// Factor on the gradient.
    pub scale: f32,
    /// Gradient of `x`, written.
    pub dx: &'a mut [f32],
    /// Gradient of the weight, added to.
    pub d_weight: &'a mut [f32],
}

/// Loss of `x` `[tokens, width]`, and its gradients.
pub fn head_loss(head: Head, x: &[f32], targets: &[u32], backward: Option<Gradient>) -> Sums {
    let Head { classes, width, .. } = head;
    let one = (CHUNK * classes + classes * width).max(1);
    let groups = (ROOM / one).clamp(1, GROUPS);
    let tokens = targets.len().div_ceil(CHUNK).div_ceil(groups).max(1) * CHUNK;
    let inputs = x.par_chunks(tokens * width).zip(targets.par_chunks(tokens));
    let Some(Gradient {
        scale,
        dx,
        d_weight,
    }) = backward
    else {
        let group = |(x, targets)| group(head, x, targets, None);
        return total(inputs.map(group).collect());
    };
    let group = |((x, targets), dx)| {
        let mut d_weight = vec![0.0; classes * width];
        let gradient = Gradient {
            scale,
            dx,
            d_weight: &mut d_weight,
        };
        (group(head, x, targets, Some(gradient)), d_weight)
    };
    let inputs = inputs.zip(dx.par_chunks_mut(tokens * width));
    let (sums, partials): (Vec<_>, Vec<_>) = inputs.map(group).unzip();
    for partial in partials {
        add(&partial, d_weight);
    }
    total(sums)
}

fn total(all: Vec<Sums>) -> Sums {
    all.iter().fold(Sums::default(), |a, b| Sums {
        loss: a.loss + b.loss,
        targets: a.targets + b.targets,
        right: a.right + b.right,
    })
}

fn group(head: Head, x: &[f32], targets: &[u32], mut backward: Option<Gradient>) -> Sums {
    let Head {
        weight,
        classes,
        width,
    } = head;
    let mut logits = vec![0.0; CHUNK.min(targets.len()) * classes];
    let mut sums = Sums::default();
    let chunks = x.chunks(CHUNK * width).zip(targets.chunks(CHUNK));
    for ((x, targets), at) in chunks.zip((0..).step_by(CHUNK)) {
        let logits = &mut logits[..targets.len() * classes];
        let (m, n, k) = (targets.len(), classes, width);
        let (transpose_a, transpose_b, accumulate) = (false, true, false);
        let by = Gemm {
            m,
            n,
            k,
            transpose_a,
            transpose_b,
            accumulate,
        };
        gemm(by, x, weight, None, logits);
        let scale = backward.as_ref().map(|gradient| gradient.scale);
        let rows = logits.par_chunks_mut(classes).with_min_len(32).zip(targets);
        let rows = rows.map(|(row, &target)| {
            vectorized(
                #[inline(always)]
                || token(row, target, scale),
            )
        });
        sums = rows
            .collect::<Vec<_>>()
            .into_iter()
            .fold(sums, |sums, token| total(vec![sums, token]));
        if let Some(Gradient { dx, d_weight, .. }) = &mut backward {
            let dx = &mut dx[at * width..][..x.len()];
            gemm(
                Gemm {
                    n: width,
                    k: classes,
                    transpose_b: false,
                    ..by
                },
                logits,
                weight,
                None,
                dx,
            );
            let by = Gemm {
                m: classes,
                n: width,
                k: m,
                transpose_a: true,
                transpose_b: false,
                ..by
            };
            gemm_long(by, logits, x, d_weight);
        }
    }
    sums
}

/// One token's sums; its logits become their gradient where there is a scale.
#[inline(always)]
fn token(logits: &mut [f32], target: u32, scale: Option<f32>) -> Sums {
    if target == IGNORE {
        logits.fill(0.0);
        return Sums::default();
    }
    let target = target as usize;
    let largest = largest(logits);
    let wanted = logits[target];
    let sum = exponentials(logits, largest);
    if let Some(scale) = scale {
        let factor = (f64::from(scale) / sum) as f32;
        logits.iter_mut().for_each(|x| *x *= factor);
        logits[target] -= scale;
    }
    Sums {
        loss: sum.ln() - f64::from(wanted - largest),
        targets: 1.0,
        right: if wanted >= largest { 1.0 } else { 0.0 },
    }
}

#[inline(always)]
fn largest(x: &[f32]) -> f32 {
    let (chunks, rest) = x.as_chunks::<16>();
    let mut all = [f32::NEG_INFINITY; 16];
    for chunk in chunks {
        for i in 0..16 {
            all[i] = if chunk[i] > all[i] { chunk[i] } else { all[i] };
        }
    }
    all.iter()
        .chain(rest)
        .fold(f32::NEG_INFINITY, |a, &b| a.max(b))
}

/// `x = e^(x - largest)`; returns their sum, taken in blocks so that long rows stay exact.
#[inline(always)]
fn exponentials(x: &mut [f32], largest: f32) -> f64 {
    let mut total = 0f64;
    for block in x.chunks_mut(1024) {
        let mut sums = [0f32; 16];
        let (chunks, rest) = block.as_chunks_mut::<16>();
        for chunk in chunks {
            for i in 0..16 {
                chunk[i] = exp(chunk[i] - largest);
                sums[i] += chunk[i];
            }
        }
        for x in rest {
            *x = exp(*x - largest);
            sums[0] += *x;
        }
        total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
    }
    total
}
