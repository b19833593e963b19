//! A matrix in the blob, and its product with a vector.

use crate::format::WeightOrder;
use crate::kernel::{self, dense};

/// A `[rows, columns]` matrix with an optional bias.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    weights: Weights<'a>,
    bias: &'a [f32],
    columns: usize,
}

#[derive(Clone, Copy, Debug)]
enum Weights<'a> {
    F32(&'a [f32]),
    I8 {
        order: WeightOrder,
        integers: &'a [i8],
        scales: &'a [f32],
    },
}

impl<'a> Matrix<'a> {
    pub(crate) fn new_f32(weights: &'a [f32], bias: &'a [f32], columns: usize) -> Self {
        Self {
            weights: Weights::F32(weights),
            bias,
            columns,
        }
    }

    pub(crate) fn new_i8(
        order: WeightOrder,
        integers: &'a [i8],
        scales: &'a [f32],
        bias: &'a [f32],
        columns: usize,
    ) -> Self {
        Self {
            weights: Weights::I8 {
                order,
                integers,
                scales,
            },
            bias,
            columns,
        }
    }

    /// `y = W x + bias`, `x` of `columns` numbers. For int8 weights `x` is first quantized into `q`.
    /// `q` has [`quantized_words`](WeightOrder::quantized_words) of them.
    pub(crate) fn multiply(&self, x: &[f32], q: &mut [u32], y: &mut [f32]) {
        if self.columns == 0 {
            return; // never: dimensions are checked; it tells the compiler that chunks have a size
        }
        match self.weights {
            Weights::F32(weights) => {
                for (row, y) in weights.chunks_exact(self.columns).zip(y.iter_mut()) {
                    *y = kernel::dot_f32(row, x);
                }
                for (y, bias) in y.iter_mut().zip(self.bias) {
                    *y += bias;
                }
            }
            Weights::I8 {
                order,
                integers,
                scales,
            } => {
                let scale = kernel::quantize(order, x, q);
                let sums = bytemuck::try_cast_slice_mut(y).unwrap_or_default();
                dense::product(order, integers, self.columns, q, sums);
                dense::scale(scale, scales, self.bias, y);
            }
        }
    }

    /// `out = scale * W[row]`. Leaves `out` alone if there is no such row.
    pub(crate) fn row(&self, row: usize, scale: f32, out: &mut [f32]) {
        let start = row.saturating_mul(self.columns);
        let range = start..start.saturating_add(self.columns);
        match self.weights {
            Weights::F32(weights) => {
                for (out, w) in out.iter_mut().zip(weights.get(range).unwrap_or(&[])) {
                    *out = w * scale;
                }
            }
            Weights::I8 {
                order,
                integers,
                scales,
            } => {
                let scale = scales.get(row).copied().unwrap_or(0.0) * scale;
                match order {
                    WeightOrder::Portable => {
                        for (out, w) in out.iter_mut().zip(integers.get(range).unwrap_or(&[])) {
                            *out = f32::from(*w) * scale;
                        }
                    }
                    WeightOrder::Dual => {
                        let integers = dense::dual::row(integers, row, self.columns);
                        for (out, w) in out.iter_mut().zip(integers) {
                            *out = w as f32 * scale;
                        }
                    }
                }
            }
        }
    }

    /// Whether the weights are int8.
    pub fn is_i8(&self) -> bool {
        matches!(self.weights, Weights::I8 { .. })
    }

    /// Bytes in the blob: weights, scales and biases.
    pub fn bytes(&self) -> usize {
        let weights = match self.weights {
            Weights::F32(weights) => 4 * weights.len(),
            Weights::I8 {
                integers, scales, ..
            } => integers.len() + 4 * scales.len(),
        };
        weights + 4 * self.bias.len()
    }
}
