//! Plain Rust for every target. Loops are written so that LLVM vectorizes them where the target
//! has vectors, without changing a bit: float sums keep eight fixed partial sums.

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

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::kernel::dot_i8;
    use proptest::prelude::*;
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
    }

    #[test]
    fn sum_uses_every_element_at_every_length() {
        for n in 0..40 {
            let x: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            assert_eq!(sum(&x), (n * (n + 1) / 2) as f32);
        }
    }
}
