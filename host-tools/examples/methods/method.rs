//! What a method of conversion is.

use super::problem::Problem;
use anyhow::Result;
use nalgebra::DMatrix;
use num_complex::Complex64;
use std::time::{Duration, Instant};
use toeplite_tools::convert::Modal;
use toeplite_tools::convert::reduced::{Reduction, Window};

/// Taps and states a channel.
#[derive(Clone, Copy)]
pub struct Size {
    pub taps: usize,
    pub order: usize,
}

/// A method, by its name in the tables.
pub struct Method {
    pub name: &'static str,
    pub fit: fn(&Problem, Size) -> Result<Fit>,
}

/// What a method finds.
pub struct Fit {
    /// Recurrences, each with the channels that it is for.
    pub parts: Vec<(Vec<usize>, Modal)>,
    pub time: Duration,
}

impl Fit {
    /// One recurrence for all channels, whose search took the time since `start`.
    pub fn shared(modal: Modal, start: Instant) -> Self {
        Self {
            time: start.elapsed(),
            parts: vec![((0..modal.channels()).collect(), modal)],
        }
    }
}

/// The fit of a method that finds shared poles from `outputs` `[lags, outputs]`, the compressed kernel
/// behind the taps. Compression and least squares residues are the same for all such methods, and count.
pub fn with_poles(
    problem: &Problem,
    size: Size,
    find: impl Fn(&DMatrix<f64>, usize) -> Result<Vec<Complex64>>,
) -> Result<Fit> {
    let start = Instant::now();
    let window = Window::new(problem.kernel.view())?;
    let compression = start.elapsed();
    // Prepares what the residues are fitted by; its own poles are not looked at.
    let reduction = Reduction::new(&window, size.taps, 0)?;
    let start = Instant::now();
    let poles = find(reduction.outputs(), size.order)?;
    let modal = reduction.modal(&poles)?;
    let mut fit = Fit::shared(modal, start);
    fit.time += compression;
    Ok(fit)
}
