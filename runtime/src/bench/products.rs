//! Cases that both contracts have: exact sums of integers.

use super::data::{floats, int4_256x256, int8_64x64, int8_256x256, integers, weights};
use super::{Bench, Case, Contract, INT4, INT8, Meter, bits};
use crate::format::Packing;
use crate::kernel::dense;
use core::hint::black_box;

/// A product of integers: a matrix and, of one token and of two, the name.
pub(super) struct Product {
    pub names: [&'static str; 2],
    pub packing: Packing,
    pub weights: &'static [i8],
    pub rows: usize,
    pub columns: usize,
}

macro_rules! product {
    ($name:literal, $packing:ident, $weights:expr, $rows:literal, $columns:literal) => {
        Product {
            names: [
                concat!("product ", $name),
                concat!("product ", $name, " x2"),
            ],
            packing: $packing,
            weights: $weights,
            rows: $rows,
            columns: $columns,
        }
    };
}

/// Shapes that fit no block or part are here for their results.
pub(super) fn products() -> [Product; 10] {
    [
        product!("int8 256x256", INT8, int8_256x256(), 256, 256),
        product!("int8 64x64", INT8, int8_64x64(), 64, 64),
        product!("int8 7x13", INT8, weights!(7, 13), 7, 13),
        product!("int8 7x26", INT8, weights!(7, 26), 7, 26),
        product!("int8 5x520", INT8, weights!(5, 520), 5, 520),
        product!("int8 3x1100", INT8, weights!(3, 1100), 3, 1100),
        product!("int4 256x256", INT4, int4_256x256(), 256, 256),
        product!("int4 7x13", INT4, weights!(int4 7, 13), 7, 13),
        product!("int4 43x40", INT4, weights!(int4 43, 40), 43, 40),
        product!("int4 5x520", INT4, weights!(int4 5, 520), 5, 520),
    ]
}

impl<M: Meter> Bench<'_, M> {
    /// Sums of products, of one token.
    pub(super) fn products(&mut self) {
        self.dot();
        for of in products() {
            let [name, _] = of.names;
            let case = Case::new(name, Contract::Both, of.rows * of.columns);
            let (packing, weights, columns) = black_box((of.packing, of.weights, of.columns));
            crate::kernel::quantize(packing, floats(columns, 1500), self.quantized);
            let q = black_box(&self.quantized[..]);
            let sums = black_box(bits(self.y).get_mut(..of.rows).unwrap_or_default());
            self.meter
                .count(case, || product(packing, weights, columns, q, sums));
            self.finish_y(case, of.rows);
        }
    }

    fn dot(&mut self) {
        let [w, v] = black_box([integers(256, 0), integers(256, 256)]);
        let case = Case::new("dot_i8 256", Contract::Both, 256);
        let mut sum = 0;
        self.meter.count(case, || sum = dot_i8(w, v));
        self.finish(case, &[sum as f32]); // below 2^24: exact
    }
}

// What is counted: calls as a program makes them, never inlined.

#[inline(never)]
fn dot_i8(x: &[i8], y: &[i8]) -> i32 {
    crate::kernel::dot_i8(x, y)
}

#[inline(never)]
fn product(packing: Packing, weights: &[i8], columns: usize, q: &[u32], sums: &mut [i32]) {
    dense::product(packing, weights, columns, q, sums);
}
