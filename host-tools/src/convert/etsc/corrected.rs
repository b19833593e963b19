//! The closed form for f32: poles rounded first, residues made right for the rounded poles.
//!
//! Rounding a pole to f32 turns it by up to 3e-8 a step. Taken alone that is harmless, but the pad
//! `-sum t` puts large amplitudes into every mode that must cancel at the lags before the end: on
//! trained kernels (n = 512) the worst channel's error is 4e-5 of the kernel, nearly all of it from
//! the poles. The rounded poles span the kernels of `n` lags just as well, so residues exist that
//! give the kernel exactly. As the rounded modes are nearly those of a DFT, its inverse applied to
//! what is still missing finds them in two rounds.

use super::{etsc, inverse_dft, mode_order};
use crate::convert::modal::Modal;
use ndarray::{Array2, ArrayView2};

/// Rounds of correction; each divides the error by a thousand or more.
const ROUNDS: usize = 2;

/// [`etsc`] with poles (and decays) that are f32 values already and residues (still f64) that belong
/// to them; [`Modal::to_f32_safe`] only rounds the residues of the result.
///
/// # Panics
/// If `gamma` has not one entry a channel.
pub fn etsc_f32(t: ArrayView2<f64>, gamma: &[f64]) -> Modal {
    let closed = etsc(t, gamma);
    let rounded = closed.to_f32_safe();
    let mut form = Modal {
        poles: rounded.poles,
        channel_decay: rounded.channel_decay,
        ..closed
    };
    let (n, modes) = (t.nrows(), mode_order(t.nrows() + 1));
    for _ in 0..ROUNDS {
        let realised = form.kernel(0..n);
        let missing = Array2::from_shape_fn(t.dim(), |(lag, c)| {
            t[[lag, c]] - realised[[lag, c]] / gamma[c].powf(lag as f64)
        });
        form.residues += &inverse_dft(missing.view(), &modes);
    }
    form
}

#[cfg(test)]
mod tests {
    use super::super::realised;
    use super::*;
    use crate::convert::measure::KernelError;

    /// A kernel whose undecayed form sums to much more than the decayed one: the pad dominates.
    fn padded(n: usize) -> Array2<f64> {
        Array2::from_shape_fn((n, 3), |(i, c)| 1.0 + (0.01 * (c * i) as f64).sin())
    }

    #[test]
    fn rounded_poles_realise_the_kernel_exactly_and_stepping_them_nearly_so() {
        for (n, gamma) in [
            (512, [0.99; 3]),
            (511, [0.999; 3]),
            (512, [1.0; 3]),
            (300, [0.98, 1.0, 0.99]),
        ] {
            let t = padded(n);
            let truth = realised(t.view(), &gamma, 0, n);
            let form = etsc_f32(t.view(), &gamma);
            assert_eq!(form.validate(), Ok(()));
            assert_eq!(form.to_f32_safe().poles, form.poles);
            let exact = KernelError::between(form.kernel(0..n).view(), truth.view());
            assert!(exact.max < 1e-9, "{n}: {exact:?}");
            let stepped = form.impulse_f32(n).mapv(f64::from);
            let stepped = KernelError::between(stepped.view(), truth.view());
            let plain = etsc(t.view(), &gamma).impulse_f32(n).mapv(f64::from);
            let plain = KernelError::between(plain.view(), truth.view());
            // What is left is the rounding of the steps themselves.
            assert!(4.0 * stepped.max < plain.max, "{n}: {stepped:?} {plain:?}");
        }
    }
}
