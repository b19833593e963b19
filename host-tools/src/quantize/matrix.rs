//! A matrix in any of the types that a blob stores.

use super::nearest::{QuantizedGroups, QuantizedRows, WeightType, quantize_groups, quantize_rows};
use ndarray::{Array2, ArrayView2};
use toeplite::kernel::dense::int4::COLUMNS;

/// The numbers of a matrix `[rows, columns]`, in the type that a blob stores them in.
#[derive(Clone, Debug, PartialEq)]
pub enum Matrix {
    /// As trained.
    F32(Array2<f32>),
    /// Bytes.
    Int8(QuantizedRows),
    /// Four bits.
    Int4(QuantizedGroups),
}

impl Matrix {
    /// `weights`, each rounded to the nearest number of the type.
    pub fn nearest(weights: ArrayView2<'_, f32>, weight_type: WeightType) -> Self {
        match weight_type {
            WeightType::F32 => Self::F32(weights.as_standard_layout().into_owned()),
            WeightType::Int8 => Self::Int8(quantize_rows(weights)),
            WeightType::Int4 => Self::Int4(quantize_groups(weights)),
        }
    }

    /// The type of its numbers.
    pub fn weight_type(&self) -> WeightType {
        match self {
            Self::F32(_) => WeightType::F32,
            Self::Int8(_) => WeightType::Int8,
            Self::Int4(_) => WeightType::Int4,
        }
    }

    /// `[rows, columns]`.
    pub fn dim(&self) -> (usize, usize) {
        let (weights, rows) = match self {
            Self::F32(weights) => return weights.dim(),
            Self::Int8(q) => (q.integers.len(), q.scales.len()),
            Self::Int4(q) => (q.integers.len(), q.scales.len()),
        };
        (rows, weights.checked_div(rows).unwrap_or(0))
    }

    /// Bytes that a blob takes for it in the portable order: weights and scales.
    pub fn bytes(&self) -> usize {
        let (rows, columns) = self.dim();
        self.weight_type().bytes(rows, columns)
    }

    /// The weights that the numbers stand for, `[rows, columns]`.
    pub fn values(&self) -> Array2<f32> {
        let (rows, columns) = self.dim();
        let groups = columns.div_ceil(COLUMNS);
        let value = |scale: f32, q: i8| scale * f32::from(q);
        match self {
            Self::F32(weights) => weights.clone(),
            Self::Int8(q) => Array2::from_shape_fn((rows, columns), |(i, j)| {
                value(q.scales[i], q.integers[i * columns + j])
            }),
            Self::Int4(q) => Array2::from_shape_fn((rows, columns), |(i, j)| {
                let group = f32::from(q.group_scales[i * groups + j / COLUMNS]);
                value(q.scales[i] * group, q.integers[i * columns + j])
            }),
        }
    }
}
