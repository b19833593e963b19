//! The mean over a sequence's own positions, and the hiding of its padding.

use super::blocks::add;
use crate::device::HIDDEN;
use rayon::prelude::*;

/// `y[b] = mean of x[b] over its first counts[b] positions`.
pub fn forward(x: &[f32], counts: &[f32], length: usize, y: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    let width = y.len() / counts.len();
    let sequences = y
        .par_chunks_exact_mut(width)
        .zip(x.par_chunks_exact(length * width))
        .zip(counts);
    sequences.for_each(|((y, x), &count)| {
        y.fill(0.0);
        let own = x.chunks_exact(width).take(count as usize);
        own.for_each(|x| add(x, y));
        y.iter_mut().for_each(|y| *y /= count.max(1.0));
    });
}

/// `dx[b, i] = dy[b] / counts[b]`, 0 beyond.
pub fn backward(dy: &[f32], counts: &[f32], length: usize, dx: &mut [f32]) {
    if dy.is_empty() {
        return;
    }
    let width = dy.len() / counts.len();
    let sequences = dx
        .par_chunks_exact_mut(length * width)
        .zip(dy.par_chunks_exact(width))
        .zip(counts);
    sequences.for_each(|((dx, dy), &count)| {
        let (own, padding) = dx.split_at_mut(count as usize * width);
        for dx in own.chunks_exact_mut(width) {
            dx.iter_mut().zip(dy).for_each(|(dx, dy)| *dx = dy / count);
        }
        padding.fill(0.0);
    });
}

/// Hides the padding of the second half of channel-major rows.
pub fn hide(uv: &mut [f32], counts: &[f32], length: usize) {
    let half = uv.len() / 2;
    let rows = uv[half..].par_chunks_exact_mut(counts.len() * length);
    rows.for_each(|row| {
        for (sequence, &count) in row.chunks_exact_mut(length).zip(counts) {
            sequence[count as usize..].fill(HIDDEN);
        }
    });
}
