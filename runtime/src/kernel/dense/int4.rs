//! Weights of four bits, in groups of 32 columns.
//!
//! `weight = row scale * group scale * q`: `q` in -7..=7, the group's scale an integer in 0..=255, the
//! row's a float. A group's products are summed, the sum is multiplied by the group's scale, and those
//! are summed again, all in i32 and exact: `7 * 127 * 32 * 255` for each of at most 256 groups
//! ([`MAX_COLUMNS_I4`](crate::format::MAX_COLUMNS_I4)) is below 2^31. So 4.25 bits a weight.
//!
//! Rows come in blocks of four, and columns in groups; what is beyond the matrix is `q = 0`. Four rows
//! of a group are a *chunk* of 17 words: first the scales, of row `i` in byte `i`, then the weights, in
//! one of two ways.
//!
//! [`Packing::Groups`], the portable one: four words a row, of nibbles `q + 8`. Byte `4 k + m` of a row
//! has column `4 k + m` in its low half and `16 + 4 k + m` in the high one.
//! * With byte vectors a mask and a shift make 32 weights of 16 bytes.
//! * Without, `word >> 4 s & 0x000F000F` has two weights of one row, two columns apart. Multiplied by
//!   a word with both activations, crosswise, `x0 * 2^16 + x1`, it has the sum of both products in its
//!   upper half. Eight such products add up before the lower half, of products that nobody wants,
//!   could carry.
//!
//! [`Packing::Quad`], for DSP instructions: a word has two columns, a 16-bit lane of it four rows,
//! `4096 A + 256 (B + 8) + 16 (C + 8) + (D + 8)`. See `dsp4.rs` for what is done with it.
//!
//! Activations of a group are 17 words, too: 16 for them, as the kernel wants them, and eight times
//! their sum, which is what the 8 in the nibbles adds too much.

use crate::format::Packing;

/// Rows of a chunk.
pub const ROWS: usize = 4;
/// Columns of a group.
pub const COLUMNS: usize = 32;
/// Words of a chunk, and of a group's activations.
pub const WORDS: usize = 17;

/// Four rows of a group.
pub type Chunk = [u32; WORDS];

/// Where in a chunk the weight of a row and a column is: a word and a shift.
pub const fn place(packing: Packing, row: usize, column: usize) -> (usize, u32) {
    match packing {
        Packing::Quad => {
            let shift = 16 * (column % 2) + 4 * (3 - row % ROWS);
            (1 + column % COLUMNS / 2, shift as u32)
        }
        _ => {
            let (high, byte) = (column % COLUMNS / 16, column % 16);
            let shift = 8 * (byte % 4) + 4 * high;
            (1 + 4 * (row % ROWS) + byte / 4, shift as u32)
        }
    }
}

/// The nibble of a weight in -7..=7.
pub const fn nibble(packing: Packing, row: usize, weight: i8) -> u32 {
    match (packing, row % ROWS) {
        (Packing::Quad, 0) => weight as u32 & 15,
        _ => (weight + 8) as u32 & 15,
    }
}

/// A weight of a chunk; -8 is none.
#[inline]
pub const fn weight(packing: Packing, chunk: &Chunk, row: usize, column: usize) -> i32 {
    let (word, shift) = place(packing, row, column);
    let nibble = (chunk[word] >> shift & 15) as i32;
    match (packing, row % ROWS) {
        (Packing::Quad, 0) => (nibble ^ 8) - 8,
        _ => nibble - 8,
    }
}

/// The scale of a chunk's row.
#[inline]
pub const fn scale(chunk: &Chunk, row: usize) -> i32 {
    (chunk[0] >> (8 * (row % ROWS)) & 255) as i32
}

/// The weights of `row` in a matrix of `columns`, times their groups' scales; up to the end of the
/// last group.
pub(crate) fn row(
    packing: Packing,
    matrix: &[i8],
    row: usize,
    columns: usize,
) -> impl Iterator<Item = i32> {
    let groups = columns.div_ceil(COLUMNS);
    let start = (row / ROWS).saturating_mul(groups);
    let chunks = bytemuck::try_cast_slice(matrix).unwrap_or(&[]);
    let chunks = chunks.as_chunks::<WORDS>().0;
    let chunks = chunks.get(start..).unwrap_or(&[]).iter().take(groups);
    chunks.flat_map(move |chunk| {
        (0..COLUMNS).map(move |column| scale(chunk, row) * weight(packing, chunk, row, column))
    })
}

