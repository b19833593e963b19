//! Products of two tokens at once, as prefill in blocks takes them.

use super::data::floats;
use super::products::{Product, products};
use super::{Bench, Case, Contract, Meter, bits};
use crate::format::Packing;
use crate::kernel::dense;
use crate::matrix::Matrix;
use crate::memory::take;
use core::hint::black_box;

/// Where the activations of the tokens are.
const STARTS: [usize; 2] = [1500, 2100];

impl<M: Meter> Bench<'_, M> {
    /// Sums of products, and whole ones.
    pub(super) fn two(&mut self) {
        for of in products() {
            self.product_of_two(&of);
            match of.names {
                ["product int8 256x256", _] => self.whole_of_two("int8 256x256 x2", &of),
                ["product int4 256x256", _] => self.whole_of_two("int4 256x256 x2", &of),
                _ => {}
            }
        }
    }

    fn product_of_two(&mut self, of: &Product) {
        let [_, name] = of.names;
        let case = Case::new(name, Contract::Both, 2 * of.rows * of.columns);
        let (packing, weights, columns) = black_box((of.packing, of.weights, of.columns));
        let mut words: &mut [u32] = bytemuck::try_cast_slice_mut(self.state).unwrap_or_default();
        let second = take(&mut words, packing.quantized_words(columns));
        for (start, q) in STARTS
            .into_iter()
            .zip([&mut self.quantized[..], &mut *second])
        {
            crate::kernel::quantize(packing, floats(columns, start), q);
        }
        let q = black_box([&self.quantized[..], second]);
        let mut sums = bits(self.y);
        let sums = black_box([take(&mut sums, of.rows), take(&mut sums, of.rows)]);
        self.meter
            .count(case, || product(packing, weights, columns, q, words, sums));
        self.finish_y(case, 2 * of.rows);
    }

    /// A whole product: quantization of the activations, integers, scales, bias.
    fn whole_of_two(&mut self, name: &'static str, of: &Product) {
        let (rows, columns) = (of.rows, of.columns);
        let case = Case::new(name, Contract::F32, 2 * rows * columns);
        let (scales, bias) = (floats(rows, 7), floats(rows, 900));
        let matrix = Matrix::new_integers(of.packing, of.weights, scales, bias, columns);
        let matrix = black_box(matrix);
        let x = black_box(STARTS.map(|start| floats(columns, start)));
        let mut words: &mut [u32] = bytemuck::try_cast_slice_mut(self.state).unwrap_or_default();
        let second = take(&mut words, of.packing.quantized_words(columns));
        let q = black_box([&mut self.quantized[..], second]);
        let mut y = &mut self.y[..];
        let y = black_box([take(&mut y, rows), take(&mut y, rows)]);
        self.meter.count(case, || multiply(&matrix, x, q, words, y));
        self.finish_y(case, 2 * rows);
    }
}

// What is counted: calls as a program makes them, never inlined.

#[inline(never)]
fn product(
    packing: Packing,
    weights: &[i8],
    columns: usize,
    q: [&[u32]; 2],
    joined: &mut [u32],
    sums: [&mut [i32]; 2],
) {
    dense::product_of_two(packing, weights, columns, q, joined, sums);
}

#[inline(never)]
fn multiply(
    matrix: &Matrix<'_>,
    [x0, x1]: [&[f32]; 2],
    [q0, q1]: [&mut [u32]; 2],
    joined: &mut [u32],
    [y0, y1]: [&mut [f32]; 2],
) {
    matrix.multiply_two((x0, q0, y0), (x1, q1, y1), joined);
}
