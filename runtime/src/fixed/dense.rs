//! Products of matrices of signed bytes with vectors of signed bytes.

use super::model::Matrix;
use super::number::{Factor, shift};

/// `sums[r] = sum_c weights[r, c] * q[c]`, exactly; weights row by row.
pub(super) fn sums(weights: &[i8], q: &[i8], sums: &mut [i32]) {
    if q.is_empty() {
        return;
    }
    for (row, sum) in weights.chunks_exact(q.len()).zip(sums) {
        *sum = crate::kernel::dot_i8(row, q);
    }
}

/// Where a number left of the point saturates: a bias fits beside it.
const LIMIT: i32 = 1 << 30;

/// Turns the sums of rows `first..` into numbers, and those into what `finish` makes of them.
#[inline(always)]
pub(super) fn finish(
    matrix: &Matrix<'_>,
    first: usize,
    factor: Factor,
    sums: &mut [i32],
    finish: impl Fn(i32) -> i32,
) {
    let places = matrix.places.saturating_sub(factor.exponent);
    let multipliers = matrix.multipliers.get(first..).unwrap_or(&[]);
    let bias = matrix.bias.get(first..).unwrap_or(&[]);
    let rows = sums.iter_mut().zip(multipliers).zip(bias);
    let scaled = |sum: i32, multiplier: u16| {
        let multiplier = (u32::from(multiplier) * factor.mantissa) >> 16;
        (sum >> matrix.low) * multiplier as i32
    };
    if places > 0 {
        let places = places.min(31) as u32;
        for ((sum, multiplier), bias) in rows {
            *sum = finish((scaled(*sum, *multiplier) >> places) + bias);
        }
    } else {
        for ((sum, multiplier), bias) in rows {
            *sum = finish(shift(scaled(*sum, *multiplier), places, LIMIT) + bias);
        }
    }
}
