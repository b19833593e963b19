//! Random bits by counting: what devices must agree on to the bit.

/// The random bits of one call of [`Device::dropout`](super::Device::dropout): a function of seed,
/// stream and index alone.
///
/// In 32-bit integers, wrapping, with `mix` the finalizer of MurmurHash3 (`h ^= h >> 16; h *=
/// 0x85ebca6b; h ^= h >> 13; h *= 0xc2b2ae35; h ^= h >> 16`):
/// `first = mix(seed0 + 0x9e3779b9 * (stream + 1))`, `second = mix(first ^ (seed1 + 0x7f4a7c15))`;
/// the bits of element `index` are `mix(mix(low ^ first) + (second ^ high))`, where `low` and `high`
/// are the halves of the 64-bit index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stream {
    first: u32,
    second: u32,
}

#[inline(always)]
fn mix(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

impl Stream {
    /// The bits of a seed, two f32 that hold integers below 2^24, and a stream.
    pub fn new(seed: [f32; 2], stream: u32) -> Self {
        let [seed0, seed1] = seed.map(|seed| seed as u32);
        let step = 0x9e37_79b9u32.wrapping_mul(stream.wrapping_add(1));
        let first = mix(seed0.wrapping_add(step));
        let second = mix(first ^ seed1.wrapping_add(0x7f4a_7c15));
        Self { first, second }
    }

    /// The bits of an element.
    #[inline(always)]
    pub fn bits(self, index: u64) -> u32 {
        let (low, high) = (index as u32, (index >> 32) as u32);
        mix(mix(low ^ self.first).wrapping_add(self.second ^ high))
    }
}

/// Elements with bits below this are dropped: `p * 2^32`, rounded down, at most `2^32 - 1`; `None`
/// where `p` is not above zero, so that nothing is.
pub fn dropout_threshold(p: f32) -> Option<u32> {
    (p > 0.0).then_some((f64::from(p) * 4_294_967_296.0) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bits that other devices must give; computed once from the definition.
    #[test]
    fn bits_are_those_of_the_definition() {
        let m = |h: u64| {
            let h = h as u32;
            let h = (h ^ (h >> 16)).wrapping_mul(0x85eb_ca6b);
            let h = (h ^ (h >> 13)).wrapping_mul(0xc2b2_ae35);
            u64::from(h ^ (h >> 16))
        };
        let word = 1u64 << 32;
        let first = m((12_345 + 0x9e37_79b9 * 8) % word);
        let second = m(first ^ ((67_890 + 0x7f4a_7c15) % word));
        let want = |low: u64, high: u64| m((m(low ^ first) + (second ^ high)) % word);
        let stream = Stream::new([12_345.0, 67_890.0], 7);
        for (low, high) in [(0, 0), (1, 0), (99_999, 0), (5, 3)] {
            assert_eq!(u64::from(stream.bits(high * word + low)), want(low, high));
        }
    }

    #[test]
    fn thresholds_of_the_ends() {
        assert_eq!(dropout_threshold(0.0), None);
        assert_eq!(dropout_threshold(0.5), Some(1 << 31));
        assert_eq!(dropout_threshold(1.0), Some(u32::MAX));
    }
}
