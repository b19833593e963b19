//! Activations as integers.

use crate::format::{Packing, SMALLEST};
use crate::kernel::dense::{self, dual, int4};
use crate::math::ROUND;

/// Quantizes `x` to integers with one scale, which is returned: `x` is about `scale * q`, `q` in
/// -127..=127, rounded to nearest, ties to even. Vectors below 2^-50 become zero.
///
/// The integers are stored in `q` as [`dense`](super::dense) reads them for weights in `packing`.
#[inline(never)] // its stack is to be free again when the product begins
pub fn quantize(packing: Packing, x: &[f32], q: &mut [u32]) -> f32 {
    let largest = largest(x);
    let (scale, inverse) = if largest < SMALLEST {
        (0.0, 0.0)
    } else {
        (largest / 127.0, 127.0 / largest)
    };
    match packing {
        _ if !dense::is_read(packing) => {}
        Packing::Rows => {
            let q: &mut [i8] = bytemuck::try_cast_slice_mut(q).unwrap_or_default();
            #[cfg(toeplite_mve_float)]
            super::dense::mve_float::quantize(x, inverse, q);
            #[cfg(not(toeplite_mve_float))]
            for (q, x) in q.iter_mut().zip(x) {
                *q = (x * inverse + ROUND).to_bits() as i8;
            }
        }
        Packing::Dual => {
            pairs(x, inverse, q);
        }
        #[cfg(toeplite_mve_float)]
        Packing::Groups => groups_of_bytes(x, inverse, q),
        #[cfg(not(toeplite_mve_float))]
        Packing::Groups => groups::<dense::Groups>(x, inverse, q),
        Packing::Quad => {
            let chunks = q.as_chunks_mut::<{ int4::WORDS }>().0;
            for (x, [words @ .., eight_x]) in x.chunks(int4::COLUMNS).zip(chunks) {
                words.fill(0);
                *eight_x = (8 * pairs(x, inverse, words)).cast_unsigned();
            }
        }
    }
    scale
}

/// Integers in pairs of 16 bits, with zeros up to the end of a group of eight; their sum.
fn pairs(x: &[f32], inverse: f32, q: &mut [u32]) -> i32 {
    let (groups, rest) = x.as_chunks::<{ dual::COLUMNS }>();
    let words = q.as_chunks_mut().0;
    let (whole, last) = words.split_at_mut_checked(groups.len()).unwrap_or_default();
    let mut sum = store(groups, inverse, whole);
    if !rest.is_empty() {
        sum += store_few(rest, inverse, last);
    }
    sum
}

/// Less than a group, zeros after them.
#[inline(never)] // most vectors are whole groups, and need no stack for one
fn store_few(x: &[f32], inverse: f32, q: &mut [[u32; 4]]) -> i32 {
    let mut group = [0.0; dual::COLUMNS];
    group.iter_mut().zip(x).for_each(|(to, x)| *to = *x);
    store(&[group], inverse, q)
}

#[cfg(toeplite_dsp_float)]
use super::dense::dsp_float::store;

/// As far as both slices reach.
#[cfg(not(toeplite_dsp_float))]
#[inline(never)]
fn store(x: &[[f32; dual::COLUMNS]], inverse: f32, q: &mut [[u32; 4]]) -> i32 {
    let mut sum = 0;
    for (x, q) in x.iter().zip(q) {
        let [a, b, c, d, e, f, g, h] = x.map(|x| i32::from((x * inverse + ROUND).to_bits() as i8));
        sum += a + b + c + d + e + f + g + h;
        *q = [[a, b], [c, d], [e, f], [g, h]]
            .map(|[low, high]| low.cast_unsigned() & 0xFFFF | high.cast_unsigned() << 16);
    }
    sum
}

/// For int4 weights: groups of 32, and eight times the sum of each.
#[cfg(not(toeplite_mve_float))]
#[inline(never)] // its stack is to be free again when the product begins
fn groups<A: int4::Activations>(x: &[f32], inverse: f32, q: &mut [u32]) {
    let chunks = q.as_chunks_mut::<{ int4::WORDS }>().0;
    for (x, chunk) in x.chunks(int4::COLUMNS).zip(chunks) {
        let mut integers = [0; int4::COLUMNS];
        for (q, x) in integers.iter_mut().zip(x) {
            *q = i32::from((x * inverse + ROUND).to_bits() as i8);
        }
        int4::store::<A>(&integers, chunk);
    }
}

/// The same in the portable order, by vectors.
#[cfg(toeplite_mve_float)]
fn groups_of_bytes(x: &[f32], inverse: f32, q: &mut [u32]) {
    let chunks = q.as_chunks_mut::<{ int4::WORDS }>().0;
    for (x, [words @ .., eight_x]) in x.chunks(int4::COLUMNS).zip(chunks) {
        let (bytes, _) = words.split_at_mut(8);
        bytes.fill(0);
        let bytes: &mut [i8] = bytemuck::try_cast_slice_mut(bytes).unwrap_or_default();
        dense::mve_float::quantize(x, inverse, bytes);
        let sum: i32 = bytes.iter().map(|q| i32::from(*q)).sum();
        *eight_x = (8 * sum).cast_unsigned();
    }
}

/// The largest magnitude.
fn largest(x: &[f32]) -> f32 {
    #[cfg(toeplite_dsp)]
    let (bits, x) = super::dense::largest_of_eights(x);
    #[cfg(toeplite_mve_float)]
    let (bits, x) = (super::dense::mve_float::largest(x), &[]);
    #[cfg(not(any(toeplite_dsp, toeplite_mve_float)))]
    let bits = 0;
    // of floats without their sign, the bits are in the order of the numbers
    let magnitude = |x: &f32| x.to_bits() & 0x7FFF_FFFF;
    f32::from_bits(x.iter().map(magnitude).fold(bits, u32::max))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn quantization_is_off_by_at_most_half_a_step(x in prop::collection::vec(-1e3f32..1e3, 1..100), e in -40i32..40) {
            let x: Vec<f32> = x.iter().map(|x| libm::ldexpf(*x, e)).collect();
            let mut q = vec![0u32; x.len().div_ceil(4)];
            let scale = quantize(Packing::Rows, &x, &mut q);
            let q = &bytemuck::cast_slice::<u32, i8>(&q)[..x.len()];
            for (x, q) in x.iter().zip(q) {
                prop_assert!(*q >= -127);
                prop_assert!((x - scale * f32::from(*q)).abs() <= scale * 0.500_01 + SMALLEST);
            }
            prop_assert!(scale == 0.0 || q.iter().any(|q| q.unsigned_abs() == 127));
            let mut dual = vec![u32::MAX; Packing::Dual.quantized_words(x.len())];
            prop_assert_eq!(quantize(Packing::Dual, &x, &mut dual), scale);
            let dual: &[i16] = bytemuck::cast_slice(&dual);
            prop_assert_eq!(dual.len() % 8, 0);
            for (i, dual) in dual.iter().enumerate() {
                prop_assert_eq!(*dual, q.get(i).map_or(0, |q| i16::from(*q)));
            }
        }
    }
}
