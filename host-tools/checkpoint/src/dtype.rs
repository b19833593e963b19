//! Number formats that checkpoints store parameters in.

use half::{bf16, f16};
use std::fmt;

/// A stored number format that converts to f32. Little-endian, as every known writer stores it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoredType {
    /// 32-bit float: kept as it is.
    F32,
    /// IEEE half precision: converts exactly.
    F16,
    /// bfloat16: converts exactly.
    Bf16,
    /// 64-bit float: rounded to the nearest f32.
    F64,
}

impl StoredType {
    /// Bytes of one number.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
            Self::F64 => 8,
        }
    }

    /// Converts stored numbers to f32. Trailing bytes that make no whole number are left out.
    pub fn decode(self, bytes: &[u8]) -> Vec<f32> {
        match self {
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

fn each<const N: usize>(bytes: &[u8], convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    let (numbers, _) = bytes.as_chunks::<N>();
    numbers.iter().map(|&number| convert(number)).collect()
}

impl fmt::Display for StoredType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F64 => "f64",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_gives_the_number_that_was_stored() {
        for value in [0.0f32, -1.5, 0.156_25, 65_504.0] {
            let f16_bytes = f16::from_f32(value).to_le_bytes();
            assert_eq!(StoredType::F16.decode(&f16_bytes), [value]);
            assert_eq!(StoredType::F32.decode(&value.to_le_bytes()), [value]);
            let f64_bytes = f64::from(value).to_le_bytes();
            assert_eq!(StoredType::F64.decode(&f64_bytes), [value]);
        }
        // bf16 is the upper half of an f32.
        let upper = (-3.25f32).to_bits().to_be_bytes();
        assert_eq!(StoredType::Bf16.decode(&[upper[1], upper[0]]), [-3.25]);
        // Smallest subnormals.
        assert_eq!(StoredType::F16.decode(&[1, 0]), [2f32.powi(-24)]);
        // f64 rounds to nearest and overflows to infinity.
        assert_eq!(StoredType::F64.decode(&0.1f64.to_le_bytes()), [0.1f32]);
        assert_eq!(
            StoredType::F64.decode(&1e300f64.to_le_bytes()),
            [f32::INFINITY]
        );
    }
}
