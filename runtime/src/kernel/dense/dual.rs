//! Order `dual`: two rows in the lanes of one word, for cores that multiply two pairs of 16 bits and
//! add both products in one instruction (`smlad` of Armv7E-M).
//!
//! A 16-bit lane holds `256 * A + B`, the weights of two rows in one column. A word is two such lanes,
//! of two columns. `smlad` on the word as it is sums `256 A + B`; with the low bytes of both lanes
//! (`sxtb16`) it sums B. So one extraction serves four multiplications, where plain bytes need one for
//! two. The sums of A are `(S - SB) >> 8`, of wrapping numbers: exact while they are below 2^23 in
//! magnitude, which [`CHUNK`] columns cannot exceed. Longer rows are summed in parts.
//!
//! Rows come in blocks of four, columns in groups of eight; what is beyond the matrix is zero. A
//! block is, for every two columns `c` and `c + 1`, one word of rows 0 and 1 and one of rows 2 and 3:
//!
//! ```text
//! word 0: 256 * w[0, c] + w[1, c], 256 * w[0, c+1] + w[1, c+1]     (low half, high half)
//! word 1: 256 * w[2, c] + w[3, c], 256 * w[2, c+1] + w[3, c+1]
//! ```

use crate::format::Packing;

/// Rows of a block.
pub const ROWS: usize = 4;
/// Columns of a group.
pub const COLUMNS: usize = 8;
/// Most columns that are summed at a time: `127 * 127 * 512 < 2^23`.
pub const CHUNK: usize = 512;

/// Where the weight of `row` and `column` lies in a matrix of `columns`: the index of the lane, and
/// whether it is the lane's A.
#[inline]
pub const fn place(row: usize, column: usize, columns: usize) -> (usize, bool) {
    let block = row / ROWS * ROWS / 2 * columns.next_multiple_of(COLUMNS);
    let pair = row % ROWS / 2;
    let lane = block + 2 * (column / 2 * 2 + pair) + column % 2;
    (lane, row.is_multiple_of(2))
}

/// The lane of two weights.
pub const fn lane(a: i8, b: i8) -> i16 {
    256 * (a as i16) + b as i16
}

/// The two weights of a lane. A lane that is no [`lane`] may give an A of 128.
#[inline]
pub const fn weights(lane: i16) -> [i32; 2] {
    let b = lane as i8 as i32;
    [(lane as i32 - b) >> 8, b]
}

/// The weights of `row` in a matrix of `columns`; more than there are columns, if those are odd.
pub(crate) fn row(matrix: &[i8], row: usize, columns: usize) -> impl Iterator<Item = i32> {
    let lanes: &[i16] = bytemuck::try_cast_slice(matrix).unwrap_or(&[]);
    let (start, is_a) = place(row, 0, columns);
    let end = start.saturating_add(2 * columns);
    let lanes = lanes.get(start..).unwrap_or(&[]);
    let lanes = lanes.get(..end - start).unwrap_or(lanes);
    // of every four lanes, the first two are this pair of rows'
    lanes.chunks(4).flat_map(move |lanes| {
        let weight = |lane: &i16| {
            let [a, b] = weights(*lane);
            if is_a { a } else { b }
        };
        [lanes.first(), lanes.get(1)].map(|lane| lane.map_or(0, weight))
    })
}

/// The sums of all rows by plain Rust: what kernels for single cores must compute.
pub fn product(weights: &[u32], q: &[u32], sums: &mut [i32]) {
    // two words for every pair of columns
    let words = 2 * q.len();
    if words == 0 {
        return; // never: dimensions are checked; it tells the compiler that chunks have a size
    }
    for (block, sums) in weights.chunks_exact(words).zip(sums.chunks_mut(ROWS)) {
        let mut rows = [0i32; ROWS];
        for ([w0, w1], q) in block.as_chunks::<2>().0.iter().zip(q) {
            let [a, b] = multiply(*w0, *q);
            let [c, d] = multiply(*w1, *q);
            for (sum, product) in rows.iter_mut().zip([a, b, c, d]) {
                *sum = sum.wrapping_add(product);
            }
        }
        for (to, sum) in sums.iter_mut().zip(rows) {
            *to = sum;
        }
    }
}

/// What a word adds to the sums of its two rows.
#[inline(always)]
fn multiply(word: u32, q: u32) -> [i32; 2] {
    let [q0, q1] = [q as i16, (q >> 16) as i16].map(i32::from);
    let [a0, b0] = weights(word as i16);
    let [a1, b1] = weights((word >> 16) as i16);
    [a0 * q0 + a1 * q1, b0 * q0 + b1 * q1]
}

