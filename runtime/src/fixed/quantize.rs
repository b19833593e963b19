//! Inputs of matrices: signed bytes and a factor.

use super::number::{Factor, bits, ratio, scale64, shift};
use crate::model::Norm;

/// Places after the point of what [`normalize`] leaves.
pub(super) const NORMAL_PLACES: i32 = 30;

/// `1e-5 * 2^47`.
const EPSILON: u64 = 1_407_374_884;

/// Division of a sum over `width` numbers by their count.
#[derive(Clone, Copy, Debug)]
pub struct Mean {
    bits: u32,
    reciprocal: i64,
}

impl Mean {
    /// The mean of `width` numbers, at most 2^17.
    pub fn over(width: usize) -> Self {
        let bits = bits(width as u32) as u32;
        let reciprocal = (1u64 << (31 + bits)).checked_div(width as u64).unwrap_or(0);
        Self {
            bits,
            reciprocal: reciprocal as i64,
        }
    }

    /// Subtracts the mean of `x` from it.
    fn center(&self, x: &mut [i32]) {
        let sum = x.iter().fold(0i64, |sum, x| sum + i64::from(*x));
        let mean = (((sum >> self.bits) * self.reciprocal) >> 31) as i32;
        x.iter_mut().for_each(|x| *x = x.saturating_sub(mean));
    }
}

/// Quantizes `x`, which has `fraction` places after the point, to the bytes of `q` after `norm`. Only
/// LayerNorm changes `x`.
pub(super) fn quantize(
    norm: Norm,
    mean: &Mean,
    fraction: i32,
    x: &mut [i32],
    q: &mut [u32],
) -> Factor {
    if norm == Norm::Layer {
        mean.center(x);
    }
    let largest = x.iter().fold(1, |most, x| most.max((x ^ (x >> 31)) as u32));
    let places = bits(largest) - 15;
    let (up, down) = (places.min(0).unsigned_abs(), places.max(0) as u32);
    // small numbers are made large in place and back again, to have one shift less in the loops
    if up > 0 {
        x.iter_mut().for_each(|x| *x <<= up);
    }
    let q = bytemuck::try_cast_slice_mut(q).unwrap_or_default();
    let factor = quantize_large(norm, fraction, (largest << up) >> down, places, x, q);
    if up > 0 {
        x.iter_mut().for_each(|x| *x >>= up);
    }
    factor
}

/// The same for numbers of at least 15 bits. Before they were made so, the largest had 15 + `places`; it
/// is now `largest`, without its low places.
fn quantize_large(
    norm: Norm,
    fraction: i32,
    largest: u32,
    places: i32,
    x: &[i32],
    q: &mut [i8],
) -> Factor {
    let down = places.max(0) as u32;
    let factor = match norm {
        Norm::None | Norm::GatedRms => Factor {
            mantissa: largest,
            exponent: places,
        },
        Norm::SimpleRms | Norm::Rms | Norm::Scale | Norm::Layer => {
            let epsilon = epsilon(norm, x.len(), fraction - places);
            Factor::of_root(largest, squares(x, down).saturating_add(epsilon))
        }
    };
    let inverse = ratio(127 << 23, largest) as i32;
    for (q, x) in q.iter_mut().zip(x) {
        *q = (((x >> down) * inverse + (1 << 22)) >> 23) as i8;
    }
    factor
}

/// What the norm adds to the sum of squares of `width` numbers with `places` after the point.
fn epsilon(norm: Norm, width: usize, places: i32) -> u64 {
    let epsilon = match norm {
        Norm::Scale | Norm::Layer => EPSILON * width as u64,
        _ => 0,
    };
    scale64(epsilon, 2 * places - 47)
}

/// Makes `norm` of the numbers of `x`, which have `fraction` places after the point: in [`NORMAL_PLACES`], at most 1 in magnitude. Not
/// for [`Norm::None`], which has no such limit.
pub(super) fn normalize(norm: Norm, mean: &Mean, fraction: i32, x: &mut [i32]) {
    if norm == Norm::Layer {
        mean.center(x);
    }
    let largest = x.iter().fold(1, |most, x| most.max((x ^ (x >> 31)) as u32));
    let places = bits(largest) - 15;
    // to 15 bits
    x.iter_mut().for_each(|x| *x = shift(*x, places, i32::MAX));
    let largest = scale64(largest.into(), -places) as u32;
    let square = squares(x, 0).saturating_add(epsilon(norm, x.len(), fraction - places));
    let factor = Factor::of_root(largest, square);
    // of each number: the factor is that of the largest
    let share = ratio(factor.mantissa << 15, largest) as i32;
    let down = 15 - factor.exponent - NORMAL_PLACES;
    x.iter_mut()
        .for_each(|x| *x = shift(*x * share, down, 1 << NORMAL_PLACES));
}

