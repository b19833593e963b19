//! Activations, from Q11 to Q11.
//!
//! | activation | `x` in -2^15..2^15 becomes |
//! | --- | --- |
//! | SiLU | `(x * sigmoid(x) + 2^14) >> 15` |
//! | ReLU | `max(x, 0)` |
//! | sigmoid | `sigmoid(x) >> 4` |
//! | LeakyReLU | `x`, or `(x * 655) >> 16` below zero |
//! | ELU | `x`, or `(power(-x * 47274 >> 10) >> 5) - 2^11` below zero: `exp(x) - 1` |
//! | 1 + ELU, 2 + ELU | that and `2^11` or `2^12`, at most `2^15 - 1` |
//!
//! `sigmoid` and `power` are those of [`table`], the latter shifted by whole powers of
//! two. GELU and exp are not there: `toeplite convert` says so.

use super::number::clamp;
use super::table;
use crate::model::Activation;

/// One of Q11.
const ONE: i32 = 1 << super::ACTIVATION_BITS;

/// Whether the contract has this activation.
pub const fn is_supported(activation: Activation) -> bool {
    !matches!(activation, Activation::Gelu | Activation::Exp)
}

/// SiLU of any number, that of the closest one of 16 bits.
#[inline(always)]
pub fn silu(x: i32) -> i32 {
    let index = (x >> 8) + 128;
    // the one comparison says that the number has 16 bits, and that the table has its place
    if (index as u32) < 256 {
        let sigmoid = table::line(index as usize, x & 255);
        (x * sigmoid + (1 << 14)) >> 15
    } else if x < 0 {
        0 // of -16
    } else {
        i16::MAX.into() // of all but 16
    }
}

/// `2^16 * 2^(-x / 2^16)` for any `x`.
#[inline(always)]
pub fn power(x: u32) -> u32 {
    table::power(x) >> (x >> 16).min(31)
}

/// `exp(x)` in Q11 for `x <= 0` of 16 bits.
#[inline(always)]
fn exp(x: i32) -> i32 {
    // log2(e) * 2^15 = 47274; from Q11 to Q16 are 5 places
    (power(((-x) as u32 * 47_274) >> 10) >> 5) as i32
}

/// What `activation` makes of a number of 16 bits.
#[inline(always)]
pub fn activate(activation: Activation, x: i32) -> i32 {
    match activation {
        // refused by `from_bytes`
        Activation::None | Activation::Gelu | Activation::Exp => x,
        Activation::Silu => silu(x),
        Activation::Relu => x.max(0),
        Activation::Sigmoid => table::sigmoid(x) >> 4,
        Activation::Elu => elu(x),
        Activation::OnePlusElu => clamp(ONE + elu(x)),
        Activation::TwoPlusElu => clamp(2 * ONE + elu(x)),
        Activation::LeakyRelu => x.max((x * 655) >> 16),
    }
}

fn elu(x: i32) -> i32 {
    if x > 0 { x } else { exp(x) - ONE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exact(activation: Activation, x: f64) -> f64 {
        let sigmoid = 1.0 / (1.0 + libm::exp(-x));
        let elu = if x > 0.0 { x } else { libm::exp(x) - 1.0 };
        match activation {
            Activation::Silu => x * sigmoid,
            Activation::Relu => x.max(0.0),
            Activation::Sigmoid => sigmoid,
            Activation::Elu => elu,
            Activation::OnePlusElu => (1.0 + elu).min(16.0),
            Activation::TwoPlusElu => (2.0 + elu).min(16.0),
            Activation::LeakyRelu => x.max(0.01 * x),
            _ => x,
        }
    }

    #[test]
    fn all_are_within_three_units_everywhere() {
        let all = (0..10).filter_map(Activation::from_byte);
        for activation in all.filter(|activation| is_supported(*activation)) {
            for x in -32_768..32_768 {
                let exact = exact(activation, f64::from(x) / 2048.0) * 2048.0;
                let found = f64::from(activate(activation, x));
                assert!((found - exact).abs() < 3.0, "{activation:?} {x}: {found}");
            }
        }
    }

    #[test]
    fn zero_stays_zero() {
        assert_eq!((silu(0), elu(0)), (0, 0));
    }

    #[test]
    fn silu_saturates_as_its_argument_would() {
        let ends = [i16::MIN, i16::MAX].map(|x| silu(x.into()));
        assert_eq!(ends, [0, 32_767]);
        assert_eq!([i32::MIN, -32_769].map(silu), [ends[0]; 2]);
        assert_eq!([i32::MAX, 32_768].map(silu), [ends[1]; 2]);
    }
}
