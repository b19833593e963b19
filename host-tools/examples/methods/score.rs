//! How good a fit is, and tables of it.

use super::method::{Fit, Method, Size};
use super::problem::Problem;
use anyhow::Result;
use ndarray::{Array2, Axis};
use std::time::Duration;
use toeplite_tools::cli::output;
use toeplite_tools::convert::reduced::{Reduction, Window};
use toeplite_tools::convert::{Certificate, KernelError};

/// Bounds below this share of the kernel's own peak are rounding noise: an exact recurrence exists.
const EXACT: f64 = 1e-9;

/// One method on one layer.
pub struct Score {
    taps: usize,
    /// Of the largest recurrence.
    states: usize,
    error: KernelError,
    /// The error's largest norm over channels at any frequency, over what no recurrence as large can beat.
    ratio: Option<f64>,
    time: Duration,
}

/// What `method` reaches on `problem`.
pub fn of(method: &Method, problem: &Problem, size: Size) -> Result<Score> {
    let fit = (method.fit)(problem, size)?;
    let channels: Vec<usize> = fit.parts.iter().flat_map(|(c, _)| c.clone()).collect();
    let truth = problem.kernel.select(Axis(1), &channels);
    let realised = realised(&fit, truth.dim());
    let states = fit.parts.iter().map(|(_, modal)| modal.order());
    Ok(Score {
        taps: fit.parts[0].1.fir_len(),
        states: states.max().unwrap_or(0),
        error: KernelError::between(realised.view(), truth.view()),
        ratio: ratio(&fit, problem)?,
        time: fit.time,
    })
}

/// The kernels that the recurrences realise, channels side by side.
fn realised(fit: &Fit, size: (usize, usize)) -> Array2<f64> {
    let mut out = Array2::zeros(size);
    let mut at = 0;
    for (channels, modal) in &fit.parts {
        let part = modal.kernel(0..size.0);
        out.slice_mut(ndarray::s![.., at..at + channels.len()])
            .assign(&part);
        at += channels.len();
    }
    out
}

/// Of fits of all channels by one recurrence, where there is a bound above rounding noise.
fn ratio(fit: &Fit, problem: &Problem) -> Result<Option<f64>> {
    let [(_, modal)] = &fit.parts[..] else {
        return Ok(None);
    };
    let kernel = problem.kernel.view();
    if modal.order() >= kernel.nrows().min(problem.train_len) {
        return Ok(None); // the closed form
    }
    let window = Window::new(kernel)?;
    let reduction = Reduction::new(&window, modal.fir_len(), modal.order())?;
    let bound = reduction.lower_bound(modal.order())?.unwrap_or(0.0);
    let whole = Reduction::new(&window, 0, 0)?
        .lower_bound(0)?
        .unwrap_or(0.0);
    let peak = Certificate::of_window(modal, kernel).hinf;
    Ok((bound > EXACT * whole).then_some(peak / bound))
}

/// One method on all layers.
pub struct Row {
    method: &'static str,
    taps: usize,
    /// Fewest and most.
    states: (usize, usize),
    error: KernelError,
    ratio: Option<f64>,
    /// A layer's, on average.
    pub time: Duration,
}

impl Row {
    /// Errors: root mean square over layers, geometric mean of medians, worst of all; the largest ratio.
    pub fn new(method: &'static str, scores: &[Score]) -> Self {
        let count = scores.len() as f64;
        let states = || scores.iter().map(|s| s.states);
        let mean = |f: fn(&Score) -> f64| scores.iter().map(f).sum::<f64>() / count;
        let ratios = scores.iter().filter_map(|s| s.ratio);
        Self {
            method,
            taps: scores[0].taps,
            states: (states().min().unwrap_or(0), states().max().unwrap_or(0)),
            error: KernelError {
                rms: mean(|s| s.error.rms * s.error.rms).sqrt(),
                median: mean(|s| s.error.median.max(f64::EPSILON).ln()).exp(),
                max: scores.iter().map(|s| s.error.max).fold(0.0, f64::max),
            },
            ratio: ratios.reduce(f64::max),
            time: scores.iter().map(|s| s.time).sum::<Duration>() / scores.len() as u32,
        }
    }

    /// Whether it is that of this method with so many taps.
    pub fn is(&self, method: &str, taps: usize) -> bool {
        self.method == method && self.taps == taps
    }
}

/// A table, times relative to `reference` beside the measured ones.
pub fn table(rows: &[Row], reference: Option<Duration>) -> String {
    let header = [
        "method",
        "taps",
        "states",
        "error: rms",
        "median",
        "worst",
        "peak / bound",
        "ms a layer",
        "/ ours",
    ];
    let rows = rows.iter().map(|row| {
        let (fewest, most) = row.states;
        [
            row.method.into(),
            row.taps.to_string(),
            if fewest == most {
                most.to_string()
            } else {
                format!("{fewest}-{most}")
            },
            format!("{:.1e}", row.error.rms),
            format!("{:.1e}", row.error.median),
            format!("{:.1e}", row.error.max),
            row.ratio.map_or("-".into(), |r| format!("{r:.2}")),
            format!("{:.0}", row.time.as_secs_f64() * 1e3),
            reference.map_or("-".into(), |time| {
                format!("{:.2}", row.time.as_secs_f64() / time.as_secs_f64())
            }),
        ]
    });
    output::table(header, rows).to_string()
}
