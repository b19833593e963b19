//! Elementary functions of the `f32` contract.
//!
//! Built from IEEE additions, multiplications and divisions in a fixed order, without a table and
//! without a branch that depends on the data. So they give the same bits on every target, take
//! the same number of instructions whatever their argument (on cores with an FPU), and the
//! compiler may vectorize them. libm's `expf` has three data-dependent branches.

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

/// `1 / (1 + exp(-x))`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
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
pub fn activate(activation: Activation, x: &mut [f32]) {
    fn each(x: &mut [f32], f: impl Fn(f32) -> f32) {
        x.iter_mut().for_each(|x| *x = f(*x));
    }
    match activation {
        Activation::None => {}
        Activation::Silu => each(x, |x| x * sigmoid(x)),
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
        assert_eq!(sigmoid(0.0), 0.5);
        assert_eq!(exp(0.0), 1.0);
    }
}
