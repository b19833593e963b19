//! Poles of a channel's own: the same balanced truncation, channel by channel.

use super::method::{Fit, Method, Size};
use super::ours::truncated;
use super::problem::Problem;
use anyhow::Result;
use ndarray::Axis;
use std::time::Duration;

pub const METHOD: Method = Method {
    name: "poles of each channel's own",
    fit,
};

/// Channels that are converted, evenly spaced; the time is scaled up to all.
const SAMPLE: usize = 32;

fn fit(problem: &Problem, size: Size) -> Result<Fit> {
    let channels = problem.kernel.ncols();
    let count = SAMPLE.min(channels);
    let mut parts = Vec::new();
    let mut time = Duration::ZERO;
    for c in (0..count).map(|i| i * channels / count) {
        let single = Problem {
            kernel: problem.kernel.select(Axis(1), &[c]),
            gamma: vec![problem.gamma[c]],
            train_len: problem.train_len,
        };
        let fit = truncated(&single, size, |_, poles| Ok(poles))?;
        time += fit.time;
        parts.extend(fit.parts.into_iter().map(|(_, modal)| (vec![c], modal)));
    }
    Ok(Fit {
        parts,
        time: time.mul_f64(channels as f64 / count as f64),
    })
}