/// The first word of a matrix with a weight that is none, or not zero where the matrix ends.
pub(crate) fn fault(
    packing: Packing,
    matrix: &[u32],
    rows: usize,
    columns: usize,
) -> Option<usize> {
    let groups = columns.div_ceil(COLUMNS).max(1);
    let good = |i: usize, chunk: &Chunk| {
        let (first, start) = (i / groups * ROWS, i % groups * COLUMNS);
        (0..ROWS * COLUMNS).all(|i| {
            let (row, column) = (i / COLUMNS, i % COLUMNS);
            let weight = weight(packing, chunk, row, column);
            let inside = first + row < rows && start + column < columns;
            weight > -8 && (inside || weight == 0)
        })
    };
    let mut chunks = matrix.as_chunks::<WORDS>().0.iter().enumerate();
    let bad = chunks.find(|(i, chunk)| !good(*i, chunk))?;
    Some(bad.0 * WORDS)
}

/// The sums of all rows: `add` adds those of a chunk, with its group's activations.
#[inline(never)] // only models with int4 weights are to take its stack
pub(super) fn product(
    matrix: &[u32],
    q: &[u32],
    sums: &mut [i32],
    add: impl Fn(&Chunk, &Chunk, &mut [i32; ROWS]),
) {
    let q = q.as_chunks::<WORDS>().0;
    if q.is_empty() {
        return; // never: dimensions are checked; it tells the compiler that chunks have a size
    }
    let blocks = matrix.as_chunks::<WORDS>().0.chunks_exact(q.len());
    for (block, sums) in blocks.zip(sums.chunks_mut(ROWS)) {
        let mut rows = [0; ROWS];
        for (chunk, q) in block.iter().zip(q) {
            add(chunk, q, &mut rows);
        }
        sums.iter_mut().zip(rows).for_each(|(to, sum)| *to = sum);
    }
}

/// What does not fit into registers beside the pointers. The assembly of kernels reads it by offset.
#[cfg(any(toeplite_dsp, toeplite_mve))]
#[repr(C)]
pub(super) struct Size {
    groups: usize,
    blocks: usize,
}

/// The sums of all rows by `kernel`, which computes those of every block of its third argument. It is given at
/// least one block, a group, WORDS words of activations for each group and as many of weights for each group
/// of each block.
#[cfg(any(toeplite_dsp, toeplite_mve))]
pub(super) fn by_block(
    matrix: &[u32],
    q: &[u32],
    sums: &mut [i32],
    kernel: impl Fn(&[u32], &[u32], &mut [[i32; ROWS]], &Size),
) {
    let blocks = |matrix: &[u32], sums: &mut [[i32; ROWS]]| {
        let size = Size {
            groups: q.len() / WORDS,
            blocks: sums.len(),
        };
        if size.groups > 0 && size.blocks > 0 && matrix.len() / q.len() >= size.blocks {
            kernel(matrix, q, sums, &size);
        }
    };
    let (whole, rest) = sums.as_chunks_mut::<ROWS>();
    let done = whole.len() * q.len();
    blocks(matrix, whole);
    if !rest.is_empty() {
        let mut last = [[0; ROWS]];
        blocks(matrix.get(done..).unwrap_or(&[]), &mut last);
        for (to, sum) in rest.iter_mut().zip(last.as_flattened()) {
            *to = *sum;
        }
    }
}

/// Scales `dots`, the sums of products with nibbles `q + 8`, and adds them.
#[inline(always)]
fn add_scaled(chunk: &Chunk, eight_x: u32, dots: [i32; ROWS], sums: &mut [i32; ROWS]) {
    for (row, (sum, dot)) in sums.iter_mut().zip(dots).enumerate() {
        let dot = dot.wrapping_sub(eight_x.cast_signed());
        *sum = sum.wrapping_add(scale(chunk, row).wrapping_mul(dot));
    }
}

/// Activations as the kernel of a packing wants them. Each is in -127..=127.
pub trait Activations {
    /// Stores a group's.
    fn store(x: &[i32; COLUMNS], words: &mut [u32; 16]);
    /// Adds the sums of a chunk.
    fn add(chunk: &Chunk, q: &Chunk, sums: &mut [i32; ROWS]);
}

