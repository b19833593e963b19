//! Rounding to nearest.

use ndarray::ArrayView2;
use toeplite::format::{Packing, SMALLEST};
use toeplite::kernel::dense::int4::COLUMNS;

/// How a blob stores its matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WeightType {
    /// As trained, rounded to f32; activations stay f32.
    F32,
    /// Signed bytes with a scale a row; activations are quantized to signed bytes at every step.
    Int8,
    /// Four bits, in groups of 32 columns with a scale each (4.25 bits a weight); activations as with
    /// int8.
    Int4,
}

impl WeightType {
    /// As `--weights` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Int8 => "int8",
            Self::Int4 => "int4",
        }
    }

    /// Bytes that a blob takes for a matrix in the portable order: weights and scales of rows.
    pub const fn bytes(self, rows: usize, columns: usize) -> usize {
        match self {
            Self::F32 => 4 * rows * columns,
            Self::Int8 => Packing::Rows.bytes(rows, columns) + 4 * rows,
            Self::Int4 => Packing::Groups.bytes(rows, columns) + 4 * rows,
        }
    }
}

/// A matrix of signed bytes with one scale a row.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedRows {
    /// `[rows, columns]`, row-major, in -127..=127.
    pub integers: Vec<i8>,
    /// `[rows]`.
    pub scales: Vec<f32>,
}

/// Quantizes every row of `weights` to nearest with the scale that maps its largest magnitude
/// to 127. -128 is not used: products of two codes stay symmetric and a pair of them fits 15 bits.
pub fn quantize_rows(weights: ArrayView2<'_, f32>) -> QuantizedRows {
    let mut out = QuantizedRows {
        integers: Vec::with_capacity(weights.len()),
        scales: Vec::with_capacity(weights.nrows()),
    };
    for row in weights.rows() {
        let largest = row.iter().fold(0f32, |m, w| m.max(w.abs()));
        let scale = largest / 127.0;
        // the runtime's contract has no scales below 2^-50: such a row is zero
        let scale = if scale < SMALLEST { 0.0 } else { scale };
        let inverse = if scale == 0.0 {
            0.0
        } else {
            1.0 / f64::from(scale)
        };
        out.integers.extend(
            row.iter()
                .map(|w| (f64::from(*w) * inverse).round().clamp(-127.0, 127.0) as i8),
        );
        out.scales.push(scale);
    }
    out
}

/// A matrix of integers in -7..=7 with a scale a row and group of 32 columns, and one a row:
/// `weight = scale * group scale * integer`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuantizedGroups {
    /// `[rows, columns]`, row-major, in -7..=7.
    pub integers: Vec<i8>,
    /// `[rows, groups]`.
    pub group_scales: Vec<u8>,
    /// `[rows]`.
    pub scales: Vec<f32>,
}

/// Scales of a group that are tried, as parts of the one that maps its largest magnitude to 7: a
/// smaller one cuts the largest off and has smaller steps for the others.
const PARTS: std::ops::RangeInclusive<u32> = 12..=20;

/// Quantizes every group of 32 columns of every row to nearest, with the scale of the smallest squared
/// error among a few.
pub fn quantize_groups(weights: ArrayView2<'_, f32>) -> QuantizedGroups {
    let mut out = QuantizedGroups {
        integers: Vec::with_capacity(weights.len()),
        group_scales: Vec::new(),
        scales: Vec::with_capacity(weights.nrows()),
    };
    for row in weights.rows() {
        let row: Vec<f64> = row.iter().map(|w| f64::from(*w)).collect();
        let scale = (largest(&row) / (7.0 * 255.0)) as f32;
        // the runtime's contract has no scales below 2^-50: such a row is zero
        let scale = if scale < SMALLEST { 0.0 } else { scale };
        for group in row.chunks(COLUMNS) {
            let (group_scale, integers) = quantize_group(group, f64::from(scale));
            out.group_scales.push(group_scale);
            out.integers.extend(integers);
        }
        out.scales.push(scale);
    }
    out
}

