//! The functions that tables are made with, in binary64, for the compiler or the host to evaluate.
//!
//! Series of additions, multiplications and divisions: the same bits wherever they are evaluated, within a few
//! units in the last place of the exact values.

/// `cos(2 pi n / d)`, for `d > 0`.
pub const fn cos_turn(n: usize, d: usize) -> f64 {
    // to an eighth of a turn, by symmetries that are exact in integers
    let n = n % d;
    let n = if 2 * n > d { d - n } else { n };
    let (n, sign) = if 4 * n > d {
        (d - 2 * n, -1.0)
    } else {
        (2 * n, 1.0)
    };
    // the angle is pi n / d now, of at most a quarter of a turn
    let value = if 4 * n > d {
        sine(core::f64::consts::PI * (d - 2 * n) as f64 / (2 * d) as f64)
    } else {
        cosine(core::f64::consts::PI * n as f64 / d as f64)
    };
    sign * value
}

/// `sin(2 pi n / d)`, for `d > 0`.
pub const fn sin_turn(n: usize, d: usize) -> f64 {
    // sin(x) = cos(x - a quarter), in units of a quarter of 1 / d
    cos_turn(4 * (n % d) + 3 * d, 4 * d)
}

const fn cosine(x: f64) -> f64 {
    series(1.0, 1.0, x * x)
}

const fn sine(x: f64) -> f64 {
    series(x, 2.0, x * x)
}

/// `first (1 - xx / (a (a + 1)) (1 - xx / ((a + 2) (a + 3)) (...)))`, from its end.
const fn series(first: f64, a: f64, xx: f64) -> f64 {
    let mut sum = 1.0;
    let mut a = a + 22.0;
    while a > 0.0 {
        sum = 1.0 - xx / (a * (a + 1.0)) * sum;
        a -= 2.0;
    }
    first * sum
}

/// `exp(x)`, for `|x| < 500`.
pub const fn exp(x: f64) -> f64 {
    let n = (x * core::f64::consts::LOG2_E) as i32;
    let r = x - n as f64 * core::f64::consts::LN_2;
    let mut sum = 1.0;
    let mut k = 24.0;
    while k > 0.0 {
        sum = 1.0 + r / k * sum;
        k -= 1.0;
    }
    let mut scale = 1.0;
    let mut steps = n.unsigned_abs();
    while steps > 0 {
        scale *= if n > 0 { 2.0 } else { 0.5 };
        steps -= 1;
    }
    sum * scale
}

/// `ln(x)`, for `x > 0`.
pub const fn ln(x: f64) -> f64 {
    let (mut m, mut n) = (x, 0.0);
    while m > core::f64::consts::SQRT_2 {
        m *= 0.5;
        n += 1.0;
    }
    while m < core::f64::consts::FRAC_1_SQRT_2 {
        m *= 2.0;
        n -= 1.0;
    }
    // 2 artanh((m - 1) / (m + 1))
    let z = (m - 1.0) / (m + 1.0);
    let mut sum = 0.0;
    let mut k = 27.0;
    while k > 0.0 {
        sum = 1.0 / k + z * z * sum;
        k -= 2.0;
    }
    2.0 * z * sum + n * core::f64::consts::LN_2
}

/// The nearest integer, of numbers that fit one.
pub const fn round(x: f64) -> i64 {
    (x + if x < 0.0 { -0.5 } else { 0.5 }) as i64
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn circles_are_exact_to_a_few_units() {
        for d in [1usize, 2, 3, 7, 8, 200, 256, 400, 551, 1024] {
            for n in 0..3 * d {
                let angle = core::f64::consts::TAU * (n % d) as f64 / d as f64;
                assert!((cos_turn(n, d) - angle.cos()).abs() < 1e-15, "{n}/{d}");
                assert!((sin_turn(n, d) - angle.sin()).abs() < 1e-15, "{n}/{d}");
            }
        }
        assert_eq!([0, 1, 2, 3].map(|n| cos_turn(n, 4)), [1.0, 0.0, -1.0, 0.0]);
        assert_eq!([0, 1, 2, 3].map(|n| sin_turn(n, 4)), [0.0, 1.0, 0.0, -1.0]);
    }

    #[test]
    fn exponentials_and_logarithms_are_exact_to_a_few_units() {
        for i in -4000..=4000 {
            let x = f64::from(i) * 0.011;
            let relative = exp(x) / x.exp() - 1.0;
            assert!(relative.abs() < 1e-14, "exp({x}): {relative:e}");
            let y = x.exp() * 1.037;
            assert!(
                (ln(y) - y.ln()).abs() < 1e-15 * (1.0 + y.ln().abs()) * 4.0,
                "ln({y})"
            );
        }
        assert_eq!((ln(1.0), exp(0.0)), (0.0, 1.0));
    }

    /// The compiler's arithmetic is the processor's.
    #[test]
    fn compiler_and_processor_agree() {
        const MADE: [f64; 4] = [cos_turn(17, 200), sin_turn(33, 256), exp(1.3), ln(7.7)];
        let (n, x) = core::hint::black_box((17, 1.3));
        let found = [cos_turn(n, 200), sin_turn(n + 16, 256), exp(x), ln(x + 6.4)];
        assert_eq!(
            MADE[..3]
                .iter()
                .map(|x| x.to_bits())
                .collect::<std::vec::Vec<_>>(),
            found[..3]
                .iter()
                .map(|x| x.to_bits())
                .collect::<std::vec::Vec<_>>()
        );
        assert_eq!(MADE[3].to_bits(), ln(core::hint::black_box(7.7)).to_bits());
    }

    #[test]
    fn halves_round_away_from_zero() {
        assert_eq!([0.4, 0.5, -0.5, -0.4, 2.5].map(round), [0, 1, -1, 0, 3]);
    }
}
