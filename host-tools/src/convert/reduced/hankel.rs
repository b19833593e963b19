//! The block Hankel operator of a single-input, many-output kernel, never written out: products
//! with it are correlations, done by FFT.

use nalgebra::DMatrix;
use num_complex::Complex64;
use toeplite_fft::Plan;

/// `H[(c, i), j] = y_c[i + j]` for outputs `c`, `i < rows`, `j < columns`.
pub struct Hankel {
    rows: usize,
    columns: usize,
    /// Of each output's first `rows + columns - 1` lags, scaled by the FFT's length.
    spectra: Vec<Vec<Complex64>>,
    fft: Plan<f64>,
}

impl Hankel {
    /// Operator of `outputs` `[lags, outputs]`, as square as the lags allow.
    ///
    /// # Panics
    /// If there are no lags.
    pub fn new(outputs: &DMatrix<f64>) -> Self {
        let lags = outputs.nrows();
        assert!(lags > 0, "a Hankel matrix has at least one lag");
        let columns = lags.div_ceil(2);
        let rows = lags + 1 - columns;
        let length = (rows + columns - 1).next_power_of_two().max(2);
        let mut operator = Self {
            rows,
            columns,
            spectra: Vec::new(),
            fft: toeplite_fft::plan(length),
        };
        let used = rows + columns - 1;
        operator.spectra = outputs
            .column_iter()
            .map(|y| {
                let scaled: Vec<f64> = y.iter().take(used).map(|x| x / length as f64).collect();
                operator.spectrum(&scaled)
            })
            .collect();
        operator
    }

    /// Columns of the operator.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// `H V` for `V` `[columns, k]`: `[outputs * rows, k]`.
    pub fn product(&self, vectors: &DMatrix<f64>) -> DMatrix<f64> {
        let mut out = DMatrix::zeros(self.spectra.len() * self.rows, vectors.ncols());
        for (k, vector) in vectors.column_iter().enumerate() {
            let v = self.spectrum(vector.as_slice());
            for (c, y) in self.spectra.iter().enumerate() {
                let part = self.correlate(y, &v, self.rows);
                out.view_mut((c * self.rows, k), (self.rows, 1))
                    .copy_from_slice(&part);
            }
        }
        out
    }

    /// First `count` entries of the correlation `sum_j y[i + j] v[j]`.
    fn correlate(&self, y: &[Complex64], v: &[Complex64], count: usize) -> Vec<f64> {
        let product = y.iter().zip(v).map(|(a, b)| a * b.conj()).collect();
        self.invert(product, count)
    }

    fn spectrum(&self, signal: &[f64]) -> Vec<Complex64> {
        let (mut input, mut output) = (
            self.fft.forward.make_input_vec(),
            self.fft.forward.make_output_vec(),
        );
        input[..signal.len()].copy_from_slice(signal);
        self.fft
            .forward
            .process(&mut input, &mut output)
            .expect("buffers of the plan's own lengths");
        output
    }

    fn invert(&self, mut spectrum: Vec<Complex64>, count: usize) -> Vec<f64> {
        // Real by symmetry, but for rounding; the plan refuses anything else.
        if let Some(first) = spectrum.first_mut() {
            first.im = 0.0;
        }
        if let Some(last) = spectrum.last_mut() {
            last.im = 0.0;
        }
        let mut output = self.fft.inverse.make_output_vec();
        self.fft
            .inverse
            .process(&mut spectrum, &mut output)
            .expect("buffers of the plan's own lengths");
        output.truncate(count);
        output
    }
}

#[cfg(test)]
mod tests {
    use super::super::linalg::pseudo_random;
    use super::*;

    #[test]
    fn products_are_those_of_the_written_out_matrix() {
        for lags in [1, 2, 3, 4, 7, 20, 33] {
            let outputs = pseudo_random(lags, 3, 7);
            let operator = Hankel::new(&outputs);
            let (rows, columns) = (operator.rows, operator.columns);
            assert_eq!(rows + columns - 1, lags);
            let dense =
                DMatrix::from_fn(3 * rows, columns, |i, j| outputs[(i % rows + j, i / rows)]);
            let v = pseudo_random(columns, 2, 8);
            assert!((operator.product(&v) - &dense * &v).amax() < 1e-13);
        }
    }
}
