//! Row-major bytes on cores without vectors, in assembly: four rows at a time, or two tokens.

#![allow(unsafe_code)]

use super::{rows, two};

#[cfg(toeplite_rv32m)]
use super::rv32::{ROWS_OF_TWO, four_rows, two_tokens};
#[cfg(toeplite_thumb1)]
use super::thumb1::{ROWS_OF_TWO, four_rows, two_tokens};
#[cfg(toeplite_thumb2)]
use super::thumb2::{ROWS_OF_TWO, four_rows, two_tokens};

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

/// The sums of all rows with the activations of two tokens. An odd number of columns, or fewer rows
/// than a block has, are products of one token each.
pub(super) fn product_of_two(
    weights: &[i8],
    q: [&[i8]; 2],
    joined: &mut [u32],
    sums: [&mut [i32]; 2],
) {
    let [sums0, sums1] = sums;
    let done = two::pack(q, joined).is_some_and(|packed| {
        let sums = [&mut *sums0, &mut *sums1];
        rows::by_block_of_two::<ROWS_OF_TWO>(weights, packed.len(), sums, |weights, sums| {
            let size = two::Size {
                columns: packed.len(),
                blocks: sums[0].len(),
                sums: sums.map(|sums| sums.as_mut_ptr().cast()),
            };
            // SAFETY: `by_block_of_two` promises columns, and of each token as many blocks of sums, whose
            // rows' weights are there; `pack` gives an even number of columns. The assembly reads `columns`
            // words of `packed` and as many bytes of each row, and writes each sum.
            unsafe { two_tokens(packed.as_ptr(), weights.as_ptr(), &size) };
        })
    });
    if !done {
        for (q, sums) in q.into_iter().zip([sums0, sums1]) {
            product(weights, q, sums);
        }
    }
}
