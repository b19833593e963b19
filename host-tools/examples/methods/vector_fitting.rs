//! Vector fitting (Gustavsen & Semlyen 1999), relaxed (Gustavsen 2006), on samples of the frequency response: poles
//! are moved to the zeros of the function that, with the old poles, makes the response rational.

use super::method::{Method, with_poles};
use anyhow::{Result, anyhow};
use nalgebra::{DMatrix, DVector};
use num_complex::Complex64;
use std::f64::consts::PI;
use toeplite_tools::convert::reduced::linalg::{eigenvalues, orthonormal};
use toeplite_tools::convert::reduced::upper_half;

pub const METHOD: Method = Method {
    name: "vector fitting",
    fit: |problem, size| with_poles(problem, size, poles),
};

const FREQUENCIES: usize = 160;
const ROUNDS: usize = 12;

fn poles(outputs: &DMatrix<f64>, order: usize) -> Result<Vec<Complex64>> {
    let samples = Samples::new(outputs);
    let mut poles = start(order, outputs.nrows());
    for _ in 0..ROUNDS {
        poles = samples.relocate(&poles)?;
    }
    Ok(poles)
}

/// Pairs at logarithmically spaced frequencies, and a real pole where the order is odd.
fn start(order: usize, lags: usize) -> Vec<Complex64> {
    let lowest = 2.0 * PI / lags as f64;
    let pairs = order / 2;
    let pair = |k: usize| {
        let turn = lowest * (2.0 / lowest).powf((k as f64 + 0.5) / pairs as f64);
        Complex64::from_polar((-turn / 2.0).exp(), turn)
    };
    let real = (order % 2 == 1).then_some(Complex64::new(0.9, 0.0));
    real.into_iter().chain((0..pairs).map(pair)).collect()
}

/// The frequency responses of all outputs, weighted as an integral over the axis asks for.
struct Samples {
    /// Points of the unit circle.
    points: Vec<Complex64>,
    weights: Vec<f64>,
    /// One list an output.
    responses: Vec<Vec<Complex64>>,
}

impl Samples {
    fn new(outputs: &DMatrix<f64>) -> Self {
        let lowest = 0.5 * PI / outputs.nrows() as f64;
        let growth = (PI / lowest).powf(1.0 / (FREQUENCIES - 1) as f64);
        let turns = (0..FREQUENCIES).map(|k| lowest * growth.powi(k as i32));
        let weights = turns.clone().map(|turn| (turn * (growth - 1.0)).sqrt());
        let points: Vec<Complex64> = turns.map(|w| Complex64::from_polar(1.0, w)).collect();
        let response = |signal: &[f64], z: &Complex64| {
            // Horner's rule in 1 / z.
            let inverse = z.inv();
            (signal.iter().rev()).fold(Complex64::ZERO, |sum, y| sum * inverse + y)
        };
        Self {
            responses: outputs
                .column_iter()
                .map(|y| points.iter().map(|z| response(y.as_slice(), z)).collect())
                .collect(),
            weights: weights.collect(),
            points,
        }
    }

    /// Real and imaginary parts of a weighted function at the points, one below the other.
    fn column(&self, f: impl Fn(usize) -> Complex64) -> DVector<f64> {
        let count = self.points.len();
        DVector::from_fn(2 * count, |row, _| {
            let value = f(row % count) * self.weights[row % count];
            if row < count { value.re } else { value.im }
        })
    }

    /// One round.
    fn relocate(&self, poles: &[Complex64]) -> Result<Vec<Complex64>> {
        let fractions = fractions(poles, &self.points);
        let order = fractions.len();
        let numerator: Vec<DVector<f64>> = (fractions.iter())
            .map(|f| self.column(|i| f[i] * self.points[i]))
            .collect();
        let numerator = orthonormal(DMatrix::from_columns(&numerator));
        let rows = 2 * self.points.len();
        let count = self.responses.len();
        let mut system = DMatrix::zeros(rows * count + 1, order + 1);
        let mut size = 0.0;
        for (m, response) in self.responses.iter().enumerate() {
            let mut columns: Vec<DVector<f64>> = (fractions.iter())
                .map(|f| self.column(|i| f[i] * response[i]))
                .collect();
            columns.push(self.column(|i| response[i]));
            size += columns[order].norm_squared();
            let columns = DMatrix::from_columns(&columns);
            // What the numerator of this output cannot make good.
            let left = &columns - &numerator * numerator.tr_mul(&columns);
            system.rows_mut(m * rows, rows).copy_from(&left);
        }
        // The relaxed condition instead of a constant of 1: the function's mean is 1.
        let scale = size.sqrt() / self.points.len() as f64;
        for (k, f) in fractions.iter().enumerate() {
            system[(rows * count, k)] = scale * f.iter().map(|z| z.re).sum::<f64>();
        }
        system[(rows * count, order)] = size.sqrt();
        let mut target = DVector::zeros(rows * count + 1);
        target[rows * count] = size.sqrt();
        let solution = system
            .svd(true, true)
            .solve(&target, 1e-14)
            .map_err(|what| anyhow!(what))?;
        zeros(poles, &solution)
    }
}

/// `1 / (z - p)` of real poles; of a pair the sum of both, and `i` times their difference.
fn fractions(poles: &[Complex64], points: &[Complex64]) -> Vec<Vec<Complex64>> {
    let mut out = Vec::new();
    for pole in poles {
        let parts = points.iter().map(|z| (z - pole).inv());
        if pole.im == 0.0 {
            out.push(parts.collect());
            continue;
        }
        let pairs: Vec<_> = parts
            .zip(points.iter().map(|z| (z - pole.conj()).inv()))
            .collect();
        out.push(pairs.iter().map(|(a, b)| a + b).collect());
        out.push(pairs.iter().map(|(a, b)| Complex64::I * (a - b)).collect());
    }
    out
}

/// Zeros of `constant + sum coefficient * fraction`, mirrored into the unit circle: eigenvalues of
/// `A - b c^T / constant`.
fn zeros(poles: &[Complex64], solution: &DVector<f64>) -> Result<Vec<Complex64>> {
    let order = solution.len() - 1;
    let mut step = DMatrix::zeros(order, order);
    let mut input = DVector::zeros(order);
    let mut at = 0;
    for pole in poles {
        step[(at, at)] = pole.re;
        input[at] = 1.0;
        if pole.im != 0.0 {
            step[(at + 1, at + 1)] = pole.re;
            step[(at, at + 1)] = pole.im;
            step[(at + 1, at)] = -pole.im;
            input[at] = 2.0;
            at += 1;
        }
        at += 1;
    }
    step -= input * solution.rows(0, order).transpose() / solution[order];
    let mirrored = |z: Complex64| if z.norm() > 1.0 { z.conj().inv() } else { z };
    let zeros = eigenvalues(&step)?.into_iter().map(mirrored).collect();
    Ok(upper_half(zeros))
}
