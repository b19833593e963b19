//! ESPRIT (Roy & Kailath 1989), one of the matrix pencil methods: the leading left singular vectors of all outputs'
//! Hankel matrices side by side span the poles' powers, and moving those one row on multiplies by
//! the poles.

use super::method::{Method, with_poles};
use anyhow::{Context, Result};
use nalgebra::DMatrix;
use num_complex::Complex64;
use toeplite_tools::convert::reduced::linalg::eigenvalues;
use toeplite_tools::convert::reduced::upper_half;

pub const METHOD: Method = Method {
    name: "ESPRIT",
    fit: |problem, size| with_poles(problem, size, poles),
};

/// Rows of the Hankel matrices; columns are all the lags that follow.
const ROWS: usize = 192;

fn poles(outputs: &DMatrix<f64>, order: usize) -> Result<Vec<Complex64>> {
    let rows = ROWS.min(outputs.nrows() / 2);
    // Their Gram matrix: squares cost half of the digits, which 8 to 16 states do not need.
    let mut gram = DMatrix::zeros(rows, rows);
    for output in outputs.column_iter() {
        let hankel = DMatrix::from_fn(rows, output.len() + 1 - rows, |i, j| output[i + j]);
        gram += &hankel * hankel.transpose();
    }
    let eigen = gram.symmetric_eigen();
    let mut leading: Vec<usize> = (0..rows).collect();
    leading.sort_by(|a, b| eigen.eigenvalues[*b].total_cmp(&eigen.eigenvalues[*a]));
    leading.truncate(order);
    let signal = eigen.eigenvectors.select_columns(&leading);
    let (above, below) = (signal.rows(0, rows - 1), signal.rows(1, rows - 1));
    let step = (above.tr_mul(&above))
        .cholesky()
        .context("the signal subspace is degenerate")?
        .solve(&above.tr_mul(&below));
    Ok(upper_half(eigenvalues(&step)?))
}
