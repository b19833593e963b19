//! Logarithms and exponentials in integers, by tables.

use crate::constants::{exp, ln, round};

/// Binary places of logarithms.
pub(crate) const LOG_PLACES: u32 = 20;
/// `ln(2)` in those.
pub(crate) const LN_2: i32 = natural(core::f64::consts::LN_2);
/// Binary places of what [`exp_of`] gives.
pub(crate) const EXP_PLACES: u32 = 24;

/// Steps of an octave.
const STEPS: usize = 32;
const STEP_BITS: u32 = STEPS.ilog2();
/// Bits between two steps.
const REST_BITS: u32 = 15;

/// `ln(1 + i / STEPS)`.
static LOGS: [i32; STEPS + 1] = logs();
/// `2^(i / STEPS)`, in 16 places.
static POWERS: [u32; STEPS + 1] = powers();

/// A number as a logarithm has it.
pub(crate) const fn natural(x: f64) -> i32 {
    round(x * (1 << LOG_PLACES) as f64) as i32
}

const fn logs() -> [i32; STEPS + 1] {
    let mut table = [0; STEPS + 1];
    let mut i = 0;
    while i <= STEPS {
        table[i] = natural(ln(1.0 + i as f64 / STEPS as f64));
        i += 1;
    }
    table
}

const fn powers() -> [u32; STEPS + 1] {
    let mut table = [0; STEPS + 1];
    let mut i = 0;
    while i <= STEPS {
        let power = exp(core::f64::consts::LN_2 * i as f64 / STEPS as f64);
        table[i] = round(power * 65536.0) as u32;
        i += 1;
    }
    table
}

/// The entry at step `i` and the one after it.
fn around<T: Copy + Default>(table: &[T; STEPS + 1], i: usize) -> (T, T) {
    let at = |i: usize| table.get(i).copied().unwrap_or_default();
    (at(i), at(i + 1))
}

/// `ln(x)` in [`LOG_PLACES`]; of 0 that of 1. Within 1.6e-4.
pub(crate) fn ln_of(x: u64) -> i32 {
    let x = x | u64::from(x == 0);
    let zeros = x.leading_zeros();
    // the leading one at bit 31
    let top = ((x << zeros) >> 32) as u32;
    let step = (top << 1) >> (32 - STEP_BITS);
    let rest = (top >> (31 - STEP_BITS - REST_BITS)) & ((1 << REST_BITS) - 1);
    let (low, high) = around(&LOGS, step as usize);
    let between = ((high - low) * rest as i32) >> REST_BITS;
    (63 - zeros as i32) * LN_2 + low + between
}

/// `exp(x)` of `x` in [`LOG_PLACES`], in [`EXP_PLACES`]. Within 1.3e-4 of the value and two units up to 2^22, which no energy
/// reaches; above, it stays below 2^23.
pub(crate) fn exp_of(x: i32) -> u64 {
    const LOG2_E: i64 = round(core::f64::consts::LOG2_E * (1 << 30) as f64);
    const MOST: i32 = 40 << LOG_PLACES;
    // in 20 places of octaves
    let octaves = ((i64::from(x.clamp(-MOST, MOST)) * LOG2_E) >> 30) as i32;
    let whole = octaves >> LOG_PLACES;
    let fraction = octaves as u32 & ((1 << LOG_PLACES) - 1);
    let (low, high) = around(&POWERS, (fraction >> REST_BITS) as usize);
    let rest = fraction & ((1 << REST_BITS) - 1);
    let between = ((high - low) * rest) >> REST_BITS;
    let mantissa = u64::from(low + between);
    // from 16 places to 24
    let shift = whole + 8;
    match shift {
        0.. => mantissa << shift.min(30),
        -32..0 => mantissa >> -shift,
        _ => 0,
    }
}

/// `x^power` of `x` in [`EXP_PLACES`], as such; `power` in 15 places.
pub(crate) fn power_of(x: u64, power: u16) -> u64 {
    let log = ln_of(x) - EXP_PLACES as i32 * LN_2;
    exp_of(share(log, power))
}

/// `x share`, `share` in 15 places.
pub(crate) fn share(x: i32, share: u16) -> i32 {
    ((i64::from(x) * i64::from(share)) >> 15) as i32
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;

    const UNIT: f64 = (1 << LOG_PLACES) as f64;

    proptest! {
        #[test]
        fn logarithms_are_within_their_bound(x: u64, shift in 0u32..63) {
            let x = (x >> shift).max(1);
            let error = f64::from(ln_of(x)) / UNIT - (x as f64).ln();
            prop_assert!(error.abs() < 1.6e-4, "{error:e}");
        }

        #[test]
        fn exponentials_are_within_their_bound(x in -16.0f64..15.0) {
            let fixed = (x * UNIT) as i32;
            let exact = (f64::from(fixed) / UNIT).exp() * 2f64.powi(EXP_PLACES as i32);
            let error = exp_of(fixed) as f64 - exact;
            prop_assert!(error.abs() < 1.3e-4 * exact + 2.0, "{error} of {exact}");
        }

        #[test]
        fn powers_are_within_their_bound(x in 0.01f64..1000.0, power in 0.05f64..1.0) {
            let fixed = (x * 2f64.powi(EXP_PLACES as i32)) as u64;
            let (places, one) = ((power * 32768.0) as u16, 2f64.powi(EXP_PLACES as i32));
            let exact = (fixed as f64 / one).powf(f64::from(places) / 32768.0);
            let relative = power_of(fixed, places) as f64 / one / exact - 1.0;
            prop_assert!(relative.abs() < 4e-4, "{relative:e}");
        }
    }

    #[test]
    fn extremes_have_values() {
        assert_eq!([0, 1, 2].map(ln_of), [0, 0, LN_2]);
        assert!((f64::from(ln_of(u64::MAX)) / UNIT - 64.0 * 2f64.ln()).abs() < 1.3e-4);
        assert_eq!((exp_of(0), exp_of(i32::MIN)), (1 << EXP_PLACES, 0));
        assert!(exp_of(i32::MAX) >= 1 << (EXP_PLACES + 22));
    }
}
