//! Mean products of vectors.

use ndarray::{Array2, ArrayView2, Axis, s};
use rayon::prelude::*;

/// Columns computed together; the sums, and so the bits, do not depend on the number of threads.
const STRIPE: usize = 64;
/// Rows added up in f32 before they go into the sums in f64.
const BLOCK: usize = 256;

/// The mean of `a b^T` over the rows `a` and `b` of two matrices of as many rows: `[columns of a,
/// columns of b]`.
pub fn mean_product(a: ArrayView2<'_, f32>, b: ArrayView2<'_, f32>) -> Array2<f64> {
    let rows = a.nrows().max(1) as f64;
    let mut product = Array2::zeros((a.ncols(), b.ncols()));
    let stripe = |(mut sums, b): (ndarray::ArrayViewMut2<'_, f64>, ArrayView2<'_, f32>)| {
        let blocks = a.axis_chunks_iter(Axis(0), BLOCK);
        for (a, b) in blocks.zip(b.axis_chunks_iter(Axis(0), BLOCK)) {
            sums.zip_mut_with(&a.t().dot(&b), |sum, x| *sum += f64::from(*x));
        }
        sums /= rows;
    };
    let stripes = product.axis_chunks_iter_mut(Axis(1), STRIPE);
    stripes
        .into_par_iter()
        .zip(b.axis_chunks_iter(Axis(1), STRIPE))
        .for_each(stripe);
    product
}

/// `x w^T`, in parallel.
pub fn product(x: ArrayView2<'_, f32>, w: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut y = Array2::zeros((x.nrows(), w.nrows()));
    y.axis_chunks_iter_mut(Axis(0), BLOCK)
        .into_par_iter()
        .zip(x.axis_chunks_iter(Axis(0), BLOCK))
        .for_each(|(mut y, x)| y.assign(&x.dot(&w.t())));
    y
}

/// Both halves of the rows of a matrix.
pub fn halves(x: &Array2<f32>) -> [ArrayView2<'_, f32>; 2] {
    let half = x.nrows() / 2;
    [x.slice(s![..half, ..]), x.slice(s![half.., ..])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_product_is_its_definition() {
        let a = Array2::from_shape_fn((300, 70), |(i, j)| ((i * 7 + j * 3) % 13) as f32 - 6.0);
        let b = Array2::from_shape_fn((300, 5), |(i, j)| ((i * 5 + j) % 11) as f32 - 5.0);
        let got = mean_product(a.view(), b.view());
        for ((j, k), got) in got.indexed_iter() {
            let sum: f32 = (0..300).map(|i| a[(i, j)] * b[(i, k)]).sum();
            assert!((got - f64::from(sum) / 300.0).abs() < 1e-9, "{j} {k}");
        }
    }
}