fn squares(x: &[i32], down: u32) -> u64 {
    x.iter().fold(0, |sum, x| {
        let x = x >> down;
        sum + u64::from((x * x) as u32)
    })
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    const NORMS: [Norm; 5] = [
        Norm::None,
        Norm::SimpleRms,
        Norm::Rms,
        Norm::Scale,
        Norm::Layer,
    ];

    fn run(norm: Norm, fraction: i32, x: &[i32]) -> Vec<f64> {
        let mut x = x.to_vec();
        let mut q = vec![0; x.len().div_ceil(4)];
        let factor = quantize(norm, &Mean::over(x.len()), fraction, &mut x, &mut q);
        let q = &bytemuck::cast_slice::<_, i8>(&q)[..x.len()];
        let scale = libm::ldexp(f64::from(factor.mantissa), factor.exponent) / 127.0;
        assert!(factor.mantissa < 1 << 15);
        assert!(q.iter().all(|q| *q > -128));
        q.iter().map(|q| f64::from(*q) * scale).collect()
    }

    fn exact(norm: Norm, fraction: i32, x: &[i32]) -> Vec<f64> {
        let unit = libm::ldexp(1.0, -fraction);
        let n = x.len() as f64;
        let x: Vec<f64> = x.iter().map(|x| f64::from(*x)).collect();
        let mean = if norm == Norm::Layer {
            x.iter().sum::<f64>() / n
        } else {
            0.0
        };
        let squares: f64 = x.iter().map(|x| (x - mean) * (x - mean)).sum();
        let factor = match norm {
            Norm::None => 1.0,
            Norm::SimpleRms | Norm::Rms => 1.0 / libm::sqrt(squares),
            _ => 1.0 / libm::sqrt(squares + 1e-5 * n / (unit * unit)),
        };
        x.iter().map(|x| (x - mean) * factor).collect()
    }

    proptest! {
        #[test]
        fn close_to_the_norm_in_floats(x in prop::collection::vec(-1_000_000i32..1_000_000, 2..200), up in 0..10u32, fraction in 0i32..30) {
            let x: Vec<i32> = x.iter().map(|x| x << up).collect();
            for norm in NORMS {
                let (found, exact) = (run(norm, fraction, &x), exact(norm, fraction, &x));
                let largest = exact.iter().fold(0f64, |m, x| m.max(x.abs()));
                for (a, b) in found.iter().zip(&exact) {
                    prop_assert!((a - b).abs() <= largest * 0.0045 + 1e-6, "{:?}: {} {}", norm, a, b);
                }
            }
        }

        #[test]
        fn normal_numbers_are_those_of_the_norm(x in prop::collection::vec(-1_000_000i32..1_000_000, 2..200), up in 0..10u32, down in 0..18u32, fraction in 0i32..30) {
            let x: Vec<i32> = x.iter().map(|x| x << up >> down).collect();
            for norm in NORMS.into_iter().filter(|norm| *norm != Norm::None) {
                let mut found = x.clone();
                normalize(norm, &Mean::over(x.len()), fraction, &mut found);
                // a mean that is a whole number is off by less than two
                let mean = x.iter().map(|x| f64::from(*x)).sum::<f64>() / x.len() as f64;
                let largest = x.iter().fold(1f64, |most, x| most.max((f64::from(*x) - mean).abs()));
                let tolerance = 2e-4 + if norm == Norm::Layer { 2.0 / largest } else { 0.0 };
                for (a, b) in found.iter().zip(exact(norm, fraction, &x)) {
                    let a = libm::ldexp(f64::from(*a), -NORMAL_PLACES);
                    prop_assert!((a - b).abs() <= tolerance || !b.is_finite(), "{:?}: {} {}", norm, a, b);
                }
            }
        }

        #[test]
        fn nothing_overflows(x in prop::collection::vec(prop_oneof![Just(i32::MIN), Just(i32::MAX), Just(0), Just(-1), any::<i32>()], 1..40), fraction in 0i32..31) {
            for norm in NORMS {
                run(norm, fraction, &x);
                if norm != Norm::None {
                    let mut x = x.clone();
                    normalize(norm, &Mean::over(x.len()), fraction, &mut x);
                    prop_assert!(x.iter().all(|x| x.abs() <= 1 << NORMAL_PLACES));
                }
            }
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        for norm in NORMS {
            assert_eq!(run(norm, 11, &[0; 5]), [0.0; 5]);
        }
    }
}
