//! Tables of the `fixed` contract, and straight lines between their entries.

/// `round(2^15 * sigmoid((i - 128) / 8))`.
#[rustfmt::skip]
pub const SIGMOID: [u16; 257] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1,
    1, 2, 2, 2, 2, 3, 3, 4, 4, 5, 5, 6,
    7, 8, 9, 10, 11, 12, 14, 16, 18, 21, 23, 26,
    30, 34, 38, 43, 49, 56, 63, 72, 81, 92, 104, 118,
    133, 151, 171, 194, 219, 248, 281, 318, 360, 407, 461, 521,
    589, 666, 753, 851, 961, 1084, 1223, 1379, 1554, 1750, 1969, 2213,
    2486, 2789, 3124, 3496, 3906, 4357, 4851, 5391, 5978, 6613, 7297, 8031,
    8813, 9641, 10513, 11424, 12371, 13348, 14347, 15361, 16384, 17407, 18421, 19420,
    20397, 21344, 22255, 23127, 23955, 24737, 25471, 26155, 26790, 27377, 27917, 28411,
    28862, 29272, 29644, 29979, 30282, 30555, 30799, 31018, 31214, 31389, 31545, 31684,
    31807, 31917, 32015, 32102, 32179, 32247, 32307, 32361, 32408, 32450, 32487, 32520,
    32549, 32574, 32597, 32617, 32635, 32650, 32664, 32676, 32687, 32696, 32705, 32712,
    32719, 32725, 32730, 32734, 32738, 32742, 32745, 32747, 32750, 32752, 32754, 32756,
    32757, 32758, 32759, 32760, 32761, 32762, 32763, 32763, 32764, 32764, 32765, 32765,
    32766, 32766, 32766, 32766, 32767, 32767, 32767, 32767, 32767, 32767, 32767, 32767,
    32767, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768,
    32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768,
    32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768, 32768,
    32768, 32768, 32768, 32768, 32768,
];

/// `round(2^16 * 2^(-i / 32))`.
#[rustfmt::skip]
pub const POWER: [u32; 33] = [
    65536, 64132, 62757, 61413, 60097, 58809, 57549, 56316, 55109, 53928,
    52773, 51642, 50535, 49452, 48393, 47356, 46341, 45348, 44376, 43425,
    42495, 41584, 40693, 39821, 38968, 38133, 37316, 36516, 35734, 34968,
    34219, 33486, 32768,
];

/// `2^15 * sigmoid(x / 2^11)` for `x` in -2^15..2^15, others taken modulo 2^16; off by at most 7.
#[inline(always)]
pub fn sigmoid(x: i32) -> i32 {
    line(usize::from(((x >> 8) + 128) as u8), x & 255)
}

/// The line from entry `index` of [`SIGMOID`], 256ths of the way; 0 past the last.
#[inline(always)]
pub(super) fn line(index: usize, part: i32) -> i32 {
    let [low, high] = match SIGMOID.get(index..index + 2) {
        Some([low, high]) => [*low, *high].map(i32::from),
        _ => return 0,
    };
    low + (((high - low) * part) >> 8)
}

/// `2^16 * 2^(-x / 2^16)` for `x` in 0..2^16, others taken modulo 2^16; off by at most 5.
#[inline(always)]
pub fn power(x: u32) -> u32 {
    let index = (x >> 11 & 31) as usize;
    let (high, low) = (POWER[index], POWER[index + 1]);
    high - (((high - low) * (x & 2047)) >> 11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_hold_what_their_formulas_say() {
        for (i, entry) in SIGMOID.iter().enumerate() {
            let x = (i as f64 - 128.0) / 8.0;
            let exact = 32768.0 / (1.0 + libm::exp(-x));
            assert_eq!(f64::from(*entry), libm::round(exact), "{i}");
        }
        for (i, entry) in POWER.iter().enumerate() {
            let exact = 65536.0 * libm::exp2(-(i as f64) / 32.0);
            assert_eq!(f64::from(*entry), libm::round(exact), "{i}");
        }
    }

    #[test]
    fn lines_stay_close_to_the_functions_everywhere() {
        let mut before = 0;
        for x in -32768..32768 {
            let exact = 32768.0 / (1.0 + libm::exp(-f64::from(x) / 2048.0));
            let found = sigmoid(x);
            assert!((f64::from(found) - exact).abs() < 7.3, "{x}: {found}");
            assert!(found >= before, "not monotonic at {x}");
            before = found;
        }
        for x in 0..65536u32 {
            let exact = 65536.0 * libm::exp2(-f64::from(x) / 65536.0);
            assert!((f64::from(power(x)) - exact).abs() < 5.0, "{x}");
        }
    }
}
