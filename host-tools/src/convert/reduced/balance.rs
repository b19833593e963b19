//! Balanced truncation (Kung 1978, the Eigensystem Realization Algorithm): the leading singular vectors
//! of the Hankel operator span what the past of the input can do to the future, and moving one lag on
//! is the state matrix. The operator is looked at in samples ([`sample`](super::sample)).

use super::linalg::{eigenvalues, orthonormal, pseudo_random, right_svd};
use super::sample::Sampled;
use crate::convert::ConvertError;
use nalgebra::DMatrix;
use num_complex::Complex64;

/// Complex poles are moved onto this radius where the truncation puts them outside: f32 still tells
/// it from 1 and its steps do not add up.
pub const MAX_RADIUS: f64 = 1.0 - 1.0 / (1u64 << 20) as f64;

/// Real poles are moved to this: each step of a state in f32 loses at least a unit in the last place,
/// and a constant kernel a thousandth over 8,192 lags.
pub const MAX_REAL: f64 = 1.0 - 1.0 / (1u64 << 23) as f64;

/// Columns of the subspace beyond the largest order asked for, and rounds of iteration: first by the
/// Gram matrix, which is quick and blind below a relative 1e-8, then by the matrix itself.
const OVERSAMPLING: usize = 8;
const ROUNDS: usize = 3;
const FINE_ROUNDS: usize = 2;

/// States beyond the order that the optimal approximation is computed from.
pub const BEYOND: usize = 10;

/// Hankel singular values below this, relative to the largest, are rounding noise.
const NOISE: f64 = 1e-12;

/// The leading Hankel singular values of a kernel, and its state matrix in balanced coordinates.
pub struct Balanced {
    /// Hankel singular values, largest first, as far as sampling tells them.
    pub values: Vec<f64>,
    /// How the input enters the states.
    input: Vec<f64>,
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
                input: Vec::new(),
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
        let right = basis * turn;
        let input = (0..order)
            .map(|k| values[k].sqrt() * right[(0, k)])
            .collect();
        let moved = (image * turn).transpose() * (shifted * right);
        let step = DMatrix::from_fn(order, order, |i, j| {
            moved[(i, j)] / (values[i] * (values[i] * values[j]).sqrt())
        });
        Ok(Self {
            values,
            input,
            step,
        })
    }

    /// The most states that [`poles`](Self::poles) can be asked for.
    pub fn max_order(&self) -> usize {
        self.values.len()
    }

    /// Poles of the truncation to `order` states: real ones first, one of each conjugate pair, all
    /// within [`MAX_RADIUS`] or [`MAX_REAL`]. They stand for `order` real states; a pair is never split, because the
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
        let step = self.step.view((0, 0), (order, order)).into_owned();
        Ok(upper_half(eigenvalues(&step)?))
    }

    /// Poles of the approximation of `order` states that is optimal in the Hankel norm (Adamyan, Arov,
    /// Krein 1971): the zeros within the unit disc of `sum v_j z^j`, where `v` is the singular vector of
    /// the value that is reached, since the approximation maps it to zero. Of one input there are `order`
    /// of them; nothing where rounding has left another number, or the kernel has not enough states.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn optimal_poles(&self, order: usize) -> Result<Option<Vec<Complex64>>, ConvertError> {
        let states = (order + BEYOND).min(self.values.len());
        if order == 0 || states < order + 2 || self.input[order] == 0.0 {
            return Ok(None);
        }
        // v_j is entry `order` of A^j b. Zeros of its transform, inverted, are eigenvalues of
        // (I - b e^T / e^T b) A.
        let step = self.step.view((0, 0), (states, states));
        let inverted = DMatrix::from_fn(states, states, |i, j| {
            step[(i, j)] - self.input[i] / self.input[order] * step[(order, j)]
        });
        let outside = |s: &Complex64| s.norm() > 1.0 + 1e-9;
        let zeros: Vec<Complex64> = eigenvalues(&inverted)?
            .into_iter()
            .filter(outside)
            .map(|s| s.inv())
            .collect();
        Ok((zeros.len() == order).then(|| upper_half(zeros)))
    }
}

/// Of each conjugate pair the one above the real axis; real ones first, within the largest radii.
pub fn upper_half(poles: Vec<Complex64>) -> Vec<Complex64> {
    let mut poles: Vec<Complex64> = poles
        .into_iter()
        .filter(|z| z.im >= 0.0)
        .map(clip)
        .collect();
    poles.sort_by(|a, b| {
        let key = |z: &Complex64| (z.im != 0.0, -z.norm());
        let (a, b) = (key(a), key(b));
        a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    poles
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

/// The pole itself, or the nearest one within the largest radius.
pub fn clip(pole: Complex64) -> Complex64 {
    if pole.im == 0.0 {
        return Complex64::new(pole.re.clamp(-MAX_REAL, MAX_REAL), 0.0);
    }
    let radius = pole.norm();
    if radius > MAX_RADIUS {
        // Twice, because the first product may round to just above the radius.
        let clipped = pole * (MAX_RADIUS / radius);
        return clipped * (MAX_RADIUS / clipped.norm()).min(1.0);
    }
    pole
}
