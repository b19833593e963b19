//! Row-major bytes on cores without vectors: four rows at a time, in assembly.

#![allow(unsafe_code)]

use super::rows;

#[cfg(toeplite_rv32m)]
use super::rv32::four_rows;
#[cfg(toeplite_thumb1)]
use super::thumb1::four_rows;
#[cfg(toeplite_thumb2)]
use super::thumb2::four_rows;

/// Rows that share an activation.
pub(super) const ROWS: usize = 4;

/// What does not fit into registers beside the pointers. The assembly reads it by offset.
#[repr(C)]
pub(super) struct Size {
    columns: usize,
    blocks: usize,
}

/// The sums of all rows.
pub(crate) fn product(weights: &[i8], q: &[i8], sums: &mut [i32]) {
    rows::by_block(weights, q, sums, |weights, q, sums| {
        let size = Size {
            columns: q.len(),
            blocks: sums.len(),
        };
        // SAFETY: `by_block` promises a column, a block, and the weights of all rows of the blocks.
        // The assembly reads `columns` bytes of `q` and as many of each row, and writes each sum.
        unsafe { four_rows(q.as_ptr(), weights.as_ptr(), sums.as_mut_ptr(), &size) };
    });
}
