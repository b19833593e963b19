//! Kernels that are given by their frequency response.

use super::Real;
use super::rpe::Rpe;
use crate::checkpoint::config::RpeInput;
use ndarray::{Array2, ArrayView1};
use num_complex::Complex;
use std::f64::consts::PI;
use std::ops::Range;

/// How an RPE's outputs are a response, and what a kernel is of it.
#[derive(Clone, Debug)]
pub(super) struct Response {
    /// Steps from frequency 0 to pi; absent where they follow the sequence's length.
    pub bins: Option<usize>,
    pub cosine: bool,
    pub causal: bool,
    pub heads: usize,
    pub head_dim: usize,
}

impl Response {
    /// What an RPE with this input gives; `None` where the input is of lags.
    pub fn new(
        input: RpeInput,
        bins: Option<usize>,
        causal: bool,
        (heads, head_dim): (usize, usize),
    ) -> Option<Self> {
        input.is_frequency().then_some(Self {
            bins,
            cosine: input == RpeInput::Cosine,
            causal,
            heads,
            head_dim,
        })
    }

    /// Outputs of the RPE: the real part, and the imaginary part where nothing says what it is.
    pub fn outputs(&self) -> usize {
        self.heads * self.head_dim * if self.causal { 1 } else { 2 }
    }

    /// The kernel `[lags, channels]` as sequences of length `n` use it: of `2 * bins` points in a circle.
    /// Lags whose size reaches `bins` are zero.
    ///
    /// By default there are as many bins as the public code's transforms of `n` positions have.
    pub fn kernel<T: Real>(&self, rpe: &Rpe<T>, lags: Range<i64>, n: usize) -> Array2<T> {
        let bins = self.bins.unwrap_or(n.next_power_of_two());
        let omega = |k: usize| PI * k as f64 / bins as f64;
        let see = |k| {
            if self.cosine {
                omega(k).cos()
            } else {
                omega(k)
            }
        };
        let positions: Vec<T> = (0..=bins).map(|k| T::of(see(k))).collect();
        let response = rpe.forward(&positions);
        let plan = toeplite_fft::plan::<T>(2 * bins).inverse;
        let mut circle = plan.make_output_vec();
        let mut kernel = Array2::zeros((lags.end.abs_diff(lags.start) as usize, 0));
        for channel in 0..self.heads * self.head_dim {
            let mut spectrum = self.spectrum(&response, channel);
            plan.process(&mut spectrum, &mut circle)
                .expect("buffers have the plan's lengths");
            let column: Vec<T> = lags.clone().map(|lag| self.at(&circle, lag)).collect();
            kernel
                .push_column(ArrayView1::from(&column))
                .expect("a row a lag");
        }
        kernel.as_standard_layout().into_owned()
    }

    /// A channel's response; at both ends a real kernel's has no imaginary part.
    fn spectrum<T: Real>(&self, response: &Array2<T>, channel: usize) -> Vec<Complex<T>> {
        if self.causal {
            let real = response.column(channel);
            return real.iter().map(|&re| Complex::new(re, T::zero())).collect();
        }
        let real = channel / self.head_dim * 2 * self.head_dim + channel % self.head_dim;
        let parts = response.column(real);
        let parts = parts.iter().zip(response.column(real + self.head_dim));
        let mut spectrum: Vec<_> = parts.map(|(&re, &im)| Complex::new(re, im)).collect();
        let last = spectrum.len() - 1;
        (spectrum[0].im, spectrum[last].im) = (T::zero(), T::zero());
        spectrum
    }

    /// The kernel at a lag, of its values on a circle `2 * bins` times too large. The real part of a response
    /// is that of the kernel's even part: without lags below zero, those above count twice.
    fn at<T: Real>(&self, circle: &[T], lag: i64) -> T {
        let size = circle.len();
        let absent = lag.unsigned_abs() as usize >= size / 2 || self.causal && lag < 0;
        if absent {
            return T::zero();
        }
        let factor = if self.causal && lag > 0 { 2.0 } else { 1.0 };
        circle[lag.rem_euclid(size as i64) as usize] * T::of(factor / size as f64)
    }
}

#[cfg(test)]
mod tests {
    use crate::checkpoint::config::{Activation, RpeInput, ToeplitzConfig, ToeplitzKind};
    use crate::reference::testing;
    use crate::reference::toeplitz::Toeplitz;
    use ndarray::{Array2, s};

    /// The public causal case of smooth activations, 2 heads of 8 channels, with another input or grid.
    fn operator(rpe_input: RpeInput, bins: Option<usize>) -> Toeplitz<f64> {
        let config = ToeplitzConfig {
            kind: ToeplitzKind::Fd,
            rpe_act: Activation::Silu,
            rpe_input,
            bins,
            ..testing::toeplitz()
        };
        let case = "fd/fd_causal_n100_h2_l1_silu.safetensors";
        let tensors = testing::tensors(&testing::cases().with_file_name(case));
        Toeplitz::from_tensors(&config, 2, 8, true, true, &tensors, "param.").unwrap()
    }

    fn largest(kernel: &Array2<f64>, from: usize) -> f64 {
        let tail = kernel.slice(s![from.., ..]);
        tail.iter().fold(0.0, |a, x| a.max(x.abs()))
    }

    #[test]
    fn fixed_frequencies_give_one_kernel_that_ends() {
        let fixed = operator(RpeInput::Omega, Some(128));
        let kernel = fixed.kernel(0..300, 5000);
        assert_eq!(kernel, fixed.kernel(0..300, 1));
        assert_eq!(largest(&kernel, 128), 0.0);
        let by_length = operator(RpeInput::Omega, None).kernel(0..100, 100);
        assert_eq!(kernel.slice(s![..100, ..]), by_length);
    }

    /// The two inputs' kernels from lag 200 on, relative to the largest: the frequency itself has a kink where the
    /// circle closes, whatever the activation.
    #[test]
    fn cosines_make_kernels_that_die_out() {
        let tail = |input| {
            let kernel = operator(input, Some(4096)).kernel(0..2000, 1);
            largest(&kernel, 200) / largest(&kernel, 0)
        };
        assert!(tail(RpeInput::Cosine) < 1e-9, "{}", tail(RpeInput::Cosine));
        assert!(tail(RpeInput::Omega) > 1e-7, "{}", tail(RpeInput::Omega));
    }

    #[test]
    fn tails_are_bounded_by_what_is_there() {
        let fixed = operator(RpeInput::Omega, Some(128));
        let bounds = fixed.tail_bound(20, 1).unwrap();
        let tail = fixed.kernel(20..128, 1).mapv(f64::abs);
        for (bound, column) in bounds.iter().zip(tail.columns()) {
            assert!((bound - column.sum()).abs() < 1e-12);
        }
        assert!(fixed.tail_bound(128, 1).unwrap().iter().all(|&b| b == 0.0));
        assert_eq!(operator(RpeInput::Omega, None).tail_bound(128, 1), None);
    }
}