/// Stores a group's, with eight times their sum.
pub(crate) fn store<A: Activations>(x: &[i32; COLUMNS], [words @ .., eight_x]: &mut Chunk) {
    A::store(x, words);
    *eight_x = (8 * x.iter().sum::<i32>()).cast_unsigned();
}

/// Turns the first `columns` bytes of `q` into groups, in place and so from the last one on: groups take more than
/// twice as much.
#[inline(never)] // its stack is to be free again when the product begins
pub(crate) fn group<A: Activations>(columns: usize, q: &mut [u32]) {
    for group in (0..columns.div_ceil(COLUMNS)).rev() {
        let bytes: &[i8] = bytemuck::try_cast_slice(q).unwrap_or(&[]);
        let start = group * COLUMNS;
        let bytes = bytes.get(start..columns.min(start + COLUMNS));
        let mut x = [0; COLUMNS];
        for (x, byte) in x.iter_mut().zip(bytes.unwrap_or(&[])) {
            *x = i32::from(*byte);
        }
        if let Some(chunk) = q.as_chunks_mut().0.get_mut(group) {
            store::<A>(&x, chunk);
        }
    }
}

/// For byte vectors, and plain: [`Packing::Groups`] with 32 bytes, in order.
#[derive(Clone, Copy, Debug)]
pub struct Bytes;

impl Activations for Bytes {
    #[inline(always)]
    fn store(x: &[i32; COLUMNS], words: &mut [u32; 16]) {
        let bytes = bytemuck::bytes_of_mut(words);
        bytes.iter_mut().zip(x).for_each(|(to, x)| *to = *x as u8);
    }

    #[inline(always)]
    fn add(chunk: &Chunk, q: &Chunk, sums: &mut [i32; ROWS]) {
        let [_, weights @ ..] = chunk;
        let [x @ .., eight_x] = q;
        let [low, high, _, _]: &[[i8; 16]; 4] = bytemuck::cast_ref(x);
        let dot = |row: &[u32; 4]| {
            let bytes: &[u8; 16] = bytemuck::cast_ref(row);
            let mut dot = 0;
            for ((w, low), high) in bytes.iter().zip(low).zip(high) {
                dot += i32::from(w & 15) * i32::from(*low) + i32::from(w >> 4) * i32::from(*high);
            }
            dot
        };
        let [a, b, c, d]: &[[u32; 4]; 4] = bytemuck::cast_ref(weights);
        add_scaled(chunk, *eight_x, [a, b, c, d].map(dot), sums);
    }
}

/// For cores without vectors: [`Packing::Groups`] with two activations a word, crosswise.
#[derive(Clone, Copy, Debug)]
pub struct Pairs;

impl Activations for Pairs {
    #[inline(always)]
    fn store(x: &[i32; COLUMNS], words: &mut [u32; 16]) {
        let pair = |x0: i32, x1: i32| ((x0 << 16) + x1).cast_unsigned();
        let (low, high) = x.split_at(16);
        let fours = low.as_chunks::<4>().0.iter().zip(high.as_chunks::<4>().0);
        for (words, ([a, b, c, d], [e, f, g, h])) in words.as_chunks_mut().0.iter_mut().zip(fours) {
            *words = [pair(*a, *c), pair(*e, *g), pair(*b, *d), pair(*f, *h)];
        }
    }

    #[inline(always)]
    fn add(chunk: &Chunk, q: &Chunk, sums: &mut [i32; ROWS]) {
        let [_, weights @ ..] = chunk;
        let [x @ .., eight_x] = q;
        let (x, _) = x.as_chunks::<8>();
        let dot = |row: &[u32; 4]| {
            let (halves, _) = row.as_chunks::<2>();
            let mut dot = 0;
            for (half, x) in halves.iter().zip(x) {
                dot += dot_of_half(half, x);
            }
            dot
        };
        let [a, b, c, d]: &[[u32; 4]; 4] = bytemuck::cast_ref(weights);
        add_scaled(chunk, *eight_x, [a, b, c, d].map(dot), sums);
    }
}

