//! A matrix in the blob, and its product with a vector.

use crate::format::Packing;
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
    Integers {
        packing: Packing,
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

    pub(crate) fn new_integers(
        packing: Packing,
        integers: &'a [i8],
        scales: &'a [f32],
        bias: &'a [f32],
        columns: usize,
    ) -> Self {
        Self {
            weights: Weights::Integers {
                packing,
                integers,
                scales,
            },
            bias,
            columns,
        }
    }

    /// `y = W x + bias`, `x` of `columns` numbers. For integer weights `x` is first quantized into `q`.
    /// `q` has [`quantized_words`](Packing::quantized_words) of them.
    pub(crate) fn multiply(&self, x: &[f32], q: &mut [u32], y: &mut [f32]) {
        if self.columns == 0 {
            return; // never: dimensions are checked; it tells the compiler that chunks have a size
        }
        match self.weights {
            Weights::F32(weights) => self.multiply_floats(weights, x, y),
            Weights::Integers { packing, .. } => {
                let scale = kernel::quantize(packing, x, q);
                self.multiply_quantized(scale, q, y);
            }
        }
    }

    #[inline(never)] // of models with integer weights the stack has no place for it
    fn multiply_floats(&self, weights: &[f32], x: &[f32], y: &mut [f32]) {
        // columns are never 0 here, which the compiler does not see
        for (row, y) in weights.chunks_exact(self.columns.max(1)).zip(y.iter_mut()) {
            *y = kernel::dot_f32(row, x);
        }
        for (y, bias) in y.iter_mut().zip(self.bias) {
            *y += bias;
        }
    }

    /// `y = W (scale q) + bias`, of integer weights.
    #[inline(never)] // its stack is not to be taken yet while the input is quantized
    fn multiply_quantized(&self, scale: f32, q: &[u32], y: &mut [f32]) {
        let Weights::Integers {
            packing,
            integers,
            scales,
        } = self.weights
        else {
            return;
        };
        let sums = bytemuck::try_cast_slice_mut(y).unwrap_or_default();
        dense::product(packing, integers, self.columns, q, sums);
        dense::scale(scale, scales, self.bias, y);
    }

    /// [`multiply`](Self::multiply) for two tokens, which integer weights are read once for. `joined` is for
    /// both quantized vectors, [`joined_words`](Packing::joined_words) of them.
    pub(crate) fn multiply_two(
        &self,
        (x0, q0, y0): (&[f32], &mut [u32], &mut [f32]),
        (x1, q1, y1): (&[f32], &mut [u32], &mut [f32]),
        joined: &mut [u32],
    ) {
        let Weights::Integers {
            packing,
            integers,
            scales,
        } = self.weights
        else {
            self.multiply(x0, q0, y0);
            return self.multiply(x1, q1, y1);
        };
        let scale0 = kernel::quantize(packing, x0, q0);
        let scale1 = kernel::quantize(packing, x1, q1);
        let sums0 = bytemuck::try_cast_slice_mut(y0).unwrap_or_default();
        let sums1 = bytemuck::try_cast_slice_mut(y1).unwrap_or_default();
        let columns = self.columns;
        dense::product_of_two(packing, integers, columns, [q0, q1], joined, [sums0, sums1]);
        dense::scale(scale0, scales, self.bias, y0);
        dense::scale(scale1, scales, self.bias, y1);
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
            Weights::Integers {
                packing,
                integers,
                scales,
            } => {
                let scale = scales.get(row).copied().unwrap_or(0.0) * scale;
                match packing {
                    _ if !dense::is_read(packing) => {}
                    Packing::Rows => {
                        for (out, w) in out.iter_mut().zip(integers.get(range).unwrap_or(&[])) {
                            *out = f32::from(*w) * scale;
                        }
                    }
                    Packing::Dual => {
                        let integers = dense::dual::row(integers, row, self.columns);
                        for (out, w) in out.iter_mut().zip(integers) {
                            *out = w as f32 * scale;
                        }
                    }
                    Packing::Groups | Packing::Quad => {
                        let integers = dense::int4::row(packing, integers, row, self.columns);
                        for (out, w) in out.iter_mut().zip(integers) {
                            *out = w as f32 * scale;
                        }
                    }
                }
            }
        }
    }

    /// How integer weights lie; none for f32.
    pub fn packing(&self) -> Option<Packing> {
        match self.weights {
            Weights::F32(_) => None,
            Weights::Integers { packing, .. } => Some(packing),
        }
    }

    /// Bytes in the blob: weights, scales and biases.
    pub fn bytes(&self) -> usize {
        let weights = match self.weights {
            Weights::F32(weights) => 4 * weights.len(),
            Weights::Integers {
                integers, scales, ..
            } => integers.len() + 4 * scales.len(),
        };
        weights + 4 * self.bias.len()
    }
}
