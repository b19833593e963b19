//! Arrays of numbers, whatever file they come from.

/// A row-major array.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Elements.
    pub numbers: Numbers,
}

/// Elements of an array.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Numbers {
    /// Floating-point numbers, rounded to f32.
    Floats(Vec<f32>),
    /// Integers.
    Integers(Vec<i64>),
}

/// Number formats that are read, all little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NumberFormat {
    /// IEEE half precision.
    F16,
    /// The upper half of an f32.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// Signed, this many bytes.
    Signed(usize),
    /// Unsigned, this many bytes.
    Unsigned(usize),
}

impl NumberFormat {
    /// Bytes of an element.
    pub(super) fn size(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
            Self::Signed(bytes) | Self::Unsigned(bytes) => bytes,
        }
    }

    /// The elements in `bytes`, whose length is a multiple of [`Self::size`].
    pub(super) fn decode(self, bytes: &[u8]) -> Numbers {
        let elements = bytes.chunks_exact(self.size());
        match self {
            Self::F16 => Numbers::Floats(elements.map(|b| half([b[0], b[1]])).collect()),
            Self::Bf16 => {
                let float = |b: &[u8]| f32::from_le_bytes([0, 0, b[0], b[1]]);
                Numbers::Floats(elements.map(float).collect())
            }
            Self::F32 => {
                let float = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
                Numbers::Floats(elements.map(float).collect())
            }
            Self::F64 => {
                let float = |b: &[u8]| f64::from_bits(word(b)) as f32;
                Numbers::Floats(elements.map(float).collect())
            }
            Self::Signed(size) => {
                let unused = 64 - 8 * size as u32;
                let signed = |b: &[u8]| ((word(b) << unused) as i64) >> unused;
                Numbers::Integers(elements.map(signed).collect())
            }
            // Above i64's range is above every vocabulary: any number that is refused will do.
            Self::Unsigned(_) => {
                let unsigned = |b: &[u8]| i64::try_from(word(b)).unwrap_or(i64::MAX);
                Numbers::Integers(elements.map(unsigned).collect())
            }
        }
    }
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_le_bytes(word)
}

/// f16 to f32: exact.
fn half(bytes: [u8; 2]) -> f32 {
    let bits = u32::from(u16::from_le_bytes(bytes));
    let (sign, exponent, fraction) = ((bits & 0x8000) << 16, (bits >> 10) & 31, bits & 1023);
    let magnitude = match exponent {
        0 => return f32::from_bits(sign | (fraction as f32 / 16_777_216.0).to_bits()),
        31 => 0x7F80_0000 | (fraction << 13),
        _ => ((exponent + 112) << 23) | (fraction << 13),
    };
    f32::from_bits(sign | magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_decode_to_their_values() {
        let floats = |format: NumberFormat, bytes: &[u8]| match format.decode(bytes) {
            Numbers::Floats(f) => f,
            Numbers::Integers(_) => panic!("floats are expected"),
        };
        // 1, -2, the smallest subnormal, the largest, infinity.
        let halves = [0x3C00u16, 0xC000, 1, 0x7BFF, 0x7C00]
            .map(u16::to_le_bytes)
            .concat();
        let values = floats(NumberFormat::F16, &halves);
        assert_eq!(values, [1.0, -2.0, 2f32.powi(-24), 65504.0, f32::INFINITY]);
        assert_eq!(floats(NumberFormat::Bf16, &[0x80, 0xBF]), [-1.0]);
        assert_eq!(floats(NumberFormat::F64, &0.5f64.to_le_bytes()), [0.5]);
        let integers = |format: NumberFormat, bytes: &[u8]| format.decode(bytes);
        assert_eq!(
            integers(NumberFormat::Signed(1), &[255, 127]),
            Numbers::Integers(vec![-1, 127])
        );
        assert_eq!(
            integers(NumberFormat::Signed(8), &[255; 8]),
            Numbers::Integers(vec![-1])
        );
        assert_eq!(
            integers(NumberFormat::Unsigned(2), &[255, 255]),
            Numbers::Integers(vec![65535])
        );
        assert_eq!(
            integers(NumberFormat::Unsigned(8), &[255; 8]),
            Numbers::Integers(vec![i64::MAX])
        );
    }
}
