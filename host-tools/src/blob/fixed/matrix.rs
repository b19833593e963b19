//! Matrices of the contract `fixed`: integers, and multipliers that are part of their scale.

use super::super::pack::pack_int4;
use super::super::writer::{Section, WriteError};
use super::section_i32;
use crate::quantize::{QuantizedGroups, quantize_group};
use ndarray::{Array1, Array2};
use toeplite::format::{ElementType, MAX_COLUMNS_I4, Packing};
use toeplite::kernel::dense::int4::COLUMNS;

/// Bits of the largest multiplier of a matrix.
const MULTIPLIER_BITS: i32 = 16;
/// Of the embedding, where it leaves room above for what the layers add.
const EMBEDDING_BITS: i32 = 13;
/// The largest number of a frame that leaves room for what the layers add. Audio features have none; larger ones take some of it.
const USUAL_FRAME: f64 = 16.0;
/// Bits of the largest number that such frames begin the residual stream with.
const FRAMES_BITS: i32 = 25;
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
    /// `[columns]`: what the weights were multiplied by, of the norm before the map.
    pub folded: Array1<f64>,
    /// The factor that this norm leaves, the root of the width; nothing without a norm.
    pub norm: Option<f64>,
}

/// Places after the point of what goes in and comes out.
#[derive(Clone, Copy)]
pub(super) struct Places {
    pub input: i32,
    pub output: i32,
}

/// Rows of integers: `weight = integer * multiplier * 2^-places`, in groups times the group's scale.
struct Rows {
    packing: Packing,
    columns: usize,
    integers: Vec<i8>,
    /// `[rows, groups]`; empty of bytes.
    group_scales: Vec<u8>,
    multipliers: Vec<u16>,
    places: i32,
    /// The weight that a one, with a multiplier of one and in a group with a scale of one, stands for.
    unit: f64,
}

impl Linear {
    fn rows(&self, packing: Packing) -> Result<Rows, WriteError> {
        let columns = self.weights.ncols();
        if packing == Packing::Groups && columns > MAX_COLUMNS_I4 {
            return Err(WriteError::TooWide { columns });
        }
        let factor = self.norm.unwrap_or(1.0) / 127.0;
        let most_places = largest_places(&self.weights, packing, factor);
        Ok(Rows::of(&self.weights, packing, factor, most_places))
    }

    /// The trained weights as they are stored, without what was folded into them.
    pub fn stored(&self, packing: Packing) -> Result<Array2<f32>, WriteError> {
        let unfolded = |folded: &f64| if *folded == 0.0 { 0.0 } else { 1.0 / folded };
        let values = self.rows(packing)?.values() * self.folded.mapv(|f| unfolded(&f));
        Ok(values.mapv(|w| w as f32))
    }

