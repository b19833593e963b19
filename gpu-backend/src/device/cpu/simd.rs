//! Loops compiled for the processor's widest vectors, and the elementary functions they call.

/// Runs `f`, compiled once for each generation of vector instructions, as the one that the
/// processor has. `f` must be marked `#[inline(always)]`: it is called once a generation, and left
/// alone it is compiled once, for the oldest. Rust never fuses or reorders sums by itself: all generations give the same bits.
#[inline(always)]
pub fn vectorized<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Adding this rounds a small f32 to an integer, which then stands in the low bits.
const ROUND: f32 = 12_582_912.0;

/// `e^x` to 2e-7 relative, without branches; results below 2^-126 are rounded up to about 1e-38.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    // ln 2 in two parts, the first so short that its products with exponents are exact.
    const LN2_HIGH: f32 = 0.693_359_4;
    const LN2_LOW: f32 = -2.121_944_4e-4;
    let x = x.clamp(-87.3, 88.7);
    let rounded = x * std::f32::consts::LOG2_E + ROUND;
    let exponent = rounded - ROUND;
    let r = x - exponent * LN2_HIGH - exponent * LN2_LOW;
    // Minimax polynomial of (e^r - 1 - r) / r^2 on |r| <= ln 2 / 2 (Cephes, expf).
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let mantissa = p * r * r + r + 1.0;
    // 2^128 has no bits of its own: two factors.
    let half = (rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32) >> 1;
    let power = |e: i32| f32::from_bits(((e + 127) as u32) << 23);
    let whole = rounded.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    mantissa * power(half) * power(whole - half)
}

/// `1 / (1 + e^-x)`.
#[inline(always)]
pub fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// `Phi(-z)` for `z` from 0 to 13, the tail of the normal distribution, to 1e-6 relative.
#[inline(always)]
pub fn normal_tail(z: f32) -> f32 {
    let x = z * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.5 * x);
    // Chebyshev fit of ln(erfc(x) / t) + x^2 (Numerical Recipes, erfcc).
    let p = 0.170_872_77;
    let p = p * t - 0.822_152_2;
    let p = p * t + 1.488_515_9;
    let p = p * t - 1.135_204;
    let p = p * t + 0.278_868_07;
    let p = p * t - 0.186_288_06;
    let p = p * t + 0.096_784_18;
    let p = p * t + 0.374_091_96;
    let p = p * t + 1.000_023_7;
    let p = p * t - 1.265_512_2;
    // x^2 = z^2 / 2. The square of a shortened z is exact; what is left of the exponent is small.
    let short = f32::from_bits(z.to_bits() & 0xffff_f000);
    0.5 * t * exp(-0.5 * short * short) * exp(p - 0.5 * (z - short) * (z + short))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_is_right_to_two_parts_in_ten_million() {
        let mut worst = 0f64;
        for i in -870_000..=880_000 {
            let x = i as f32 * 1e-4;
            let want = f64::from(x).exp();
            worst = worst.max((f64::from(exp(x)) / want - 1.0).abs());
        }
        assert!(worst < 2e-7, "{worst:e}");
        assert!(exp(-1e30) < 2e-38 && exp(1e30).is_finite() && exp(0.0) == 1.0);
    }

    #[test]
    fn sigmoid_ends_at_zero_and_one() {
        assert!(sigmoid(-1e4) < 1e-37);
        assert_eq!((sigmoid(1e4), sigmoid(0.0)), (1.0, 0.5));
    }

    /// Values of `scipy.stats.norm.sf`.
    #[test]
    fn tail_is_right_far_out() {
        let table = [
            (0.0, 0.5),
            (0.5, 0.308_537_538_725_986_9),
            (1.0, 0.158_655_253_931_457_05),
            (3.0, 1.349_898_031_630_094_5e-3),
            (6.0, 9.865_876_450_376_98e-10),
            (10.0, 7.619_853_024_160_527e-24),
        ];
        for (z, want) in table {
            let error = f64::from(normal_tail(z)) / want - 1.0;
            assert!(error.abs() < 1e-6, "{z}: {error:e}");
        }
    }
}
