//! Elementary functions of the `f32` contract.
//!
//! Built from IEEE additions, multiplications and divisions in a fixed order, without a table and
//! without a branch that depends on the data. So they give the same bits on every target, take
//! the same number of instructions whatever their argument (on cores with an FPU), and the
//! compiler may vectorize them. libm's `expf` has three data-dependent branches.

use crate::kernel::elementwise::map;
use crate::model::Activation;

/// `1.5 * 2^23`: adding it rounds a number below 2^22 to the nearest integer, ties to even, and
/// leaves that integer in the low bits of the mantissa.
pub const ROUND: f32 = 12_582_912.0;

/// `exp(x)`, arguments clamped to -80..=80. Relative error below 2e-7.
///
/// Cody-Waite reduction to `|r| <= ln(2)/2`, then Cephes' `expf` polynomial.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    let x = if x > -80.0 { x } else { -80.0 };
    let x = if x < 80.0 { x } else { 80.0 };
    let shifted = x * core::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4;
    let r = r - n * -2.121_944_4e-4;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    // n is in -116..=116, so the exponent stays that of a normal number
    f32::from_bits(p.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// `2^25 log2(e)`: a float times it is, as an integer, its exponent of two in 25 binary places.
const FIXED_LOG2_E: f32 = core::f32::consts::LOG2_E * (1 << 25) as f32;

/// `exp(-x)`, between 2^-64 and 2^64. Relative error below 1e-6 for `|x| < 20`, which makes
/// that of `1 + exp(-x)` less than 1e-7.
///
/// The integer conversion saturates, which spares two comparisons: instructions where a core has
/// a conversion that saturates by itself, as Arm's has. The mantissa is 1 and the exponent's fraction
/// below, 2 to which a polynomial of degree 5 gives (minimax in relative error, 2e-7 in f32).
#[inline(always)]
pub fn exp_of_minus(x: f32) -> f32 {
    let fixed = (x * -FIXED_LOG2_E) as i32;
    let m = f32::from_bits(0x3F80_0000 | (fixed as u32 >> 2 & 0x007F_FFFF));
    let p = 0.001_877_576_7;
    let p = p * m - 0.000_398_543_02;
    let p = p * m + 0.038_644_724;
    let p = p * m + 0.107_834_94;
    let p = p * m + 0.353_755_33;
    let p = p * m + 0.498_285_92;
    // p is in 1..2, and the exponent that is added in -64..64
    let exponent = (fixed >> 25) as u32;
    f32::from_bits(p.to_bits().wrapping_add(exponent << 23))
}

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp_of_minus(x))
}

/// `x / (1 + exp(-x))`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp_of_minus(x))
}

#[inline(always)]
fn elu(x: f32) -> f32 {
    if x > 0.0 { x } else { exp(x) - 1.0 }
}

#[cfg(feature = "gelu")]
fn gelu(x: f32) -> f32 {
    // erfc, not 1 + erf: that loses every digit of the negative tail
    0.5 * x * libm::erfcf(-x * core::f32::consts::FRAC_1_SQRT_2)
}

/// Unreachable: [`Model::from_bytes`](crate::Model::from_bytes) refuses such a blob.
#[cfg(not(feature = "gelu"))]
fn gelu(x: f32) -> f32 {
    x
}

/// Applies `activation` to each number.
#[inline(never)]
pub fn activate(activation: Activation, x: &mut [f32]) {
    match activation {
        Activation::None => {}
        // the one that models use has a loop of its own
        Activation::Silu => map(x, silu),
        Activation::Relu => each(x, |x| if x > 0.0 { x } else { 0.0 }),
        Activation::Sigmoid => each(x, sigmoid),
        Activation::Exp => each(x, exp),
        Activation::Elu => each(x, elu),
        Activation::OnePlusElu => each(x, |x| 1.0 + elu(x)),
        Activation::TwoPlusElu => each(x, |x| 2.0 + elu(x)),
        Activation::LeakyRelu => each(x, |x| if x > 0.0 { x } else { 0.01 * x }),
        Activation::Gelu => each(x, gelu),
    }
}

/// One loop for all functions, which is worth half a kilobyte of code each.
#[inline(never)]
fn each(x: &mut [f32], f: fn(f32) -> f32) {
    x.iter_mut().for_each(|x| *x = f(*x));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_within_two_in_ten_million_over_its_whole_range() {
        let mut worst = 0f64;
        let mut x = -80.0f32;
        while x < 80.0 {
            let exact = libm::exp(f64::from(x));
            worst = worst.max((f64::from(exp(x)) / exact - 1.0).abs());
            x += 0.000_917;
        }
        assert!(worst < 2e-7, "{worst:e}");
    }

    #[test]
    fn sigmoid_is_within_two_in_ten_million_and_silu_follows() {
        let mut x = -40.0f32;
        while x < 40.0 {
            let exact = 1.0 / (1.0 + libm::exp(-f64::from(x)));
            assert!((f64::from(sigmoid(x)) - exact).abs() < 2e-7, "{x}");
            let error = (f64::from(silu(x)) - f64::from(x) * exact).abs();
            assert!(error < 3e-7 * f64::from(x.abs()), "{x} {error:e}");
            x += 0.000_917;
        }
        assert_eq!(silu(0.0), 0.0);
    }

    #[test]
    fn extremes_stay_finite_and_normal() {
        for x in [
            f32::MIN,
            -1e4,
            -81.0,
            81.0,
            1e4,
            f32::MAX,
            f32::INFINITY,
            f32::NEG_INFINITY,
        ] {
            assert!(exp(x).is_normal(), "{x}");
            assert!(sigmoid(x).is_normal(), "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
    }
}
