//! Plain truncation: the first taps of a kernel, over past inputs.
//!
//! Exact for sequences of at most that many positions; what lies further back is lost, and a step
//! costs as many multiplications as there are taps.

use super::measure::{KernelError, squared_norms};
use super::modal::Modal;
use ndarray::{ArrayView2, s};

/// The first `taps` lags of `kernel` `[lags, channels]`, all of them where it has fewer.
pub fn fir(kernel: ArrayView2<f64>, taps: usize) -> Modal {
    let taps = taps.min(kernel.nrows());
    Modal::from_taps(kernel.slice(s![..taps, ..]).to_owned())
}

/// What truncation of `kernel` `[lags, channels]` after `taps` lags loses.
pub fn truncation_error(kernel: ArrayView2<f64>, taps: usize) -> KernelError {
    let taps = taps.min(kernel.nrows());
    KernelError::from_squares(
        &squared_norms(kernel.slice(s![taps.., ..])),
        &squared_norms(kernel),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn taps_are_exact_and_the_rest_is_the_error() {
        let kernel = array![[3.0, 1.0], [4.0, 0.0], [12.0, 0.0]];
        let form = fir(kernel.view(), 2);
        assert_eq!(form.validate(), Ok(()));
        assert_eq!(form.kernel(0..2), kernel.slice(s![..2, ..]));
        assert_eq!(form.kernel(2..9).sum(), 0.0);
        let error = truncation_error(kernel.view(), 2);
        assert!((error.max - 12.0 / 13.0).abs() < 1e-12);
        assert_eq!(truncation_error(kernel.view(), 9), KernelError::default());
        assert_eq!(fir(kernel.view(), 9).fir_len(), 3);
    }
}
