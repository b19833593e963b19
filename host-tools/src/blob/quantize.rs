//! Weight quantization.

use ndarray::ArrayView2;
use toeplite::format::SMALLEST;

/// How a blob stores its matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum WeightType {
    /// As trained, rounded to f32; activations stay f32.
    F32,
    /// Signed bytes with a scale a row; activations are quantized to signed bytes at every step.
    Int8,
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
