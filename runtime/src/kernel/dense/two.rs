//! Products of a matrix with the activations of two tokens, for prefill: weights are loaded, and taken
//! apart, once for both. The sums are those of [`product`](super::product), exact, one token's after the other.
//!
//! | order, type | activations of both | instructions a multiplication at 256x256, one by one and two at once |
//! | --- | --- | --- |
//! | portable, int8: MVE | as they are | .164, .141 |
//! | portable, int8: M0, M3, RV32 | packed, see `pack`: one multiplication serves both tokens | 3.56, 2.71; 2.33, 1.72; 3.36, 2.46 |
//! | dual, int8: DSP | word by word | .890, .784 |
//! | portable, int4: MVE | group by group | .307, .237 |
//! | dual, int4: DSP | word by word | 1.148, .988 |
//!
//! Where there is no kernel for two, each token's product is computed on its own: on a host, for int4
//! weights on cores without DSP instructions or vectors, for shapes that kernels do not take.

use super::product as product_of_one;
use crate::format::Packing;

/// What kernels that are told by address where the sums go read beside the pointers, by offset.
#[cfg(any(
    toeplite_thumb1,
    toeplite_thumb2,
    toeplite_rv32m,
    all(toeplite_mve, feature = "int4")
))]
#[repr(C)]
pub(super) struct Size {
    /// Columns, or groups of them.
    pub columns: usize,
    /// Blocks of rows, at least one.
    pub blocks: usize,
    /// Where the sums of each token go.
    pub sums: [*mut i32; 2],
}

/// Rows from which on activations of int4 weights are joined: that takes some 200 instructions a group, and four
/// rows of a group then take 21 fewer (rows `product int4 ...` of `cargo xtask bench`).
#[cfg(all(toeplite_mve, feature = "int4"))]
const GROUPS_ROWS: usize = 40;

/// [`product`](super::product) of the activations of two tokens. `joined` is for both as kernels read
/// them, `joined_words` of the packing.
pub(crate) fn product(
    packing: Packing,
    weights: &[i8],
    columns: usize,
    q: [&[u32]; 2],
    joined: &mut [u32],
    sums: [&mut [i32]; 2],
) {
    let words = packing.quantized_words(columns);
    let [Some(q0), Some(q1)] = q.map(|q| q.get(..words)) else {
        return;
    };
    match packing {
        Packing::Rows => {
            let bytes = |q| bytemuck::try_cast_slice(q).unwrap_or(&[]);
            if let [Some(q0), Some(q1)] = [q0, q1].map(|q| bytes(q).get(..columns)) {
                portable(weights, [q0, q1], joined, sums);
            }
        }
        #[cfg(toeplite_dsp)]
        Packing::Dual if columns <= super::dual::CHUNK => {
            let weights = bytemuck::try_cast_slice(weights).unwrap_or(&[]);
            super::dsp_two::product(weights, interleave([q0, q1], joined), sums);
        }
        #[cfg(all(toeplite_dsp, feature = "int4"))]
        Packing::Quad => {
            let weights = bytemuck::try_cast_slice(weights).unwrap_or(&[]);
            super::dsp4_two::product(weights, interleave([q0, q1], joined), sums);
        }
        #[cfg(all(toeplite_mve, feature = "int4"))]
        Packing::Groups if sums.iter().all(|sums| sums.len() >= GROUPS_ROWS) => {
            let weights = bytemuck::try_cast_slice(weights).unwrap_or(&[]);
            super::mve4_two::product(weights, join_groups([q0, q1], joined), sums);
        }
        _ => {
            for (q, sums) in [q0, q1].into_iter().zip(sums) {
                product_of_one(packing, weights, columns, q, sums);
            }
        }
    }
}

/// The sums of row-major bytes.
fn portable(weights: &[i8], q: [&[i8]; 2], joined: &mut [u32], sums: [&mut [i32]; 2]) {
    #[cfg(any(toeplite_thumb1, toeplite_thumb2, toeplite_rv32m))]
    super::scalar::product_of_two(weights, q, joined, sums);
    #[cfg(toeplite_mve)]
    super::mve_two::product(weights, q, sums);
    #[cfg(not(any(toeplite_mve, toeplite_thumb1, toeplite_thumb2, toeplite_rv32m)))]
    for (q, sums) in q.into_iter().zip(sums) {
        super::portable(weights, q, sums);
    }
    #[cfg(not(any(toeplite_thumb1, toeplite_thumb2, toeplite_rv32m)))]
    let _ = joined;
}