/// 16 columns of a row. The lower half of the sum is at most `8 * 15 * 127 < 2^15` in magnitude: half
/// a unit of the upper one rounds it away.
#[inline(always)]
fn dot_of_half(weights: &[u32; 2], x: &[u32; 8]) -> i32 {
    const MASK: u32 = 0x000F_000F;
    let [v, w] = *weights;
    let [a, b, c, d, e, f, g, h] = *x;
    let sum = [
        (v & MASK, a),
        (v >> 4 & MASK, b),
        (v >> 8 & MASK, c),
        (v >> 12 & MASK, d),
        (w & MASK, e),
        (w >> 4 & MASK, f),
        (w >> 8 & MASK, g),
        (w >> 12 & MASK, h),
    ]
    .iter()
    .fold(0x8000u32, |sum, (w, x)| {
        sum.wrapping_add(w.wrapping_mul(*x))
    });
    sum.cast_signed() >> 16
}

/// For DSP instructions: [`Packing::Quad`] with two activations a word, in order. Here in plain Rust.
#[derive(Clone, Copy, Debug)]
pub struct Lanes;

impl Activations for Lanes {
    #[inline(always)]
    fn store(x: &[i32; COLUMNS], words: &mut [u32; 16]) {
        for (word, [x0, x1]) in words.iter_mut().zip(x.as_chunks::<2>().0) {
            *word = x0.cast_unsigned() & 0xFFFF | x1.cast_unsigned() << 16;
        }
    }

