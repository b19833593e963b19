//! The closed form that the Toeplitz networks' authors publish: as many states as the training length.

use super::method::{Fit, Method, Size};
use super::problem::Problem;
use anyhow::Result;
use ndarray::Array2;
use std::time::Instant;
use toeplite_tools::convert::etsc::etsc;

pub const METHOD: Method = Method { name: "ETSC", fit };

fn fit(problem: &Problem, _: Size) -> Result<Fit> {
    let start = Instant::now();
    let lags = problem.train_len.min(problem.kernel.nrows());
    let undecayed = Array2::from_shape_fn((lags, problem.gamma.len()), |(lag, c)| {
        problem.kernel[[lag, c]] / problem.gamma[c].powf(lag as f64)
    });
    Ok(Fit::shared(etsc(undecayed.view(), &problem.gamma), start))
}
