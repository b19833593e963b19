//! The few dense routines that the reduction needs, on top of nalgebra.

use crate::convert::ConvertError;
use nalgebra::{DMatrix, SVD, Schur};
use num_complex::Complex64;

/// Iterations after which nalgebra's SVD or Schur form counts as failed.
const MAX_ITERATIONS: usize = 10_000;

/// Random orthogonal bases tried for an eigenvalue problem.
const TRIES: u64 = 4;

/// A singular value decomposition, `left * diag(values) * right^T`.
pub struct SmallSvd {
    /// Left singular vectors as columns.
    pub left: DMatrix<f64>,
    /// Singular values, largest first.
    pub values: Vec<f64>,
    /// Right singular vectors as columns.
    pub right: DMatrix<f64>,
}

/// Singular values and right singular vectors of a matrix with few columns: QR first, so that the
/// iteration works on a small square. A zero matrix has no singular values.
pub fn right_svd(matrix: DMatrix<f64>) -> Result<(Vec<f64>, DMatrix<f64>), ConvertError> {
    let columns = matrix.ncols();
    let nothing = (Vec::new(), DMatrix::zeros(columns, 0));
    if matrix.is_empty() {
        return Ok(nothing);
    }
    let r = matrix.qr().unpack_r();
    if r.amax() == 0.0 {
        return Ok(nothing);
    }
    let svd = small_svd(r)?;
    Ok((svd.values, svd.right))
}

/// SVD of a small matrix that has at least one entry.
pub fn small_svd(matrix: DMatrix<f64>) -> Result<SmallSvd, ConvertError> {
    let size = matrix.ncols();
    #[cfg(test)]
    failing::count(size)?;
    let epsilon = 5.0 * f64::EPSILON; // nalgebra's own choice
    let svd = SVD::try_new(matrix, true, true, epsilon, MAX_ITERATIONS);
    // Both sets of vectors are asked for, so they are there whenever it converges.
    let parts = svd.and_then(|s| Some((s.u?, s.singular_values, s.v_t?)));
    let (left, values, right) = parts.ok_or(ConvertError::NoConvergence {
        what: "the singular value decomposition",
        size,
    })?;
    Ok(SmallSvd {
        left,
        values: values.iter().copied().collect(),
        right: right.transpose(),
    })
}

/// Singular value decompositions that give up when a test says so.
#[cfg(test)]
pub mod failing {
    use super::ConvertError;
    use std::cell::Cell;

    thread_local!(static LEFT: Cell<usize> = const { Cell::new(usize::MAX) });

    /// Lets the one after so many more of this thread fail.
    pub fn after(more: usize) {
        LEFT.set(more);
    }

    /// Whether it has.
    pub fn has() -> bool {
        LEFT.get() == usize::MAX
    }

    pub(super) fn count(size: usize) -> Result<(), ConvertError> {
        let what = "the singular value decomposition";
        let left = LEFT.get();
        if left == usize::MAX {
            return Ok(());
        }
        LEFT.set(left.wrapping_sub(1));
        (left > 0)
            .then_some(())
            .ok_or(ConvertError::NoConvergence { what, size })
    }
}

/// An orthonormal basis of (at least) the columns' span, as many columns as `matrix` has at most.
pub fn orthonormal(matrix: DMatrix<f64>) -> DMatrix<f64> {
    if matrix.is_empty() {
        return matrix;
    }
    // Only directions matter, and squares of tiny numbers must not underflow.
    let size = matrix.amax();
    let scaled = if size > 0.0 { matrix / size } else { matrix };
    scaled.qr().q()
}

/// Eigenvalues of a real matrix: complex ones in exact conjugate pairs.
///
/// The QR iteration of nalgebra has no exceptional shifts and can cycle (on a permutation, say);
/// it is then tried again in another orthogonal basis.
pub fn eigenvalues(matrix: &DMatrix<f64>) -> Result<Vec<Complex64>, ConvertError> {
    let size = matrix.nrows();
    for attempt in 0..TRIES {
        let turned = if attempt == 0 {
            matrix.clone()
        } else {
            let q = orthonormal(pseudo_random(size, size, attempt));
            q.tr_mul(matrix) * q
        };
        if let Some(schur) = Schur::try_new(turned, f64::EPSILON, MAX_ITERATIONS) {
            return Ok(block_eigenvalues(&schur.unpack().1));
        }
    }
    Err(ConvertError::NoConvergence {
        what: "the eigenvalue iteration",
        size,
    })
}

/// Eigenvalues of a quasi-triangular matrix, block by block.
fn block_eigenvalues(t: &DMatrix<f64>) -> Vec<Complex64> {
    let size = t.nrows();
    let mut out = Vec::with_capacity(size);
    let mut at = 0;
    while at < size {
        if at + 1 == size || t[(at + 1, at)] == 0.0 {
            out.push(Complex64::new(t[(at, at)], 0.0));
            at += 1;
            continue;
        }
        let (a, d) = (t[(at, at)], t[(at + 1, at + 1)]);
        let (middle, half) = ((a + d) / 2.0, (a - d) / 2.0);
        let discriminant = half * half + t[(at, at + 1)] * t[(at + 1, at)];
        let root = discriminant.abs().sqrt();
        let step = if discriminant < 0.0 {
            Complex64::new(0.0, root)
        } else {
            Complex64::new(root, 0.0)
        };
        out.extend([middle + step, middle - step]);
        at += 2;
    }
    out
}

/// A fixed matrix of numbers in (-1, 1) that look random (splitmix64), the same on every machine.
pub fn pseudo_random(rows: usize, columns: usize, seed: u64) -> DMatrix<f64> {
    let mut state = seed;
    DMatrix::from_fn(rows, columns, |_, _| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) as i64 as f64 / (1u64 << 63) as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eigenvalues_of_a_cyclic_shift_are_the_roots_of_unity() {
        for size in [1, 2, 3, 4, 5, 8, 16] {
            let shift = DMatrix::from_fn(
                size,
                size,
                |i, j| {
                    if (i + 1) % size == j { 1.0 } else { 0.0 }
                },
            );
            let found = eigenvalues(&shift).unwrap();
            assert_eq!(found.len(), size);
            for k in 0..size {
                let root =
                    Complex64::from_polar(1.0, std::f64::consts::TAU * k as f64 / size as f64);
                assert!(
                    found.iter().any(|z| (z - root).norm() < 1e-12),
                    "{size}: {k}"
                );
            }
            for z in &found {
                assert!(z.im == 0.0 || found.contains(&z.conj()));
            }
        }
    }

    #[test]
    fn a_basis_stays_orthonormal_on_zero_and_dependent_columns() {
        let mut m = pseudo_random(20, 6, 1);
        m.column_mut(3).fill(0.0);
        let first = m.column(0).clone_owned();
        m.set_column(5, &first);
        let q = orthonormal(m * 1e-200);
        assert!((q.tr_mul(&q) - DMatrix::identity(6, 6)).amax() < 1e-13);
        assert_eq!(orthonormal(DMatrix::zeros(4, 2)).ncols(), 2);
    }

    #[test]
    fn right_vectors_diagonalise() {
        let m = pseudo_random(50, 7, 2);
        let (values, vectors) = right_svd(m.clone()).unwrap();
        let image = &m * &vectors;
        let gram = image.tr_mul(&image);
        for (k, s) in values.iter().enumerate() {
            assert!((gram[(k, k)].sqrt() - s).abs() < 1e-12);
        }
        assert!(values.windows(2).all(|w| w[0] >= w[1]));
        assert!(right_svd(DMatrix::zeros(5, 2)).unwrap().0.is_empty());
    }
}