    /// Weights, multipliers and biases.
    pub fn sections(&self, packing: Packing, places: Places) -> Result<[Section; 3], WriteError> {
        let rows = self.rows(packing)?;
        let low = rows.shift();
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

/// Places of the residual stream such that frames of no number above [`USUAL_FRAME`] leave as much room as an embedding.
pub(super) fn places_of_frames(frames: &Linear) -> Result<i32, WriteError> {
    let rows = frames.weights.rows().into_iter().zip(&frames.bias);
    let largest = rows.map(|(row, bias)| {
        let sum: f64 = row.iter().map(|w| w.abs()).sum();
        USUAL_FRAME * sum + bias.abs()
    });
    let largest = largest.fold(f64::MIN_POSITIVE, f64::max);
    let places = FRAMES_BITS - 1 - largest.log2().floor() as i32;
    if places < 0 {
        let what = "the map of frames".into();
        return Err(WriteError::TooLargeForFixed { what });
    }
    Ok(places.min(30))
}

/// The embedding's weights and multipliers, and the places of the residual stream.
pub(super) fn embedding(
    weights: &Array2<f64>,
    packing: Packing,
) -> Result<([Section; 2], i32), WriteError> {
    let rows = embedding_rows(weights, packing)?;
    let places = rows.places;
    Ok((rows.sections(), places))
}

/// The embedding as it is stored.
pub(super) fn stored_embedding(
    weights: &Array2<f64>,
    packing: Packing,
) -> Result<Array2<f64>, WriteError> {
    Ok(embedding_rows(weights, packing)?.values())
}

fn embedding_rows(weights: &Array2<f64>, packing: Packing) -> Result<Rows, WriteError> {
    // bytes with multipliers of so many bits, and groups with numbers as large
    let places = largest_places(weights, Packing::Rows, 1.0) + EMBEDDING_BITS - MULTIPLIER_BITS;
    if places < 0 {
        let what = "the embedding".into();
        return Err(WriteError::TooLargeForFixed { what });
    }
    Ok(Rows::of(weights, packing, 1.0, places.min(30)))
}

/// The largest integer of a row, in groups times the group's scale.
fn most(packing: Packing) -> f64 {
    match packing {
        Packing::Groups => 7.0 * 255.0,
        _ => 127.0,
    }
}

/// Places with which the largest multiplier of a row takes all its bits.
fn largest_places(weights: &Array2<f64>, packing: Packing, factor: f64) -> i32 {
    let largest = weights.iter().fold(0f64, |m, w| m.max(w.abs()));
    let largest = largest / most(packing) * factor;
    if largest > 0.0 {
        // the smallest power of two above it; the limit keeps shifts in range
        (MULTIPLIER_BITS - 1 - largest.log2().floor() as i32).clamp(-64, 64)
    } else {
        0
    }
}

impl Rows {
    /// Quantizes every row. Its scale is the least multiple of `2^-places / factor` that maps its largest
    /// magnitude into [`most`], so that rounding the multiplier costs nothing.
    fn of(weights: &Array2<f64>, packing: Packing, factor: f64, places: i32) -> Self {
        let unit = f64::from(-places).exp2() / factor;
        let mut out = Self {
            packing,
            columns: weights.ncols(),
            group_scales: Vec::new(),
            integers: Vec::with_capacity(weights.len()),
            multipliers: Vec::with_capacity(weights.nrows()),
            places,
            unit,
        };
        for row in weights.rows() {
            let largest = row.iter().fold(0f64, |m, w| m.max(w.abs()));
            let multiplier = (largest / most(packing) / unit).ceil().min(65_535.0);
            out.push(&row.to_vec(), multiplier * unit);
            out.multipliers.push(multiplier as u16);
        }
        out
    }

    /// Adds the integers of a row with this scale.
    fn push(&mut self, row: &[f64], scale: f64) {
        if self.packing == Packing::Groups {
            for group in row.chunks(COLUMNS) {
                let (group_scale, integers) = quantize_group(group, scale);
                self.group_scales.push(group_scale);
                self.integers.extend(integers);
            }
        } else {
            let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
            let integer = |w: &f64| (w * inverse).round().clamp(-127.0, 127.0) as i8;
            self.integers.extend(row.iter().map(integer));
        }
    }

    /// The integers of each row, by its groups, with the group's scale; of bytes that is 1.
    fn rows(&self) -> impl Iterator<Item = impl Iterator<Item = (&[i8], u8)>> {
        let rows = self.integers.chunks(self.columns).enumerate();
        rows.map(move |(row, integers)| {
            let first = row * self.columns.div_ceil(COLUMNS);
            let scale = move |group| self.group_scales.get(first + group).copied().unwrap_or(1);
            let groups = integers.chunks(COLUMNS).enumerate();
            groups.map(move |(group, integers)| (integers, scale(group)))
        })
    }

    /// The weights that the numbers stand for, `[rows, columns]`.
    fn values(&self) -> Array2<f64> {
        let rows = self.rows().zip(&self.multipliers);
        let values = rows.flat_map(|(row, multiplier)| {
            let unit = f64::from(*multiplier) * self.unit;
            row.flat_map(move |(integers, scale)| {
                let unit = unit * f64::from(scale);
                integers.iter().map(move |w| unit * f64::from(*w))
            })
        });
        let shape = (self.multipliers.len(), self.columns);
        Array2::from_shape_vec(shape, values.collect()).expect("rows of as many integers")
    }

    /// Places that the largest sum of a row has too many.
    fn shift(&self) -> u32 {
        let of_group = |(integers, scale): (&[i8], u8)| -> u32 {
            let sum: u32 = integers.iter().map(|w| u32::from(w.unsigned_abs())).sum();
            127 * u32::from(scale) * sum
        };
        let sums = self.rows().map(|row| row.map(of_group).sum());
        let largest: u32 = sums.max().unwrap_or(0);
        (32 - largest.leading_zeros()).saturating_sub(SUM_BITS)
    }

    fn sections(self) -> [Section; 2] {
        let weights = if self.packing == Packing::Groups {
            let groups = QuantizedGroups {
                integers: self.integers,
                group_scales: self.group_scales,
                scales: Vec::new(), // multipliers instead
            };
            Section {
                element: ElementType::I4,
                bytes: pack_int4(self.packing, &groups, self.columns),
            }
        } else {
            Section {
                element: ElementType::I8,
                bytes: self.integers.iter().map(|w| *w as u8).collect(),
            }
        };
        [
            weights,
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

    /// A matrix with the largest multipliers, and the scale of each row.
    fn rounded(weights: &Array2<f64>, packing: Packing, factor: f64) -> (Rows, Vec<f64>) {
        let places = largest_places(weights, packing, factor);
        let q = Rows::of(weights, packing, factor, places);
        let scale = |m: &u16| f64::from(*m) * f64::from(-places).exp2() / factor;
        let scales = q.multipliers.iter().map(scale).collect();
        (q, scales)
    }

    proptest! {
        #[test]
        fn every_weight_is_within_half_a_step(rows in 1usize..8, columns in 1usize..40, seed in prop::collection::vec(-3f64..3.0, 320), e in -30i32..20) {
            let w = Array2::from_shape_fn((rows, columns), |(i, j)| seed[i * columns + j] * 2f64.powi(e));
            let factor = 0.1;
            let (q, scales) = rounded(&w, Packing::Rows, factor);
            let largest = w.iter().fold(0f64, |m, w| m.max(w.abs()));
            let values = q.values();
            for ((i, j), w) in w.indexed_iter() {
                let back = values[[i, j]];
                prop_assert!((w - back).abs() <= 0.500_01 * scales[i] + largest * 2e-5, "{w} {back}");
            }
        }

        /// On average: the largest of a group may be cut off where that brings the others closer.
        #[test]
        fn every_group_is_within_half_a_step(rows in 1usize..4, columns in 1usize..100, seed in prop::collection::vec(-3f64..3.0, 300), e in -30i32..20) {
            let w = Array2::from_shape_fn((rows, columns), |(i, j)| seed[i * columns + j] * 2f64.powi(e));
            let (q, scales) = rounded(&w, Packing::Groups, 0.1);
            for ((row, w), scale) in q.rows().zip(w.rows()).zip(scales) {
                for ((integers, group_scale), w) in row.zip(w.to_vec().chunks(COLUMNS)) {
                    let step = scale * f64::from(group_scale);
                    let errors = integers.iter().zip(w).map(|(q, w)| w - step * f64::from(*q));
                    let error = (errors.map(|e| e * e).sum::<f64>() / w.len() as f64).sqrt();
                    let largest = w.iter().fold(0f64, |m, w| m.max(w.abs()));
                    // half a step of seven to the largest, and the group's scale is rounded, too
                    prop_assert!(error <= largest / 7.0 * 0.5 + scale, "{error} {largest} {scale}");
                }
            }
        }
    }

    #[test]
    fn zeros_have_multipliers_of_zero() {
        let zeros = Array2::zeros((2, 3));
        for packing in [Packing::Rows, Packing::Groups] {
            let q = Rows::of(&zeros, packing, 1.0, largest_places(&zeros, packing, 1.0));
            assert_eq!((q.integers, q.multipliers), (vec![0; 6], vec![0; 2]));
        }
    }

    #[test]
    fn sums_of_rows_fit() {
        let ones = Array2::from_elem((1, 1000), 1.0);
        for (packing, sum) in [
            (Packing::Rows, 127 * 127 * 1000u32),
            (Packing::Groups, 127 * 1785 * 1000),
        ] {
            let q = Rows::of(&ones, packing, 1.0, largest_places(&ones, packing, 1.0));
            let shifted = sum >> q.shift();
            // as many bits as there may be, and no more
            assert_eq!(shifted >> (SUM_BITS - 1), 1, "{packing:?}");
        }
    }
}
