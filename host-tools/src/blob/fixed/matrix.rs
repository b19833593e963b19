//! Matrices of the contract `fixed`: signed bytes, and multipliers that are part of their scale.

use super::super::writer::{Section, WriteError};
use super::section_i32;
use ndarray::{Array1, Array2};
use toeplite::format::ElementType;

/// Bits of the largest multiplier of a matrix.
const MULTIPLIER_BITS: i32 = 16;
/// Of the embedding, where it leaves room above for what the layers add.
const EMBEDDING_BITS: i32 = 13;
/// Bits of a row's largest sum after the matrix's shift.
const SUM_BITS: u32 = 16;

/// A linear map with a bias.
pub(super) struct Linear {
    /// What it is called in the checkpoint.
    pub name: String,
    /// `[rows, columns]`.
    pub weights: Array2<f64>,
    /// `[rows]`.
    pub bias: Array1<f64>,
}

/// Places after the point of what goes in and comes out.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub input: i32,
    pub output: i32,
}

/// Rows of signed bytes: `weight = integer * multiplier * 2^-places`.
struct Rows {
    integers: Vec<i8>,
    multipliers: Vec<u16>,
    places: i32,
}

impl Linear {
    /// Weights, multipliers and biases; `norm` is the factor that a norm leaves, if there is one.
    pub fn sections(&self, norm: Option<f64>, places: Places) -> Result<[Section; 3], WriteError> {
        let factor = norm.unwrap_or(1.0) / 127.0;
        let rows = Rows::of(&self.weights, factor, largest_places(&self.weights, factor));
        let low = rows.shift(self.weights.ncols());
        let shift = rows.places + places.input - places.output - 16 - low as i32;
        let mut numbers = vec![low as i32, shift];
        for bias in &self.bias {
            let bias = (bias * f64::from(places.output).exp2()).round();
            if bias.abs() >= f64::from(1 << 30) {
                let what = format!("a bias of {}", self.name);
                return Err(WriteError::TooLargeForFixed { what });
            }
            numbers.push(bias as i32);
        }
        let bias = section_i32(numbers);
        let [weights, multipliers] = rows.sections();
        Ok([weights, multipliers, bias])
    }
}

/// The embedding's weights and multipliers, and the places of the residual stream.
pub(super) fn embedding(weights: &Array2<f32>) -> Result<([Section; 2], i32), WriteError> {
    let weights = weights.mapv(f64::from);
    let spare = MULTIPLIER_BITS - EMBEDDING_BITS;
    let places = largest_places(&weights, 1.0) - spare;
    if places < 0 {
        let what = "the embedding".into();
        return Err(WriteError::TooLargeForFixed { what });
    }
    let rows = Rows::of(&weights, 1.0, places.min(30));
    let places = rows.places;
    Ok((rows.sections(), places))
}

/// Places with which the largest multiplier of a row takes all its bits.
fn largest_places(weights: &Array2<f64>, factor: f64) -> i32 {
    let largest = weights.iter().fold(0f64, |m, w| m.max(w.abs())) / 127.0 * factor;
    if largest > 0.0 {
        // the smallest power of two above it; the limit keeps shifts in range
        (MULTIPLIER_BITS - 1 - largest.log2().floor() as i32).clamp(-64, 64)
    } else {
        0
    }
}

impl Rows {
    /// Quantizes every row to nearest. Its scale is the least multiple of `2^-places / factor` that maps its
    /// largest magnitude into 127, so that rounding the multiplier costs nothing.
    fn of(weights: &Array2<f64>, factor: f64, places: i32) -> Self {
        let mut out = Self {
            integers: Vec::with_capacity(weights.len()),
            multipliers: Vec::with_capacity(weights.nrows()),
            places,
        };
        let unit = f64::from(-places).exp2() / factor;
        for row in weights.rows() {
            let largest = row.iter().fold(0f64, |m, w| m.max(w.abs()));
            let multiplier = (largest / 127.0 / unit).ceil().min(65_535.0);
            let inverse = if multiplier > 0.0 {
                1.0 / (multiplier * unit)
            } else {
                0.0
            };
            let integer = |w: &f64| (w * inverse).round().clamp(-127.0, 127.0) as i8;
            out.integers.extend(row.iter().map(integer));
            out.multipliers.push(multiplier as u16);
        }
        out
    }

    /// Places that the largest sum of a row has too many.
    fn shift(&self, columns: usize) -> u32 {
        let sum = |row: &[i8]| row.iter().map(|w| 127 * u32::from(w.unsigned_abs())).sum();
        let largest: u32 = self.integers.chunks(columns).map(sum).max().unwrap_or(0);
        (32 - largest.leading_zeros()).saturating_sub(SUM_BITS)
    }

    fn sections(self) -> [Section; 2] {
        [
            Section {
                element: ElementType::I8,
                bytes: self.integers.iter().map(|w| *w as u8).collect(),
            },
            Section {
                element: ElementType::U16,
                bytes: self
                    .multipliers
                    .into_iter()
                    .flat_map(u16::to_le_bytes)
                    .collect(),
            },
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_weight_is_within_half_a_step(rows in 1usize..8, columns in 1usize..40, seed in prop::collection::vec(-3f64..3.0, 320), e in -30i32..20) {
            let w = Array2::from_shape_fn((rows, columns), |(i, j)| seed[i * columns + j] * 2f64.powi(e));
            let factor = 0.1;
            let q = Rows::of(&w, factor, largest_places(&w, factor));
            let largest = w.iter().fold(0f64, |m, w| m.max(w.abs()));
            for ((i, j), w) in w.indexed_iter() {
                let scale = f64::from(q.multipliers[i]) * f64::from(-q.places).exp2() / factor;
                let back = scale * f64::from(q.integers[i * columns + j]);
                prop_assert!((w - back).abs() <= 0.500_01 * scale + largest * 2e-5, "{w} {back}");
            }
        }
    }

    #[test]
    fn zeros_have_multipliers_of_zero() {
        let zeros = Array2::zeros((2, 3));
        let q = Rows::of(&zeros, 1.0, largest_places(&zeros, 1.0));
        assert_eq!((q.integers, q.multipliers), (vec![0; 6], vec![0; 2]));
    }

    #[test]
    fn sums_of_rows_fit() {
        let q = Rows::of(&Array2::from_elem((1, 1000), 1.0), 1.0, 20);
        let sum: u32 = 127 * 127 * 1000;
        assert!(sum >> q.shift(1000) < 1 << SUM_BITS);
    }
}
