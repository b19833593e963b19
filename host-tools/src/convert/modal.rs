//! The one form that every conversion ends in: a FIR head and a bank of modes.

use ndarray::Array2;
use num_complex::Complex64;

/// A causal many-channel kernel as `taps` followed by a sum of decaying exponentials:
///
/// `kernel(i, c) = taps[i, c]` for `i < M`, and
/// `kernel(M + j, c) = Re sum_k residues[k, c] * (channel_decay[c] * poles[k])^j`.
///
/// A pole with a non-zero imaginary part stands for itself and its conjugate; its residue is
/// twice that of the pair's first member, so that the real part is the pair's sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Modal {
    /// FIR head, `[M, channels]`.
    pub taps: Array2<f64>,
    /// One pole a mode, `[K]`, real poles first.
    pub poles: Vec<Complex64>,
    /// `[K, channels]`.
    pub residues: Array2<Complex64>,
    /// Factor on every pole that depends on the channel, `[channels]`; absent means 1 (shared poles).
    pub channel_decay: Option<Vec<f64>>,
}

impl Modal {
    /// Real numbers of state a channel that the modes hold: one a real pole, two a complex one.
    pub fn order(&self) -> usize {
        self.poles
            .iter()
            .map(|p| if p.im == 0.0 { 1 } else { 2 })
            .sum()
    }
}
