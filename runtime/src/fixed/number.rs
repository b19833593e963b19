//! Integer arithmetic of the `fixed` contract: no loop depends on the data, no product is wider
//! than 32 bits where a number is not said to be wider.

use core::num::NonZero;

/// Largest and smallest of 16 bits: what [`clamp`] leaves.
const MOST: i32 = i16::MAX as i32;
const LEAST: i32 = i16::MIN as i32;

/// Bits of `x` without leading zeros: 0 of 0, 32 of the largest.
#[inline]
pub fn bits(x: u32) -> i32 {
    32 - x.leading_zeros() as i32
}

/// `x`, or the 16-bit number closest to it.
#[inline(always)]
pub fn clamp(x: i32) -> i32 {
    // one comparison where nothing is to be done, which is nearly always
    if i32::from(x as i16) == x {
        x
    } else if x < 0 {
        LEAST
    } else {
        MOST
    }
}

/// `floor(sqrt(x))`, in 16 steps.
#[inline(never)] // here and below: once in flash
pub fn root(x: u32) -> u32 {
    (0..16).rev().fold(0, |root, bit| {
        let larger = root | 1 << bit;
        if larger * larger <= x { larger } else { root }
    })
}

/// `floor(sqrt(x))`, in 32 steps of 64 bits.
pub fn root64(x: u64) -> u64 {
    (0..32).rev().fold(0, |root, bit| {
        let larger: u64 = root | 1 << bit;
        if larger * larger <= x { larger } else { root }
    })
}

/// `floor(n / d)` below 2^16, for `n < 2^16 d` and `d < 2^16`, in 16 steps; larger quotients give
/// `2^16 - 1`.
#[inline(never)]
pub fn ratio(n: u32, d: u32) -> u32 {
    let mut rest = n;
    (0..16).rev().fold(0, |quotient, bit| {
        let part = (d & 0xFFFF) << bit;
        if rest >= part {
            rest -= part;
            quotient | 1 << bit
        } else {
            quotient
        }
    })
}

/// `floor(x / 2^by)`; times `2^-by` for a negative `by`, at most `limit` in magnitude.
#[inline]
pub fn shift(x: i32, by: i32, limit: i32) -> i32 {
    if by >= 0 {
        return x >> by.min(31);
    }
    let up = by.saturating_neg().min(31);
    if x > limit >> up {
        limit
    } else if x < -(limit >> up) {
        -limit
    } else {
        x << up
    }
}

/// `x * 2^by`, `u64::MAX` where that is larger.
pub fn scale64(x: u64, by: i32) -> u64 {
    if by < 0 {
        x.checked_shr(by.unsigned_abs()).unwrap_or(0)
    } else if by > x.leading_zeros() as i32 {
        if x == 0 { 0 } else { u64::MAX }
    } else {
        x.checked_shl(by as u32).unwrap_or(0)
    }
}

/// A number `mantissa * 2^exponent`, the mantissa below 2^15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Below 2^15.
    pub mantissa: u32,
    /// Of two.
    pub exponent: i32,
}

impl Factor {
    /// The number divided by another.
    pub fn divided_by(self, divisor: NonZero<u32>) -> Self {
        // in 16 bits
        let places = 16 - divisor.leading_zeros() as i32;
        let divisor = scale64(divisor.get().into(), -places) as u32;
        Self {
            mantissa: ratio(self.mantissa << 15, divisor),
            exponent: self.exponent - places - 15,
        }
    }

    /// `part / sqrt(square)`, for `part < 2^15` and `part^2 <= square`.
    #[inline(never)]
    pub fn of_root(part: u32, square: u64) -> Self {
        let square = square.max(1);
        // to 31 or 32 bits, by an even number of places
        let length = 64 - square.leading_zeros() as i32;
        let places = (length - 31) & !1;
        let normal = scale64(square, -places) as u32;
        let quotient = ratio(part << 16, root(normal));
        let odd = i32::from(quotient >> 15 != 0);
        Self {
            mantissa: quotient >> odd,
            exponent: odd - 16 - places / 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn roots_are_floors(x: u32, y: u64, small in 0u32..70_000) {
            for x in [x, small, u32::MAX] {
                let r = u64::from(root(x));
                prop_assert!(r * r <= u64::from(x) && u64::from(x) < (r + 1) * (r + 1));
            }
            for y in [y, u64::from(small), u64::MAX] {
                let r = u128::from(root64(y));
                prop_assert!(r * r <= u128::from(y) && u128::from(y) < (r + 1) * (r + 1));
            }
        }

        #[test]
        fn ratios_are_floors(n: u32, d in 1u32..65_536) {
            let exact = (n / d).min(0xFFFF);
            prop_assert_eq!(ratio(n, d), exact);
        }

        #[test]
        fn shifts_saturate(x: i32, by in -40i32..40) {
            let limit = i32::MAX;
            let exact = if by >= 0 {
                libm::floor(libm::ldexp(f64::from(x), -by))
            } else {
                libm::ldexp(f64::from(x), -by).clamp(-f64::from(limit), f64::from(limit))
            };
            let error = (f64::from(shift(x, by, limit)) - exact).abs();
            prop_assert!(error <= libm::ldexp(1.0, -by.min(0)), "{}", error);
        }

        #[test]
        fn factors_are_quotients_by_roots(part in 1u32..32_768, more: u32, up in 0i32..16) {
            let square = (u64::from(part) * u64::from(part) + u64::from(more)) << up;
            let found = Factor::of_root(part, square);
            prop_assert!(found.mantissa < 1 << 15);
            let value = libm::ldexp(f64::from(found.mantissa), found.exponent);
            let exact = f64::from(part) / libm::sqrt(square as f64);
            let absolute = libm::ldexp(1.0, found.exponent);
            prop_assert!((value - exact).abs() <= exact / 16_384.0 + absolute, "{} {}", value, exact);
        }
    }

    proptest! {
        #[test]
        fn quotients_of_factors(mantissa in 1u32..32_768, exponent in -60i32..60, divisor in 1u32..) {
            let divisor = NonZero::new(divisor).unwrap();
            let found = Factor { mantissa, exponent }.divided_by(divisor);
            prop_assert!(found.mantissa < 1 << 15);
            let value = |f: Factor| libm::ldexp(f64::from(f.mantissa), f.exponent);
            let exact = value(Factor { mantissa, exponent }) / f64::from(divisor.get());
            let absolute = libm::ldexp(1.0, found.exponent);
            prop_assert!((value(found) - exact).abs() <= exact / 16_384.0 + absolute);
        }
    }

    #[test]
    fn extremes_do_not_overflow() {
        assert_eq!((bits(0), bits(1), bits(u32::MAX)), (0, 1, 32));
        assert_eq!(shift(i32::MIN, -1, i32::MAX), -i32::MAX);
        assert_eq!(scale64(1, 63), 1 << 63);
        assert_eq!(scale64(1, 64), u64::MAX);
        assert_eq!((scale64(0, 99), scale64(u64::MAX, -64)), (0, 0));
        let _ = Factor::of_root(0, 0);
        let _ = Factor::of_root(32_767, u64::MAX);
    }
}
