//! Balanced truncation (Kung 1978, the Eigensystem Realization Algorithm): the leading right singular
//! vectors of the Hankel operator span what the past of the input can do to the future, and moving
//! one lag on is moving one row down in them.

use super::hankel::Hankel;
use super::linalg::{eigenvalues, orthonormal, pseudo_random, right_svd};
use crate::convert::ConvertError;
use nalgebra::DMatrix;
use num_complex::Complex64;

/// Poles are moved onto this radius where the truncation puts them outside: the state of a constant
/// kernel then loses .4% over the longest fit window, and f32 still tells the radius from 1.
pub const MAX_RADIUS: f64 = 1.0 - 1.0 / (1u64 << 20) as f64;

/// Columns of the subspace beyond the largest order asked for, and rounds of iteration.
const OVERSAMPLING: usize = 8;
const ROUNDS: usize = 4;

/// Hankel singular values below this, relative to the largest, are rounding noise.
const NOISE: f64 = 1e-12;

/// The leading Hankel singular values and right singular vectors of a kernel.
pub struct Balanced {
    /// Hankel singular values, largest first.
    pub values: Vec<f64>,
    /// Orthonormal, `[columns of the Hankel matrix, values]`.
    vectors: DMatrix<f64>,
}

impl Balanced {
    /// Balances `outputs` `[lags, outputs]` up to `max_order` states, fewer where the kernel has
    /// fewer.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn new(outputs: &DMatrix<f64>, max_order: usize) -> Result<Self, ConvertError> {
        if outputs.is_empty() {
            return Ok(Self {
                values: Vec::new(),
                vectors: DMatrix::zeros(0, 0),
            });
        }
        let hankel = Hankel::new(outputs);
        let width = (max_order + OVERSAMPLING).min(hankel.columns());
        let mut basis = orthonormal(pseudo_random(hankel.columns(), width, 3));
        for _ in 0..ROUNDS {
            basis = orthonormal(hankel.normal_product(&basis));
        }
        let (mut values, vectors) = right_svd(hankel.product(&basis))?;
        let largest = values.first().copied().unwrap_or(0.0);
        let alive = |s: &&f64| **s > largest * NOISE;
        let order = values.iter().take(max_order).filter(alive).count();
        values.truncate(order);
        Ok(Self {
            vectors: basis * vectors.columns(0, order),
            values,
        })
    }

    /// The most states that [`poles`](Self::poles) can be asked for.
    pub fn max_order(&self) -> usize {
        self.values.len()
    }

    /// Poles of the truncation to `order` states: real ones first, one of each conjugate pair, all
    /// within [`MAX_RADIUS`]. They stand for `order` real states; a pair is never split, because the
    /// truncated system is real.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    ///
    /// # Panics
    /// If `order` exceeds [`max_order`](Self::max_order).
    pub fn poles(&self, order: usize) -> Result<Vec<Complex64>, ConvertError> {
        if order == 0 {
            return Ok(Vec::new());
        }
        let mut poles: Vec<Complex64> = eigenvalues(&self.step(order))?
            .into_iter()
            .filter(|z| z.im >= 0.0)
            .map(clip)
            .collect();
        poles.sort_by(|a, b| {
            let key = |z: &Complex64| (z.im != 0.0, -z.norm());
            let (a, b) = (key(a), key(b));
            a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
        });
        Ok(poles)
    }

    /// The state matrix in balanced coordinates: the least squares solution of
    /// `C[:, j + 1] = A C[:, j]` for `C = sqrt(values) * vectors^T`.
    fn step(&self, order: usize) -> DMatrix<f64> {
        let v = self.vectors.columns(0, order);
        let last = v.nrows().saturating_sub(1);
        let moved = v.rows(v.nrows() - last, last).transpose() * v.rows(0, last);
        // The Gram matrix of all rows but the last is I - w w^T; its inverse has a closed form, and
        // where it is singular the direction w is unknown and left out.
        let w = v.row(last).transpose();
        let rest = 1.0 - w.norm_squared();
        let factor = if rest > 1e-10 {
            1.0 / rest
        } else {
            -1.0 / w.norm_squared()
        };
        let along = &moved * &w;
        let a = moved + along * w.transpose() * factor;
        DMatrix::from_fn(order, order, |i, j| {
            a[(i, j)] * (self.values[i] / self.values[j]).sqrt()
        })
    }
}

fn clip(pole: Complex64) -> Complex64 {
    let radius = pole.norm();
    if radius > MAX_RADIUS {
        // Twice, because the first product may round to just above the radius.
        let clipped = pole * (MAX_RADIUS / radius);
        return clipped * (MAX_RADIUS / clipped.norm()).min(1.0);
    }
    pole
}
