//! Products of matrices of signed bytes with vectors of signed bytes.

use super::model::Matrix;
use super::number::{Factor, shift};

pub(super) use crate::kernel::dense::{portable as sums, portable_of_two as sums_of_two};

/// Where a number left of the point saturates: a bias fits beside it.
const LIMIT: i32 = 1 << 30;

/// Turns the sums of rows `first..` into numbers, and those into what `finish` makes of them. Not inlined: those
/// that make the same are one function in flash.
#[inline(never)]
pub(super) fn finish(
    matrix: &Matrix<'_>,
    first: usize,
    factor: Factor,
    sums: &mut [i32],
    finish: impl Fn(i32) -> i32,
) {
    let places = matrix.places.saturating_sub(factor.exponent);
    if places > 0 {
        let places = places.min(31) as u32;
        for (sum, row) in sums.iter_mut().zip(matrix.rows(first)) {
            *sum = finish((scaled(matrix, factor, *sum, *row.0) >> places) + row.1);
        }
    } else {
        // rare: not worth a loop for each `finish`
        grow(matrix, first, factor, sums);
        sums.iter_mut().for_each(|sum| *sum = finish(*sum));
    }
}

/// [`finish`] without its last step, where numbers are shifted to the left.
#[inline(never)]
fn grow(matrix: &Matrix<'_>, first: usize, factor: Factor, sums: &mut [i32]) {
    let places = matrix.places.saturating_sub(factor.exponent);
    for (sum, row) in sums.iter_mut().zip(matrix.rows(first)) {
        *sum = shift(scaled(matrix, factor, *sum, *row.0), places, LIMIT) + row.1;
    }
}

#[inline(always)]
fn scaled(matrix: &Matrix<'_>, factor: Factor, sum: i32, multiplier: u16) -> i32 {
    let multiplier = (u32::from(multiplier) * factor.mantissa) >> 16;
    (sum >> matrix.low) * multiplier as i32
}