/// Whether the lanes of a matrix hold weights in -127..=127, and zeros beyond it: the first lane that
/// does not.
pub(crate) fn fault(lanes: &[i16], rows: usize, columns: usize) -> Option<usize> {
    let lanes_of_block = Packing::Dual.bytes(ROWS, columns) / 2;
    if lanes_of_block == 0 {
        return None; // never: dimensions are checked
    }
    let faulty = |(i, lane): (usize, &i16)| {
        let row = i / lanes_of_block * ROWS + i % 4 / 2 * 2;
        let column = i % lanes_of_block / 4 * 2 + i % 2;
        let inside = |row: usize| row < rows && column < columns;
        let ok = |weight: i32, row| match inside(row) {
            true => (-127..=127).contains(&weight),
            false => weight == 0,
        };
        let [a, b] = weights(*lane);
        !(ok(a, row) && ok(b, row + 1))
    };
    lanes.iter().enumerate().position(faulty)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernel::{dot_i8, quantize};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// A matrix as words, and its rows.
    fn packed(rows: usize, columns: usize, seed: u32) -> (Vec<u32>, Vec<Vec<i8>>) {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((state >> 24) as i8).max(-127)
        };
        let matrix: Vec<Vec<i8>> = (0..rows)
            .map(|_| (0..columns).map(|_| draw()).collect())
            .collect();
        let mut words = vec![0u32; Packing::Dual.bytes(rows, columns) / 4];
        let lanes: &mut [i16] = bytemuck::cast_slice_mut(&mut words);
        for (row, weights) in matrix.iter().enumerate() {
            for (column, &weight) in weights.iter().enumerate() {
                let (at, is_a) = place(row, column, columns);
                let [a, b] = if is_a { [weight, 0] } else { [0, weight] };
                lanes[at] += lane(a, b);
            }
        }
        (words, matrix)
    }

    proptest! {
        #[test]
        fn products_are_those_of_the_rows(rows in 1usize..14, columns in 1usize..600, seed: u32) {
            let (words, matrix) = packed(rows, columns, seed);
            let x: Vec<f32> = matrix[rows - 1].iter().rev().map(|w| f32::from(*w) * 0.37).collect();
            let mut bytes = vec![0; Packing::Rows.quantized_words(columns)];
            quantize(Packing::Rows, &x, &mut bytes);
            let bytes = &bytemuck::cast_slice(&bytes)[..columns];
            let mut q = vec![u32::MAX; Packing::Dual.quantized_words(columns)];
            quantize(Packing::Dual, &x, &mut q);
            let mut sums = vec![-1; rows];
            product(&words, &q, &mut sums);
            let expected: Vec<i32> = matrix.iter().map(|row| dot_i8(row, bytes)).collect();
            prop_assert_eq!(sums, expected);
        }

        #[test]
        fn rows_come_back_and_lanes_are_without_fault(rows in 1usize..9, columns in 1usize..40, seed: u32) {
            let (words, matrix) = packed(rows, columns, seed);
            let bytes: &[i8] = bytemuck::cast_slice(&words);
            for (i, expected) in matrix.iter().enumerate() {
                let found: Vec<i32> = row(bytes, i, columns).take(columns).collect();
                let expected: Vec<i32> = expected.iter().map(|w| i32::from(*w)).collect();
                prop_assert_eq!(found, expected);
            }
            prop_assert_eq!(row(bytes, rows + 4, columns).count(), 0);
            prop_assert_eq!(fault(bytemuck::cast_slice(&words), rows, columns), None);
        }
    }

    #[test]
    fn every_lane_of_another_weight_is_found() {
        let (rows, columns) = (5, 11);
        let (mut words, _) = packed(rows, columns, 3);
        let lanes: &mut [i16] = bytemuck::cast_slice_mut(&mut words);
        let inside = |at| {
            let all = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
            let here = all.filter(|&(row, column)| place(row, column, columns).0 == at);
            here.map(|(row, _)| row % 2)
                .fold(0, |both, half| both | 1 << half)
        };
        for at in 0..lanes.len() {
            let good = lanes[at];
            // as A and as B: where there are weights, -128 is none; elsewhere only zero is
            let [bad_a, bad_b] = [0, 1].map(|half| match inside(at) >> half & 1 {
                1 => -128,
                _ => 1,
            });
            let [a, b] = weights(good);
            for bad in [256 * bad_a + b, 256 * a + bad_b] {
                lanes[at] = bad as i16;
                assert_eq!(fault(lanes, rows, columns), Some(at), "{bad}");
            }
            lanes[at] = good;
            assert_eq!(fault(lanes, rows, columns), None);
        }
    }
}
