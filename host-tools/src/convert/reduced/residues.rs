//! Residues of all channels by least squares on given poles, in a real basis: a real pole's powers,
//! the real and imaginary parts of a complex pole's powers. What comes out is real by construction.

use super::linalg::{SmallSvd, small_svd};
use crate::convert::ConvertError;
use nalgebra::{DMatrix, DMatrixView};
use num_complex::Complex64;

/// Directions of the scaled basis weaker than this, relative to the strongest, are left out.
const CUTOFF: f64 = 1e-9;

/// What a coefficient of size 1 costs by being rounded to f32, with its state. Poles that all but
/// coincide want huge coefficients of opposite sign, whose rounding errors do not cancel: directions
/// of the scaled basis near this size are damped as that error asks for (ridge regression).
const ROUNDING: f64 = 1.0 / (1u64 << 23) as f64;

/// An orthonormal basis of the kernels that a set of poles can realise.
pub struct Basis {
    /// Orthonormal columns, `[lags, rank]`.
    span: DMatrix<f64>,
    /// From coordinates in `span` to coefficients of the poles' columns, `[order, rank]`.
    coefficients: DMatrix<f64>,
}

impl Basis {
    /// The basis of `poles` (one of each conjugate pair) over `lags` lags.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn new(poles: &[Complex64], lags: usize) -> Result<Self, ConvertError> {
        Self::of(power_columns(poles, lags))
    }

    /// The basis of the span of `columns`, whatever they are powers in.
    ///
    /// # Errors
    /// [`ConvertError::NoConvergence`].
    pub fn of(mut columns: DMatrix<f64>) -> Result<Self, ConvertError> {
        if columns.is_empty() {
            return Ok(Self {
                span: DMatrix::zeros(columns.nrows(), 0),
                coefficients: DMatrix::zeros(columns.ncols(), 0),
            });
        }
        let mut norms = Vec::with_capacity(columns.ncols());
        for mut column in columns.column_iter_mut() {
            let norm = column.norm();
            // A column that vanishes (a pole's imaginary part underflows) gets coefficient zero.
            let scale = if norm > 0.0 { 1.0 / norm } else { 0.0 };
            column *= scale;
            norms.push(scale);
        }
        let (q, r) = columns.qr().unpack();
        let SmallSvd {
            left,
            values,
            right,
        } = small_svd(r)?;
        let strongest = values.first().copied().unwrap_or(0.0);
        let rank = values.iter().filter(|s| **s > strongest * CUTOFF).count();
        let coefficients = DMatrix::from_fn(norms.len(), rank, |i, j| {
            norms[i] * right[(i, j)] * values[j] / (values[j] * values[j] + ROUNDING * ROUNDING)
        });
        Ok(Self {
            span: q * left.columns(0, rank),
            coefficients,
        })
    }

    /// Orthonormal columns, `[lags, rank]`.
    pub fn span(&self) -> &DMatrix<f64> {
        &self.span
    }

    /// Coefficients `[order, outputs]` of what has coordinates `[rank, outputs]` in the span.
    pub fn coefficients(&self, coordinates: &DMatrix<f64>) -> DMatrix<f64> {
        &self.coefficients * coordinates
    }

    /// What the best fit leaves of `outputs` `[lags, outputs]`.
    pub fn residual(&self, outputs: &DMatrix<f64>) -> DMatrix<f64> {
        outputs - &self.span * (self.span.transpose() * outputs)
    }

    /// Least squares coefficients of a kernel given as `[channels, lags]`: `[order, channels]`,
    /// rows as the columns of [`power_columns`].
    pub fn fit(&self, transposed: &DMatrixView<f64>) -> DMatrix<f64> {
        self.coefficients(&(transposed * &self.span).transpose())
    }
}

/// The columns `pole^j` of real poles, `Re pole^j` and `Im pole^j` of complex ones, `[lags, order]`.
pub fn power_columns(poles: &[Complex64], lags: usize) -> DMatrix<f64> {
    real_columns(poles, lags, 0, |_, power| power)
}

/// The derivatives `j pole^(j-1)` by the poles, laid out as [`power_columns`].
pub fn derivative_columns(poles: &[Complex64], lags: usize) -> DMatrix<f64> {
    real_columns(poles, lags, 1, |lag, before| before * lag as f64)
}

/// Real and imaginary parts of `entry(j, pole^(j - behind))` from lag `behind` on; zero before.
fn real_columns(
    poles: &[Complex64],
    lags: usize,
    behind: usize,
    entry: impl Fn(usize, Complex64) -> Complex64,
) -> DMatrix<f64> {
    let order = poles.iter().map(states).sum();
    let mut columns = DMatrix::zeros(lags, order);
    let mut at = 0;
    for pole in poles {
        let mut power = Complex64::new(1.0, 0.0);
        for lag in behind..lags {
            let z = entry(lag, power);
            columns[(lag, at)] = z.re;
            if pole.im != 0.0 {
                columns[(lag, at + 1)] = z.im;
            }
            power *= pole;
        }
        at += states(pole);
    }
    columns
}

/// Real states of a pole: two for one that stands for a conjugate pair.
pub fn states(pole: &Complex64) -> usize {
    if pole.im == 0.0 { 1 } else { 2 }
}

/// Coefficients of real columns as residues: `Re((a - i b) pole^j) = a Re pole^j + b Im pole^j`.
/// One list of `channels` residues a pole.
pub fn residues(poles: &[Complex64], coefficients: &DMatrix<f64>) -> Vec<Vec<Complex64>> {
    let mut at = 0;
    poles
        .iter()
        .map(|pole| {
            let real = coefficients.row(at);
            let residue = |c: usize| {
                let im = if pole.im == 0.0 {
                    0.0
                } else {
                    -coefficients[(at + 1, c)]
                };
                Complex64::new(real[c], im)
            };
            let row = (0..coefficients.ncols()).map(residue).collect();
            at += states(pole);
            row
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::linalg::pseudo_random;
    use super::*;

    #[test]
    fn a_kernel_of_the_poles_is_fitted_exactly() {
        let poles = [
            Complex64::new(0.9, 0.0),
            Complex64::new(-0.5, 0.0),
            Complex64::from_polar(0.97, 0.4),
        ];
        let kernel = power_columns(&poles, 100) * pseudo_random(4, 3, 5);
        let basis = Basis::new(&poles, 100).unwrap();
        assert!(basis.residual(&kernel).amax() < 1e-13);
        let rows = residues(&poles, &basis.fit(&kernel.transpose().as_view()));
        for lag in [0, 1, 50, 99] {
            let sum: Complex64 = (0..3).map(|k| rows[k][1] * poles[k].powu(lag)).sum();
            assert!((sum.re - kernel[(lag as usize, 1)]).abs() < 1e-12);
        }
        assert_eq!(rows[0][2].im, 0.0);
    }

    #[test]
    fn coinciding_poles_and_more_poles_than_lags_give_finite_residues() {
        let near = Complex64::new(0.9, 1e-300);
        let poles = [Complex64::new(0.9, 0.0), Complex64::new(0.9, 0.0), near];
        for lags in [1, 2, 3, 50] {
            let kernel = pseudo_random(lags, 2, 5);
            let fit = Basis::new(&poles, lags)
                .unwrap()
                .fit(&kernel.transpose().as_view());
            assert_eq!(fit.shape(), (4, 2));
            assert!(fit.iter().all(|x| x.is_finite() && x.abs() < 1e9));
        }
    }
}
