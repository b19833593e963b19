//! Gradient descent on poles and residues (Adam: Kingma & Ba 2015), what the papers compare closed forms with:
//! from scratch, and after balanced truncation.

use super::method::{Fit, Method, Size, with_poles};
use super::ours::truncated;
use super::problem::Problem;
use anyhow::Result;
use nalgebra::DMatrix;
use num_complex::Complex64;
use std::f64::consts::PI;
use toeplite_tools::convert::reduced::residues::{derivative_columns, power_columns, states};
use toeplite_tools::convert::reduced::upper_half;

pub const FROM_SCRATCH: Method = Method {
    name: "Adam from scratch, 2000 steps",
    fit: |problem, size| {
        with_poles(problem, size, |outputs, order| {
            let poles = start(order);
            let residues = DMatrix::zeros(order, outputs.ncols());
            Ok(descend(poles, residues, outputs, 2000, 1e-2))
        })
    },
};

pub const AFTER_OURS: Method = Method {
    name: "- then Adam, 500 steps",
    fit: after_ours,
};

fn after_ours(problem: &Problem, size: Size) -> Result<Fit> {
    truncated(problem, size, |reduction, poles| {
        let outputs = reduction.outputs();
        let residues = reduction.residues(&poles)?;
        Ok(descend(poles, residues, outputs, 500, 3e-4))
    })
}

/// Poles of `exp(step * (-1/2 + i pi n))`, as state-space layers begin with (S4D-Lin), with steps
/// from .1 down to .003.
fn start(order: usize) -> Vec<Complex64> {
    let pairs = order / 2;
    let pair = |k: usize| {
        let step = 0.1 * 0.03f64.powf(k as f64 / pairs as f64);
        (Complex64::new(-0.5, PI * (1 + k) as f64) * step).exp()
    };
    let real = (order % 2 == 1).then_some(Complex64::new(0.95, 0.0));
    upper_half(real.into_iter().chain((0..pairs).map(pair)).collect())
}

/// The poles after so many steps on the squared error, whose rate falls to a hundredth.
fn descend(
    mut poles: Vec<Complex64>,
    mut residues: DMatrix<f64>,
    outputs: &DMatrix<f64>,
    steps: usize,
    rate: f64,
) -> Vec<Complex64> {
    let size = outputs.norm().max(f64::MIN_POSITIVE);
    let outputs = outputs / size;
    residues /= size;
    let mut of_poles = Adam::new(2 * poles.len());
    let mut of_residues = Adam::new(residues.len());
    for step in 0..steps {
        let rate = rate * 0.01f64.powf(step as f64 / steps as f64);
        let left = &outputs - power_columns(&poles, outputs.nrows()) * &residues;
        let slopes = -power_columns(&poles, outputs.nrows()).transpose() * &left;
        let slopes_of_poles = pole_slopes(&poles, &residues, &left);
        of_residues.step(residues.as_mut_slice(), slopes.as_slice(), rate);
        let mut parameters: Vec<f64> = poles.iter().flat_map(logarithm).collect();
        of_poles.step(&mut parameters, &slopes_of_poles, rate);
        for (pole, parameter) in poles.iter_mut().zip(parameters.as_chunks().0) {
            *pole = exponential(*parameter, pole);
        }
    }
    poles
}

/// A pole as the logarithm of its rate of decay, and its angle.
fn logarithm(pole: &Complex64) -> [f64; 2] {
    [(-pole.norm().ln()).ln(), pole.arg()]
}

/// The pole of these parameters, real where `before` was.
fn exponential([rate, angle]: [f64; 2], before: &Complex64) -> Complex64 {
    let radius = (-rate.exp()).exp();
    if before.im == 0.0 {
        return Complex64::new(radius * before.re.signum(), 0.0);
    }
    Complex64::from_polar(radius, angle.clamp(1e-6, PI - 1e-6))
}

/// Half the slope of the squared error by the parameters of each pole.
fn pole_slopes(poles: &[Complex64], residues: &DMatrix<f64>, left: &DMatrix<f64>) -> Vec<f64> {
    let slopes = -derivative_columns(poles, left.nrows()).transpose() * left;
    let mut at = 0;
    let mut out = Vec::new();
    for pole in poles {
        let inner = |i: usize, j: usize| slopes.row(at + i).dot(&residues.row(at + j));
        let by_parts = if pole.im == 0.0 {
            [inner(0, 0), 0.0]
        } else {
            [inner(0, 0) + inner(1, 1), inner(0, 1) - inner(1, 0)]
        };
        // The pole moves by these where its parameters do.
        for turn in [pole * pole.norm().ln(), pole * Complex64::I] {
            out.push(by_parts[0] * turn.re + by_parts[1] * turn.im);
        }
        at += states(pole);
    }
    out
}

/// Running means of slopes and of their squares.
struct Adam {
    means: Vec<f64>,
    squares: Vec<f64>,
    steps: i32,
}

impl Adam {
    fn new(parameters: usize) -> Self {
        Self {
            means: vec![0.0; parameters],
            squares: vec![0.0; parameters],
            steps: 0,
        }
    }

    fn step(&mut self, parameters: &mut [f64], slopes: &[f64], rate: f64) {
        const MEAN: f64 = 0.9;
        const SQUARE: f64 = 0.999;
        self.steps += 1;
        let (mean, square) = (1.0 - MEAN.powi(self.steps), 1.0 - SQUARE.powi(self.steps));
        let running = self.means.iter_mut().zip(&mut self.squares);
        for ((parameter, slope), (m, s)) in parameters.iter_mut().zip(slopes).zip(running) {
            *m += (1.0 - MEAN) * (slope - *m);
            *s += (1.0 - SQUARE) * (slope * slope - *s);
            *parameter -= rate * (*m / mean) / ((*s / square).sqrt() + 1e-12);
        }
    }
}
