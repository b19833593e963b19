//! Elementary functions of the `f32` front end.
//!
//! IEEE additions and multiplications in a fixed order, without a branch or table: the same bits on every target,
//! the same number of instructions for every argument.

pub use toeplite::math::exp;

/// `ln(x)`, for positive normal numbers; of smaller ones, negative ones and NaN that of the smallest positive normal
/// number. The error is below 9e-8 of the value or, near 1, of `x - 1`.
///
/// Reduction to `sqrt(1/2) <= m < sqrt(2)`, then Cephes' `logf` polynomial.
#[inline(always)]
pub fn ln(x: f32) -> f32 {
    let x = if x > f32::MIN_POSITIVE {
        x
    } else {
        f32::MIN_POSITIVE
    };
    let bits = x.to_bits();
    let exponent = (bits.wrapping_sub(core::f32::consts::FRAC_1_SQRT_2.to_bits()) as i32) >> 23;
    let m = f32::from_bits(bits.wrapping_sub((exponent as u32) << 23)) - 1.0;
    let e = exponent as f32;
    let p = 7.037_683_6e-2;
    let p = p * m - 1.151_461e-1;
    let p = p * m + 1.167_699_9e-1;
    let p = p * m - 1.242_014_1e-1;
    let p = p * m + 1.424_932_3e-1;
    let p = p * m - 1.666_805_8e-1;
    let p = p * m + 2.000_071_5e-1;
    let p = p * m - 2.499_999_4e-1;
    let p = p * m + 3.333_333e-1;
    let square = m * m;
    let p = p * m * square + e * -2.121_944_4e-4 - 0.5 * square;
    m + p + e * 0.693_359_4
}

/// `x^y` of positive normal numbers, for `|y ln(x)| <= 80`. Relative error below `2e-7 (1 + |y ln(x)|)`.
#[inline(always)]
pub fn pow(x: f32, y: f32) -> f32 {
    exp(y * ln(x))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    /// Numbers of all magnitudes, and those around 1.
    fn numbers() -> impl Iterator<Item = f32> {
        let all = (f32::MIN_POSITIVE.to_bits()..f32::INFINITY.to_bits()).step_by(4099);
        let near = 0.7f32.to_bits()..1.42f32.to_bits();
        all.chain(near.step_by(17)).map(f32::from_bits)
    }

    #[test]
    fn logarithms_are_within_nine_in_a_hundred_million() {
        let mut worst = 0f64;
        for x in numbers() {
            let exact = f64::from(x).ln();
            if exact != 0.0 {
                worst = worst.max((f64::from(ln(x)) / exact - 1.0).abs());
            }
        }
        assert!(worst < 9e-8, "{worst:e}");
        assert_eq!(ln(1.0), 0.0);
    }

    #[test]
    fn powers_are_as_exact_as_their_exponents() {
        for x in numbers() {
            for y in [-0.98f32, -0.5, 0.25, 0.5, 0.7] {
                let exponent = f64::from(y) * f64::from(x).ln();
                let relative = f64::from(pow(x, y)) / exponent.exp() - 1.0;
                let bound = 2e-7 * (1.0 + exponent.abs());
                assert!(
                    exponent.abs() > 80.0 || relative.abs() < bound,
                    "{x}^{y}: {relative:e}"
                );
            }
        }
    }

    #[test]
    fn whatever_is_no_positive_number_counts_as_the_smallest() {
        let smallest = ln(f32::MIN_POSITIVE);
        let all = [0.0, -0.0, -1.0, f32::NAN, f32::NEG_INFINITY, 1e-40];
        assert_eq!(all.map(ln).to_vec(), [smallest; 6].to_vec());
        assert!(ln(f32::INFINITY).is_finite());
    }
}
