//! Balanced truncation (Kung 1978, the Eigensystem Realization Algorithm): the leading singular vectors
//! of the Hankel operator span what the past of the input can do to the future, and moving one lag on
//! is the state matrix. The operator is looked at in samples ([`sample`](super::sample)).

use super::linalg::{eigenvalues, orthonormal, pseudo_random, right_svd};
use super::sample::Sampled;
use crate::convert::ConvertError;
use nalgebra::DMatrix;
use num_complex::Complex64;

/// Poles are moved onto this radius where the truncation puts them outside: the state of a constant
/// kernel then loses .4% over the longest fit window, and f32 still tells the radius from 1.
pub const MAX_RADIUS: f64 = 1.0 - 1.0 / (1u64 << 20) as f64;

/// Columns of the subspace beyond the largest order asked for, and rounds of iteration: first by the
/// Gram matrix, which is quick and blind below a relative 1e-8, then by the matrix itself.
const OVERSAMPLING: usize = 8;
const ROUNDS: usize = 3;
const FINE_ROUNDS: usize = 2;

/// Hankel singular values below this, relative to the largest, are rounding noise.
const NOISE: f64 = 1e-12;

/// The leading Hankel singular values of a kernel, and its state matrix in balanced coordinates.
pub struct Balanced {
    /// Hankel singular values, largest first, as far as sampling tells them.
    pub values: Vec<f64>,
    /// `[values, values]`; a leading block is the state matrix of the truncation to that order.
    step: DMatrix<f64>,
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
                step: DMatrix::zeros(0, 0),
            });
        }
        let Sampled { matrix, shifted } = Sampled::new(outputs, max_order);
        let basis = leading_subspace(&matrix, max_order + OVERSAMPLING);
        let image = &matrix * &basis;
        let (mut values, turn) = right_svd(image.clone())?;
        let largest = values.first().copied().unwrap_or(0.0);
        let alive = |s: &&f64| **s > largest * NOISE;
        let order = values.iter().take(max_order).filter(alive).count();
        values.truncate(order);
        let turn = turn.columns(0, order);
        // In balanced coordinates H = O C with O = H V / sqrt(s) and C = sqrt(s) V^T, and one lag
        // on it is O A C.
        let moved = (image * turn).transpose() * (shifted * (basis * turn));
        let step = DMatrix::from_fn(order, order, |i, j| {
            moved[(i, j)] / (values[i] * (values[i] * values[j]).sqrt())
        });
        Ok(Self { values, step })
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
        let mut poles: Vec<Complex64> =
            eigenvalues(&self.step.view((0, 0), (order, order)).into_owned())?
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
}

/// An orthonormal basis of nearly the leading right singular directions, by subspace iteration.
fn leading_subspace(matrix: &DMatrix<f64>, width: usize) -> DMatrix<f64> {
    let columns = matrix.ncols();
    // nalgebra multiplies by a transposed left operand several times slower than by a plain one.
    let transposed = matrix.transpose();
    let gram = &transposed * matrix;
    let mut basis = orthonormal(pseudo_random(columns, width.min(columns), 3));
    for _ in 0..ROUNDS {
        basis = orthonormal(&gram * &basis);
    }
    for _ in 0..FINE_ROUNDS {
        basis = orthonormal(&transposed * orthonormal(matrix * &basis));
    }
    basis
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