    fn add(chunk: &Chunk, q: &Chunk, sums: &mut [i32; ROWS]) {
        for (row, sum) in sums.iter_mut().enumerate() {
            let mut dot = 0;
            for (i, word) in q.iter().take(16).enumerate() {
                let [x0, x1] = [*word as i16, (*word >> 16) as i16].map(i32::from);
                dot += x0 * weight(Packing::Quad, chunk, row, 2 * i);
                dot += x1 * weight(Packing::Quad, chunk, row, 2 * i + 1);
            }
            *sum += scale(chunk, row) * dot;
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::format::MAX_COLUMNS_I4;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    /// A matrix as words, and its weights times their groups' scales.
    fn packed(packing: Packing, rows: usize, columns: usize, seed: u32) -> (Vec<u32>, Vec<i64>) {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state >> 24
        };
        let groups = columns.div_ceil(COLUMNS);
        let mut words = vec![0; packing.bytes(rows, columns) / 4];
        let mut weights = vec![0; rows * columns];
        for (i, chunk) in words.as_chunks_mut::<WORDS>().0.iter_mut().enumerate() {
            let (first, start) = (i / groups * ROWS, i % groups * COLUMNS);
            for row in 0..ROWS {
                let scale = draw();
                chunk[0] |= scale << (8 * row);
                for column in 0..COLUMNS {
                    let weight = (draw() % 15) as i8 - 7;
                    let inside = first + row < rows && start + column < columns;
                    let weight = if inside { weight } else { 0 };
                    let (word, shift) = place(packing, row, column);
                    chunk[word] |= nibble(packing, row, weight) << shift;
                    if inside {
                        let at = (first + row) * columns + start + column;
                        weights[at] = i64::from(scale) * i64::from(weight);
                    }
                }
            }
        }
        (words, weights)
    }

    fn stored<A: Activations>(x: &[i32]) -> Vec<u32> {
        let mut words = Vec::new();
        for group in x.chunks(COLUMNS) {
            let mut whole = [0; COLUMNS];
            whole[..group.len()].copy_from_slice(group);
            let mut chunk = [0; WORDS];
            store::<A>(&whole, &mut chunk);
            words.extend(chunk);
        }
        words
    }

    /// The same from bytes, in place, where other numbers were before.
    fn grouped<A: Activations>(x: &[i32]) -> Vec<u32> {
        let mut words = vec![u32::MAX; Packing::Groups.quantized_words(x.len())];
        let bytes: &mut [i8] = bytemuck::cast_slice_mut(&mut words);
        bytes.iter_mut().zip(x).for_each(|(to, x)| *to = *x as i8);
        group::<A>(x.len(), &mut words);
        words
    }

    fn sums<A: Activations>(matrix: &[u32], x: &[i32], rows: usize) -> Vec<i64> {
        sums_with::<A>(matrix, &stored::<A>(x), rows)
    }

    fn sums_with<A: Activations>(matrix: &[u32], q: &[u32], rows: usize) -> Vec<i64> {
        let mut sums = vec![-1; rows];
        product(matrix, q, &mut sums, A::add);
        sums.into_iter().map(i64::from).collect()
    }

    proptest! {
        #[test]
        fn all_kernels_give_the_exact_sums(rows in 1usize..10, x in prop::collection::vec(-127i32..=127, 1..150), seed: u32) {
            let columns = x.len();
            let (groups, weights) = packed(Packing::Groups, rows, columns, seed);
            let (quads, same) = packed(Packing::Quad, rows, columns, seed);
            prop_assert_eq!(&weights, &same);
            let exact: Vec<i64> = weights
                .chunks(columns)
                .map(|row| row.iter().zip(&x).map(|(w, x)| w * i64::from(*x)).sum())
                .collect();
            prop_assert_eq!(sums::<Bytes>(&groups, &x, rows), exact.clone());
            prop_assert_eq!(sums::<Pairs>(&groups, &x, rows), exact.clone());
            prop_assert_eq!(sums::<Lanes>(&quads, &x, rows), exact.clone());
            prop_assert_eq!(sums_with::<Bytes>(&groups, &grouped::<Bytes>(&x), rows), exact.clone());
            prop_assert_eq!(sums_with::<Pairs>(&groups, &grouped::<Pairs>(&x), rows), exact);
        }

        #[test]
        fn rows_come_back_and_words_are_without_fault(rows in 1usize..9, columns in 1usize..100, seed: u32) {
            for packing in [Packing::Groups, Packing::Quad] {
                let (words, weights) = packed(packing, rows, columns, seed);
                let bytes: &[i8] = bytemuck::cast_slice(&words);
                for (i, expected) in weights.chunks(columns).enumerate() {
                    let found = row(packing, bytes, i, columns).take(columns).map(i64::from);
                    prop_assert_eq!(found.collect::<Vec<_>>(), expected);
                }
                prop_assert_eq!(row(packing, bytes, rows + 4, columns).count(), 0);
                prop_assert_eq!(fault(packing, &words, rows, columns), None);
            }
        }
    }

    #[test]
    fn the_widest_matrix_of_the_largest_numbers_does_not_overflow() {
        for sign in [1, -1] {
            let x = vec![127 * sign; MAX_COLUMNS_I4];
            let mut chunk = [u32::MAX; WORDS];
            let mut quad = chunk;
            for (row, column) in (0..ROWS).flat_map(|r| (0..COLUMNS).map(move |c| (r, c))) {
                for (packing, chunk) in [(Packing::Groups, &mut chunk), (Packing::Quad, &mut quad)]
                {
                    let (word, shift) = place(packing, row, column);
                    chunk[word] &= !(15 << shift);
                    chunk[word] |= nibble(packing, row, 7) << shift;
                }
            }
            let repeat = |chunk: [u32; WORDS]| chunk.repeat(MAX_COLUMNS_I4 / COLUMNS);
            let exact = vec![7 * 255 * 127 * i64::from(sign) * MAX_COLUMNS_I4 as i64; ROWS];
            assert_eq!(sums::<Bytes>(&repeat(chunk), &x, ROWS), exact);
            assert_eq!(sums::<Pairs>(&repeat(chunk), &x, ROWS), exact);
            assert_eq!(sums::<Lanes>(&repeat(quad), &x, ROWS), exact);
        }
    }

    #[test]
    fn every_nibble_that_is_no_weight_is_found() {
        let (rows, columns) = (5, 37);
        for packing in [Packing::Groups, Packing::Quad] {
            let (mut words, _) = packed(packing, rows, columns, 3);
            for i in 0..words.len() {
                let good = words[i];
                for shift in (0..32).step_by(4).filter(|_| i % WORDS != 0) {
                    let none = [0, 8].map(|nibble| good & !(15 << shift) | nibble << shift);
                    let faults = none.map(|bad| {
                        words[i] = bad;
                        fault(packing, &words, rows, columns)
                    });
                    // -8 is 0 where 8 is added and 8 where it is not: one of them, or both outside
                    let here = Some(i / WORDS * WORDS);
                    assert!(faults.contains(&here), "{packing:?} {i} {shift} {faults:?}");
                    assert!(faults.iter().all(|fault| fault.is_none() || *fault == here));
                }
                words[i] = good;
            }
            assert_eq!(fault(packing, &words, rows, columns), None);
        }
    }
}