/// A word of each by turns.
#[cfg(any(toeplite_dsp, test))]
fn interleave<'j>([q0, q1]: [&[u32]; 2], joined: &'j mut [u32]) -> &'j [u32] {
    let twos = joined.as_chunks_mut::<2>().0;
    for ((two, q0), q1) in twos.iter_mut().zip(q0).zip(q1) {
        *two = [*q0, *q1];
    }
    joined.get(..2 * q0.len()).unwrap_or_default()
}

/// A group of each by turns, with eight times its sum negated: what the kernel's sums begin with.
#[cfg(any(all(toeplite_mve, feature = "int4"), test))]
fn join_groups<'j>([q0, q1]: [&[u32]; 2], joined: &'j mut [u32]) -> &'j [u32] {
    use super::int4::WORDS;
    let groups = q0
        .as_chunks::<WORDS>()
        .0
        .iter()
        .zip(q1.as_chunks::<WORDS>().0);
    let twos = joined.as_chunks_mut::<{ 2 * WORDS }>().0;
    for (two, (q0, q1)) in twos.iter_mut().zip(groups) {
        for (to, from) in two.as_chunks_mut::<WORDS>().0.iter_mut().zip([q0, q1]) {
            *to = *from;
            if let Some(eight_x) = to.last_mut() {
                *eight_x = eight_x.wrapping_neg();
            }
        }
    }
    joined.get(..2 * q0.len()).unwrap_or_default()
}

/// The sums of int4 weights by `kernel`, for blocks of four rows, at least one, and groups, at least one. It
/// is given the weights of all of them, the joined activations, and where the sums of each token go.
#[cfg(all(feature = "int4", any(toeplite_dsp, toeplite_mve)))]
pub(super) fn by_block_of_four(
    weights: &[u32],
    joined: &[u32],
    [sums0, sums1]: [&mut [i32]; 2],
    kernel: impl Fn(&[u32], &[u32], [*mut i32; 2], usize),
) {
    use super::int4::{ROWS, WORDS};
    let words = joined.len() / 2;
    let rows = sums0.len();
    let fits = words != 0 && words.is_multiple_of(WORDS) && sums1.len() == rows;
    if !fits || weights.len() / words < rows.div_ceil(ROWS) {
        return;
    }
    let ((whole0, rest0), (whole1, rest1)) =
        (sums0.as_chunks_mut::<ROWS>(), sums1.as_chunks_mut::<ROWS>());
    let blocks = whole0.len();
    if blocks != 0 {
        let sums = [whole0, whole1].map(|sums| sums.as_mut_ptr().cast());
        kernel(weights, joined, sums, blocks);
    }
    if !rest0.is_empty() {
        let (mut last0, mut last1) = ([0; ROWS], [0; ROWS]);
        let weights = weights.get(blocks * words..).unwrap_or(&[]);
        kernel(
            weights,
            joined,
            [&mut last0, &mut last1].map(|sums| sums.as_mut_ptr()),
            1,
        );
        for (to, from) in [(rest0, last0), (rest1, last1)] {
            to.iter_mut().zip(from).for_each(|(to, from)| *to = from);
        }
    }
}

/// Two activations in one number, `x0 * 2^16 + x1`, whose product with a weight has both products.
///
/// Two columns add up to `s = H * 2^16 + L` with `|L| <= 2 * 127 * 127 < 2^15`. So `(s + 2^15) >> 16` is H, to
/// be added to the first token's sum; and of all `s`, added up and wrapping, that sum times
/// 2^16 leaves the second token's. [`packed_sums`] is that in plain Rust. `None` if columns are odd or `joined` is
/// too short.
#[cfg(any(toeplite_thumb1, toeplite_thumb2, toeplite_rv32m, test))]
pub(super) fn pack<'j>([q0, q1]: [&[i8]; 2], joined: &'j mut [u32]) -> Option<&'j [u32]> {
    let columns = q0.len().min(q1.len());
    let packed = joined
        .get_mut(..columns)
        .filter(|_| columns.is_multiple_of(2))?;
    for ((to, x0), x1) in packed.iter_mut().zip(q0).zip(q1) {
        *to = ((i32::from(*x0) << 16) + i32::from(*x1)).cast_unsigned();
    }
    Some(packed)
}

