//! Dropout.

use super::simd::vectorized;
use crate::device::random::{Stream, dropout_threshold};
use rayon::prelude::*;

/// Elements of one task.
const CHUNK: usize = 8192;

/// Zeroes elements with probability `p`, multiplies the others by `1 / (1 - p)`.
pub fn dropout(x: &mut [f32], p: f32, stream: Stream) {
    let Some(threshold) = dropout_threshold(p) else {
        return;
    };
    let scale = if p < 1.0 { 1.0 / (1.0 - p) } else { 0.0 };
    x.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, x)| {
        let first = (chunk * CHUNK) as u64;
        vectorized(
            #[inline(always)]
            || {
                for (x, i) in x.iter_mut().zip(0u32..) {
                    let kept = stream.bits(first + u64::from(i)) >= threshold;
                    *x = if kept { *x * scale } else { 0.0 };
                }
            },
        );
    });
}
