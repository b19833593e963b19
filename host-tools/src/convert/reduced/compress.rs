//! Compression of a layer's channels: all of them are read out of one small network, so a few
//! orthonormal combinations carry the whole kernel matrix.

use super::linalg::{orthonormal, pseudo_random, right_svd};
use crate::convert::ConvertError;
use nalgebra::DMatrix;

/// The most combinations kept. Trained layers have a numerical rank of 12 to 20.
pub const MAX_RANK: usize = 24;

/// Singular values below this, relative to the largest, are dropped.
const CUTOFF: f64 = 1e-7;

/// Extra columns of the random sketch, and rounds of subspace iteration that sharpen it.
const OVERSAMPLING: usize = 8;
const ROUNDS: usize = 2;

/// A kernel matrix `[lags, channels]` as `outputs * basis^T`.
pub struct Compressed {
    /// `[lags, rank]`, columns by falling norm.
    pub outputs: DMatrix<f64>,
    /// Orthonormal columns, `[channels, rank]`.
    pub basis: DMatrix<f64>,
    /// Squared norm of what each channel loses, `[channels]`.
    pub lost: Vec<f64>,
}

/// The leading [`MAX_RANK`] singular directions of a kernel given as `[channels, lags]`, or as many
/// as it has. Found by subspace iteration from a fixed random sketch (Halko, Martinsson, Tropp 2011).
///
/// # Errors
/// [`ConvertError::NoConvergence`].
pub fn compress(transposed: &DMatrix<f64>) -> Result<Compressed, ConvertError> {
    let (channels, lags) = transposed.shape();
    // nalgebra multiplies by a transposed left operand several times slower than by a plain one.
    let kernel = transposed.transpose();
    let sketch = (MAX_RANK + OVERSAMPLING).min(lags).min(channels);
    let mut basis = orthonormal(transposed * pseudo_random(lags, sketch, 1));
    for _ in 0..ROUNDS {
        basis = orthonormal(transposed * (&kernel * &basis));
    }
    let (values, vectors) = right_svd(&kernel * &basis)?;
    let largest = values.first().copied().unwrap_or(0.0);
    let alive = |s: &&f64| **s > largest * CUTOFF;
    let rank = values.iter().take(MAX_RANK).filter(alive).count();
    let basis = basis * vectors.columns(0, rank);
    let outputs = &kernel * &basis;
    let rest = kernel - &outputs * basis.transpose();
    Ok(Compressed {
        outputs,
        basis,
        lost: rest.column_iter().map(|c| c.norm_squared()).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_of_low_rank_is_kept_whole_and_orthogonally() {
        let kernel = pseudo_random(300, 5, 2) * pseudo_random(5, 40, 3);
        let c = compress(&kernel.transpose()).unwrap();
        assert_eq!(c.basis.ncols(), 5);
        let gram = c.basis.tr_mul(&c.basis);
        assert!((gram - DMatrix::identity(5, 5)).amax() < 1e-13);
        assert!((&c.outputs * c.basis.transpose() - &kernel).amax() < 1e-12);
        assert!(c.lost.iter().all(|x| *x < 1e-22));
    }

    #[test]
    fn what_the_rank_limit_drops_is_accounted_for() {
        let kernel = pseudo_random(64, 40, 2);
        let c = compress(&kernel.transpose()).unwrap();
        assert_eq!(c.basis.ncols(), MAX_RANK);
        let kept = c.outputs.norm_squared();
        assert!((kept + c.lost.iter().sum::<f64>() - kernel.norm_squared()).abs() < 1e-10);
    }

    #[test]
    fn nothing_is_left_of_a_zero_kernel() {
        let c = compress(&DMatrix::zeros(3, 10)).unwrap();
        assert_eq!(
            (c.basis.nrows(), c.basis.ncols(), c.outputs.ncols()),
            (3, 0, 0)
        );
    }
}