/// The sums of a row with [packed](pack) activations in plain Rust: what kernels for single cores
/// must compute.
#[cfg(test)]
fn packed_sums(weights: &[i8], packed: &[u32]) -> [i32; 2] {
    let (mut all, mut first) = (0i32, 0i32);
    for (w, x) in weights.chunks_exact(2).zip(packed.chunks_exact(2)) {
        let products = w.iter().zip(x);
        let s: i32 = products.map(|(w, x)| i32::from(*w) * x.cast_signed()).sum();
        all = all.wrapping_add(s);
        first += (s + (1 << 15)) >> 16;
    }
    [first, all.wrapping_sub(first << 16)]
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernel::dense::dual;
    use crate::kernel::{dot_i8, quantize};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn packed_activations_have_both_sums(columns in prop::collection::vec((-127i8..=127, -127i8..=127, -127i8..=127), 1..200)) {
            let columns = columns.split_at(columns.len() / 2 * 2).0;
            let part = |f: fn(&(i8, i8, i8)) -> i8| columns.iter().map(f).collect::<Vec<_>>();
            let (w, q0, q1) = (part(|c| c.0), part(|c| c.1), part(|c| c.2));
            let mut joined = vec![7; columns.len()];
            let packed = pack([&q0, &q1], &mut joined).unwrap();
            prop_assert_eq!(packed_sums(&w, packed), [dot_i8(&w, &q0), dot_i8(&w, &q1)]);
        }

        /// Whatever the packing, the joined activations have room and the sums are those of one by one.
        #[test]
        fn two_at_once_are_one_by_one(rows in 1usize..14, columns in 1usize..90, seed: u32) {
            let mut state = seed;
            let mut draw = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as i16
            };
            let weights: Vec<i8> = (0..rows * columns).map(|_| (draw() >> 8).max(-127) as i8).collect();
            let mut lanes = vec![0i16; Packing::Dual.bytes(rows, columns) / 2];
            for (i, w) in weights.iter().enumerate() {
                let (lane, is_a) = dual::place(i / columns, i % columns, columns);
                lanes[lane] += if is_a { dual::lane(*w, 0) } else { dual::lane(0, *w) };
            }
            let x = [(); 2].map(|()| (0..columns).map(|_| f32::from(draw())).collect::<Vec<_>>());
            for (packing, weights) in [(Packing::Rows, &weights[..]), (Packing::Dual, bytemuck::cast_slice(&lanes))] {
                let q = [&x[0], &x[1]].map(|x| {
                    let mut q = vec![0; packing.quantized_words(columns)];
                    quantize(packing, x, &mut q);
                    q
                });
                let one = [&q[0], &q[1]].map(|q| {
                    let mut sums = vec![1; rows];
                    product_of_one(packing, weights, columns, q, &mut sums);
                    sums
                });
                let mut two = [vec![2; rows], vec![3; rows]];
                let [a, b] = &mut two;
                let mut joined = vec![9; packing.joined_words(columns)];
                product(packing, weights, columns, [&q[0], &q[1]], &mut joined, [a, b]);
                prop_assert_eq!(one, two);
            }
        }
    }

    #[test]
    fn the_largest_numbers_fit_the_halves() {
        for (w, x0, x1) in [
            (127, 127, 127),
            (-127, 127, 127),
            (127, -127, 127),
            (127, 127, -127),
        ] {
            let (w, q0, q1) = (vec![w; 4096], vec![x0; 4096], vec![x1; 4096]);
            let mut joined = vec![0; 4096];
            let packed = pack([&q0, &q1], &mut joined).unwrap();
            assert_eq!(packed_sums(&w, packed), [dot_i8(&w, &q0), dot_i8(&w, &q1)]);
        }
    }

    #[test]
    fn groups_and_words_take_turns() {
        let (a, b): (Vec<u32>, Vec<u32>) = ((0..34).collect(), (100..134).collect());
        let mut joined = vec![0; 70];
        let words = interleave([&a, &b], &mut joined);
        assert_eq!(
            (words[4], words[5], words[67], words.len()),
            (2, 102, 133, 68)
        );
        let words = join_groups([&a, &b], &mut joined);
        assert_eq!(
            [words[0], words[15], words[17], words[32]],
            [0, 15, 100, 115]
        );
        let negated = [words[16], words[33], words[50]].map(u32::cast_signed);
        assert_eq!(
            (negated, words[34], words.len()),
            ([-16, -116, -33], 17, 68)
        );
    }
}
