//! The embedding.

use super::blocks::ROWS;
use super::buffer::Ids;
use super::simd::vectorized;
use rayon::prelude::*;

/// `x[t] = scale * table[ids[t]]`; zeros for ids that the vocabulary does not have.
pub fn forward(ids: &Ids, table: &[f32], scale: f32, x: &mut [f32]) {
    if x.is_empty() {
        return;
    }
    let width = x.len() / ids.values.len();
    let rows = x
        .par_chunks_mut(width * ROWS)
        .zip(ids.values.par_chunks(ROWS));
    rows.for_each(|(x, ids)| {
        for (x, &id) in x.chunks_exact_mut(width).zip(ids) {
            if id == crate::device::IGNORE {
                x.fill(0.0);
                continue;
            }
            let row = &table[id as usize * width..][..width];
            x.iter_mut().zip(row).for_each(|(x, &row)| *x = scale * row);
        }
    });
}

/// `gradients[ids[t]] += scale * dx[t]`, in the order of t.
pub fn backward(ids: &Ids, dx: &[f32], scale: f32, gradients: &mut [f32]) {
    if dx.is_empty() {
        return;
    }
    let width = dx.len() / ids.values.len();
    let rows = gradients[..width * ids.vocabulary()].par_chunks_exact_mut(width);
    rows.enumerate().for_each(|(id, sum)| {
        for &token in &ids.order[ids.starts[id]..ids.starts[id + 1]] {
            let dx = &dx[token as usize * width..][..width];
            vectorized(
                #[inline(always)]
                || {
                    sum.iter_mut()
                        .zip(dx)
                        .for_each(|(sum, dx)| *sum += scale * dx)
                },
            );
        }
    });
}
