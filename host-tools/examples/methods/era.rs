//! The Eigensystem Realization Algorithm as it is published (Juang & Pappa 1985): the singular value
//! decomposition of the written-out Hankel matrix of the first lags.

use super::method::{Method, with_poles};
use anyhow::Result;
use nalgebra::DMatrix;
use num_complex::Complex64;
use toeplite_tools::convert::reduced::linalg::{eigenvalues, right_svd};
use toeplite_tools::convert::reduced::upper_half;

pub const METHOD: Method = Method {
    name: "ERA, first 512 lags",
    fit: |problem, size| with_poles(problem, size, poles),
};

/// Lags that the matrix is made of.
const LAGS: usize = 512;

fn poles(outputs: &DMatrix<f64>, order: usize) -> Result<Vec<Complex64>> {
    let side = outputs.nrows().min(LAGS) / 2;
    let hankel = |shift: usize| {
        DMatrix::from_fn(outputs.ncols() * side, side, |row, j| {
            let lag = row % side + j + shift;
            outputs.get((lag, row / side)).copied().unwrap_or(0.0)
        })
    };
    let (now, next) = (hankel(0), hankel(1));
    let (values, right) = right_svd(now.clone())?;
    let order = order.min(values.len());
    let right = right.columns(0, order);
    // With H = U S V^T, A = S^-1/2 U^T H' V S^-1/2 and U = H V S^-1.
    let moved = (now * right).transpose() * (next * right);
    let step = DMatrix::from_fn(order, order, |i, j| {
        moved[(i, j)] / (values[i] * (values[i] * values[j]).sqrt())
    });
    Ok(upper_half(eigenvalues(&step)?))
}
