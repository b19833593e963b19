//! Plain Rust for every target. Loops are written so that LLVM vectorizes them where the target
//! has vectors, without changing a bit: float sums keep eight fixed partial sums.

use crate::format::SMALLEST;
use crate::math::ROUND;

/// Partial sums of a float reduction. Element `i` goes to sum `i % 8`.
const LANES: usize = 8;

/// Adds the partial sums, always in this order.
#[inline(always)]
fn total(s: [f32; LANES]) -> f32 {
    let [a, b, c, d, e, f, g, h] = s;
    ((a + e) + (c + g)) + ((b + f) + (d + h))
}

/// Sums `f(i)` over pairs of the two slices with eight partial sums.
#[inline(always)]
fn reduce(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut sums = [0.0; LANES];
    let (x, x_rest) = x.as_chunks::<LANES>();
    let (y, y_rest) = y.as_chunks::<LANES>();
    for (x, y) in x.iter().zip(y) {
        for ((sum, x), y) in sums.iter_mut().zip(x).zip(y) {
            *sum += f(*x, *y);
        }
    }
    for ((sum, x), y) in sums.iter_mut().zip(x_rest).zip(y_rest) {
        *sum += f(*x, *y);
    }
    total(sums)
}

/// `sum x`.
pub fn sum(x: &[f32]) -> f32 {
    reduce(x, x, |x, _| x)
}

/// `sum x^2`.
pub fn sum_of_squares(x: &[f32]) -> f32 {
    reduce(x, x, |x, _| x * x)
}

/// `sum x y`.
#[inline]
pub fn dot_f32(x: &[f32], y: &[f32]) -> f32 {
    reduce(x, y, |x, y| x * y)
}

/// `sum x y` in i32, which at most [`MAX_COLUMNS`](crate::format::MAX_COLUMNS) columns cannot overflow.
#[inline]
pub fn dot_i8(x: &[i8], y: &[i8]) -> i32 {
    x.iter().zip(y).fold(0i32, |sum, (x, y)| {
        sum.wrapping_add(i32::from(*x) * i32::from(*y))
    })
}

/// Quantizes `x` to `q` with one scale, which is returned: `x` is about `scale * q`, `q` in
/// -127..=127, rounded to nearest, ties to even. Vectors below 2^-50 become zero.
pub fn quantize(x: &[f32], q: &mut [i8]) -> f32 {
    // of floats without their sign, the bits are in the order of the numbers
    let magnitude = |x: &f32| x.to_bits() & 0x7FFF_FFFF;
    let largest = f32::from_bits(x.iter().map(magnitude).fold(0, u32::max));
    let (scale, inverse) = if largest < SMALLEST {
        (0.0, 0.0)
    } else {
        (largest / 127.0, 127.0 / largest)
    };
    for (q, x) in q.iter_mut().zip(x) {
        *q = (x * inverse + ROUND).to_bits() as i8;
    }
    scale
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
        fn dot_products_equal_exact_sums(x in prop::collection::vec((-127i8..=127, -127i8..=127), 0..300)) {
            let (a, b): (Vec<i8>, Vec<i8>) = x.iter().copied().unzip();
            let exact: i64 = x.iter().map(|&(a, b)| i64::from(a) * i64::from(b)).sum();
            prop_assert_eq!(i64::from(dot_i8(&a, &b)), exact);
            // small integers: float sums are exact in any order, so the lanes lose nothing
            let f = |x: &[i8]| x.iter().map(|&x| f32::from(x)).collect::<Vec<_>>();
            prop_assert_eq!(f64::from(dot_f32(&f(&a), &f(&b))), exact as f64);
        }

        #[test]
        fn quantization_is_off_by_at_most_half_a_step(x in prop::collection::vec(-1e3f32..1e3, 1..100), e in -40i32..40) {
            let x: Vec<f32> = x.iter().map(|x| libm::ldexpf(*x, e)).collect();
            let mut q = vec![0; x.len()];
            let scale = quantize(&x, &mut q);
            for (x, q) in x.iter().zip(&q) {
                prop_assert!(*q >= -127);
                prop_assert!((x - scale * f32::from(*q)).abs() <= scale * 0.500_01 + SMALLEST);
            }
            prop_assert!(scale == 0.0 || q.iter().any(|q| q.unsigned_abs() == 127));
        }
    }

    #[test]
    fn sum_uses_every_element_at_every_length() {
        for n in 0..40 {
            let x: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            assert_eq!(sum(&x), (n * (n + 1) / 2) as f32);
        }
    }
}
