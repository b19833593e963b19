//! Products of matrices of integers with vectors of signed bytes.

use super::model::Matrix;
use super::number::{Factor, shift};
use crate::format::Packing;
use crate::kernel::dense::{self, Groups, int4};

/// Where a number left of the point saturates: a bias fits beside it.
const LIMIT: i32 = 1 << 30;

/// The exact sums of a matrix of `columns` with the bytes that [`quantize`](super::quantize) left in `q`, which
/// are in its kernel's order afterwards.
pub(super) fn sums(matrix: &Matrix<'_>, columns: usize, q: &mut [u32], sums: &mut [i32]) {
    let packing = arrange(matrix, columns, [q]);
    dense::product(packing, matrix.weights, columns, q, sums);
}

/// The same for two tokens. `joined` is for the vectors of both, as kernels for two read them.
pub(super) fn sums_of_two(
    matrix: &Matrix<'_>,
    columns: usize,
    [q0, q1]: [&mut [u32]; 2],
    joined: &mut [u32],
    sums: [&mut [i32]; 2],
) {
    let packing = arrange(matrix, columns, [q0, q1]);
    dense::product_of_two(packing, matrix.weights, columns, [q0, q1], joined, sums);
}

/// Bytes stay as they are for rows. Returns one of two packings, so that kernels for others are left out.
#[inline(always)]
fn arrange<const N: usize>(matrix: &Matrix<'_>, columns: usize, q: [&mut [u32]; N]) -> Packing {
    if matrix.packing == Packing::Groups && dense::is_read(Packing::Groups) {
        q.into_iter()
            .for_each(|q| int4::group::<Groups>(columns, q));
        Packing::Groups
    } else {
        Packing::Rows
    }
}

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
