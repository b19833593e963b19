//! Activations as integers.

use crate::format::{Packing, SMALLEST};
use crate::kernel::dense::int4::{self, Activations};
use crate::kernel::dense::{self, dual};
use crate::math::ROUND;

/// Quantizes `x` to integers with one scale, which is returned: `x` is about `scale * q`, `q` in
/// -127..=127, rounded to nearest, ties to even. Vectors below 2^-50 become zero.
///
/// The integers are stored in `q` as [`dense`](super::dense) reads them for weights in `packing`.
pub fn quantize(packing: Packing, x: &[f32], q: &mut [u32]) -> f32 {
    let largest = largest(x);
    let (scale, inverse) = if largest < SMALLEST {
        (0.0, 0.0)
    } else {
        (largest / 127.0, 127.0 / largest)
    };
    let integer = |x: f32| (x * inverse + ROUND).to_bits();
    match packing {
        Packing::Rows => {
            let q: &mut [i8] = bytemuck::try_cast_slice_mut(q).unwrap_or_default();
            #[cfg(toeplite_mve_float)]
            super::dense::mve_float::quantize(x, inverse, q);
            #[cfg(not(toeplite_mve_float))]
            for (q, x) in q.iter_mut().zip(x) {
                *q = integer(*x) as i8;
            }
        }
        Packing::Dual => {
            let (groups, rest) = x.as_chunks::<{ dual::COLUMNS }>();
            let mut words = q.as_chunks_mut().0.iter_mut();
            let pairs = |x: &[f32; dual::COLUMNS]| {
                let [a, b, c, d, e, f, g, h] = *x;
                [[a, b], [c, d], [e, f], [g, h]]
                    .map(|[low, high]| integer(low) & 0xFFFF | integer(high) << 16)
            };
            for (group, words) in groups.iter().zip(&mut words) {
                *words = pairs(group);
            }
            if let (false, Some(words)) = (rest.is_empty(), words.next()) {
                let mut group = [0.0; dual::COLUMNS];
                group.iter_mut().zip(rest).for_each(|(to, x)| *to = *x);
                *words = pairs(&group);
            }
        }
        Packing::Groups => groups::<dense::Groups>(x, inverse, q),
        Packing::Quad => groups::<int4::Lanes>(x, inverse, q),
    }
    scale
}

/// For int4 weights: groups of 32, and eight times the sum of each.
#[inline(always)]
fn groups<A: Activations>(x: &[f32], inverse: f32, q: &mut [u32]) {
    let (groups, rest) = x.as_chunks::<{ int4::COLUMNS }>();
    let mut chunks = q.as_chunks_mut::<{ int4::WORDS }>().0.iter_mut();
    let group = |x: &[f32; int4::COLUMNS], [words @ .., eight_x]: &mut int4::Chunk| {
        let integers = x.map(|x| i32::from((x * inverse + ROUND).to_bits() as i8));
        A::store(&integers, words);
        *eight_x = (8 * integers.iter().sum::<i32>()).cast_unsigned();
    };
    for (x, chunk) in groups.iter().zip(&mut chunks) {
        group(x, chunk);
    }
    if let (false, Some(chunk)) = (rest.is_empty(), chunks.next()) {
        let mut last = [0.0; int4::COLUMNS];
        last.iter_mut().zip(rest).for_each(|(to, x)| *to = *x);
        group(&last, chunk);
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
