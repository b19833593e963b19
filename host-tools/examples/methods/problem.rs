//! Kernels to be converted.

use anyhow::Result;
use ndarray::Array2;
use std::path::Path;
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::convert::KernelSource;
use toeplite_tools::convert::network::{TrainedKernels, operators, trained_kernels};
use toeplite_tools::convert::source::fit_window;

/// A layer's kernels until they have died out.
pub struct Problem {
    /// `[lags, channels]`.
    pub kernel: Array2<f64>,
    /// Decay that can be divided out of each channel.
    pub gamma: Vec<f64>,
    /// Lags that the closed form is made of.
    pub train_len: usize,
}

/// The layers of the checkpoint in `path`.
pub fn layers(path: &Path) -> Result<Vec<Problem>> {
    let checkpoint = Checkpoint::open(path)?;
    let train_len = checkpoint.config.train_len;
    let operators = operators(&checkpoint)?;
    let sources = trained_kernels(&operators, train_len);
    let problem = |source: &TrainedKernels| Problem {
        kernel: fit_window(source),
        gamma: source
            .decay()
            .unwrap_or_else(|| vec![1.0; source.channels()]),
        train_len,
    };
    Ok(sources.iter().map(problem).collect())
}
