//! How far a realised kernel is from the true one.

use ndarray::ArrayView2;

/// A channel whose kernel is weaker than this, relative to the root mean square of all channels'
/// norms, is measured against this floor instead of against its own norm: a dead channel has no
/// meaningful relative error, and nothing that the network computes depends on it.
pub const QUIET: f64 = 1e-2;

/// Relative l2 error of a layer's kernels: `|realised - true| / |true|` a channel, over channels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct KernelError {
    /// Median over channels.
    pub median: f64,
    /// Largest of all channels.
    pub max: f64,
    /// Root mean square over channels.
    pub rms: f64,
}

impl KernelError {
    /// Error of `realised` against `truth`, both `[lags, channels]`.
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn between(realised: ArrayView2<f64>, truth: ArrayView2<f64>) -> Self {
        assert_eq!(realised.dim(), truth.dim(), "kernels of one shape");
        // Squares of what is left of a faint kernel must not vanish.
        let unit = unit(truth);
        let mut deviations = vec![0.0; truth.ncols()];
        let mut kernels = deviations.clone();
        for (a, b) in realised.outer_iter().zip(truth.outer_iter()) {
            for (c, (x, y)) in a.iter().zip(b).enumerate() {
                let (x, y) = (x / unit, y / unit);
                deviations[c] += (x - y) * (x - y);
                kernels[c] += y * y;
            }
        }
        Self::from_squares(&deviations, &kernels)
    }

    /// Error from the squared norms of the deviations and of the kernels, one of each a channel.
    pub fn from_squares(deviations: &[f64], kernels: &[f64]) -> Self {
        if deviations.is_empty() {
            return Self::default();
        }
        let mut errors: Vec<f64> = deviations
            .iter()
            .zip(reference_squares(kernels))
            .map(|(d, k)| (d / k).sqrt())
            .collect();
        errors.sort_by(f64::total_cmp);
        let count = errors.len();
        Self {
            median: (errors[(count - 1) / 2] + errors[count / 2]) / 2.0,
            max: errors[count - 1],
            rms: (errors.iter().map(|e| e * e).sum::<f64>() / count as f64).sqrt(),
        }
    }
}

/// The power of two at or below the largest of some numbers, by which they are divided without rounding; 1 where all
/// are zero.
pub fn unit(numbers: ArrayView2<f64>) -> f64 {
    let largest = numbers.iter().fold(0.0, |a: f64, x| a.max(x.abs()));
    if largest == 0.0 {
        return 1.0;
    }
    // Below the normal numbers there are powers of two that cannot be divided by.
    largest.max(f64::MIN_POSITIVE).log2().floor().exp2()
}

/// Squared norm of each channel's kernel.
pub fn squared_norms(kernel: ArrayView2<f64>) -> Vec<f64> {
    column_sums(kernel, |x| x * x)
}

/// Sum of `f` over the rows of each column.
pub fn column_sums(table: ArrayView2<f64>, f: fn(f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; table.ncols()];
    // Row by row, as the numbers lie in memory.
    for row in table.outer_iter() {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += f(*x));
    }
    sums
}

/// The squares that errors are relative to: the channels' own, raised to the floor of [`QUIET`].
pub(crate) fn reference_squares(kernels: &[f64]) -> Vec<f64> {
    let mean = kernels.iter().sum::<f64>() / kernels.len().max(1) as f64;
    let floor = (QUIET * QUIET * mean).max(f64::MIN_POSITIVE);
    kernels.iter().map(|k| k.max(floor)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn errors_are_relative_to_each_channel_unless_it_is_quiet() {
        let truth = array![[3.0, 0.0, 1e-9], [4.0, 1.0, 0.0]];
        let realised = array![[3.0, 0.0, 0.0], [4.5, 1.0, 0.0]];
        let e = KernelError::between(realised.view(), truth.view());
        assert!((e.max - 0.1).abs() < 1e-12);
        assert!(e.median < 1e-7, "the quiet channel's error is not 1: {e:?}");
        assert!((e.rms - (0.01f64 / 3.0).sqrt()).abs() < 1e-9);
    }

    #[test]
    fn zero_kernels_and_no_channels_give_numbers() {
        let zero = array![[0.0, 0.0]];
        assert_eq!(
            KernelError::between(zero.view(), zero.view()),
            KernelError::default()
        );
        let none = ndarray::Array2::zeros((3, 0));
        assert_eq!(
            KernelError::between(none.view(), none.view()),
            KernelError::default()
        );
    }
}
