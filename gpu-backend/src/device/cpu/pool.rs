//! The mean over positions.

use super::blocks::add;
use rayon::prelude::*;

/// `y[b] = mean over positions of x[b]`.
pub fn forward(x: &[f32], batch: usize, length: usize, y: &mut [f32]) {
    if y.is_empty() {
        return;
    }
    let width = y.len() / batch;
    let sequences = y
        .par_chunks_exact_mut(width)
        .zip(x.par_chunks_exact(length * width));
    sequences.for_each(|(y, x)| {
        y.fill(0.0);
        x.chunks_exact(width).for_each(|x| add(x, y));
        y.iter_mut().for_each(|y| *y /= length as f32);
    });
}

/// `dx[b, i] = dy[b] / length`.
pub fn backward(dy: &[f32], batch: usize, length: usize, dx: &mut [f32]) {
    if dy.is_empty() {
        return;
    }
    let width = dy.len() / batch;
    let sequences = dx
        .par_chunks_exact_mut(length * width)
        .zip(dy.par_chunks_exact(width));
    sequences.for_each(|(dx, dy)| {
        for dx in dx.chunks_exact_mut(width) {
            dx.iter_mut()
                .zip(dy)
                .for_each(|(dx, dy)| *dx = dy / length as f32);
        }
    });
}