fn largest(weights: &[f64]) -> f64 {
    weights.iter().fold(0.0, |m, w| m.max(w.abs()))
}

/// The scale and integers of a group of at most 32 columns, of a row whose scale is `row_scale`.
pub fn quantize_group(group: &[f64], row_scale: f64) -> (u8, Vec<i8>) {
    let whole = largest(group) / (7.0 * row_scale);
    let candidates = PARTS.map(|part| {
        let part = f64::from(part) / f64::from(*PARTS.end());
        let group_scale = (whole * part).round().clamp(1.0, 255.0);
        let step = row_scale * group_scale;
        let integers: Vec<f64> = group
            .iter()
            .map(|w| (w / step).round().clamp(-7.0, 7.0))
            .collect();
        let errors = group.iter().zip(&integers).map(|(w, q)| w - q * step);
        let error: f64 = errors.map(|e| e * e).sum();
        (error, group_scale, integers)
    });
    match candidates.min_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((_, group_scale, integers)) if whole.is_finite() && whole > 0.0 => (
            group_scale as u8,
            integers.into_iter().map(|q| q as i8).collect(),
        ),
        // zeros, or a row that is zero
        _ => (0, vec![0; group.len()]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array2;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_weight_is_within_half_a_step(rows in 1usize..8, columns in 1usize..40, seed in prop::collection::vec(-3f32..3.0, 320), e in -60i32..60) {
            let w = Array2::from_shape_fn((rows, columns), |(i, j)| seed[i * columns + j] * 2f32.powi(e));
            let q = quantize_rows(w.view());
            for ((i, j), w) in w.indexed_iter() {
                let back = q.scales[i] * f32::from(q.integers[i * columns + j]);
                prop_assert!((w - back).abs() <= 0.500_01 * q.scales[i] + SMALLEST * 127.0);
            }
        }
    }

    proptest! {
        #[test]
        fn every_group_is_at_least_as_close_as_by_its_largest_weight(columns in 1usize..100, seed in prop::collection::vec(-3f32..3.0, 300), e in -30i32..30) {
            let w = Array2::from_shape_fn((3, columns), |(i, j)| seed[i * columns + j] * 2f32.powi(e));
            let q = quantize_groups(w.view());
            let groups = columns.div_ceil(COLUMNS);
            for (i, row) in w.rows().into_iter().enumerate() {
                let row = row.to_vec();
                let row_largest = row.iter().fold(0f32, |m, w| m.max(w.abs()));
                for (g, group) in row.chunks(COLUMNS).enumerate() {
                    let step = q.scales[i] * f32::from(q.group_scales[i * groups + g]);
                    let of = |k: usize| f32::from(q.integers[i * columns + g * COLUMNS + k]);
                    let error: f32 = group.iter().enumerate().map(|(k, w)| (w - step * of(k)).powi(2)).sum();
                    // half a step of seven to the largest, and the group's scale is rounded, too
                    let largest = group.iter().fold(0f32, |m, w| m.max(w.abs()));
                    let bound = largest / 7.0 * 0.5 + row_largest / 255.0;
                    prop_assert!(error <= group.len() as f32 * bound * bound, "{} {}", error, bound);
                    prop_assert!((0..group.len()).all(|k| of(k).abs() <= 7.0));
                }
            }
        }
    }

    #[test]
    fn groups_of_zeros_have_scale_zero() {
        let mut w = Array2::zeros((2, 40));
        w[(1, 39)] = -1.0;
        let q = quantize_groups(w.view());
        assert_eq!(q.group_scales, [0, 0, 0, 255]);
        assert_eq!(q.scales[0], 0.0);
        assert_eq!(q.integers.iter().filter(|q| **q != 0).count(), 1);
        assert_eq!(q.integers[79], -7);
    }

    #[test]
    fn rows_of_zeros_have_scale_zero() {
        let q = quantize_rows(Array2::zeros((2, 3)).view());
        assert_eq!(
            q,
            QuantizedRows {
                integers: vec![0; 6],
                scales: vec![0.0; 2]
            }
        );
    }
}
