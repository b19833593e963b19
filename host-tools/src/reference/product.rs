//! Toeplitz products: directly, and by FFT.

use super::Real;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, Axis, s};
use num_complex::Complex;
use num_traits::Zero;
use toeplite_fft::{Plan, RealToComplex};

/// Coefficients at consecutive lags; all others are zero.
#[derive(Clone, Debug, PartialEq)]
pub struct Kernel<T> {
    /// `[lags, channels]`.
    pub coefficients: Array2<T>,
    /// Lag of the first row: 0 in a causal kernel.
    pub first_lag: i64,
}

impl<T: Real> Kernel<T> {
    /// A kernel whose first row is lag 0.
    pub fn causal(coefficients: Array2<T>) -> Self {
        Self {
            coefficients,
            first_lag: 0,
        }
    }

    /// Rows of `coefficients` that a sequence of `n` positions uses, and the lag of the first.
    fn used(&self, n: usize) -> (ArrayView2<'_, T>, i64) {
        let (n, rows) = (n as i64, self.coefficients.nrows() as i64);
        let start = (1 - n - self.first_lag).clamp(0, rows);
        let end = (n - self.first_lag).clamp(start, rows);
        let used = self
            .coefficients
            .slice(s![start as usize..end as usize, ..]);
        (used, self.first_lag + start)
    }
}

/// `y[i, c] = sum_j kernel(i - j, c) * v[j, c]`, term by term: `n^2 * channels` multiplications.
///
/// # Panics
/// `v` `[n, channels]` and the kernel differ in channels.
pub fn dense<T: Real>(kernel: &Kernel<T>, v: ArrayView2<T>) -> Array2<T> {
    let (coefficients, first_lag) = kernel.used(v.nrows());
    assert_eq!(coefficients.ncols(), v.ncols(), "channels");
    let mut y = Array2::zeros(v.dim());
    for (mut y, i) in y.rows_mut().into_iter().zip(0i64..) {
        for (a, lag) in coefficients.rows().into_iter().zip(first_lag..) {
            let j = i - lag;
            if j < 0 || j >= v.nrows() as i64 {
                continue;
            }
            let v = v.row(j as usize);
            ndarray::Zip::from(&mut y)
                .and(a)
                .and(v)
                .for_each(|y, &a, &v| *y += a * v);
        }
    }
    y
}

/// Channels transformed together: their strided reads share cache lines.
const BLOCK: usize = 16;

/// A kernel's spectrum for sequences of one length: computed once, used for many sequences.
pub struct Spectrum<T> {
    n: usize,
    /// `[channels, size / 2 + 1]`, divided by the transform's size.
    bins: Array2<Complex<T>>,
    fft: Plan<T>,
}

impl<T: Real> Spectrum<T> {
    /// The spectrum of `kernel` for sequences of length `n`, on the smallest fast circulant that
    /// holds every lag between `1 - n` and `n - 1` apart.
    pub fn new(kernel: &Kernel<T>, n: usize) -> Self {
        let size = fast_size((2 * n).saturating_sub(1));
        let fft = toeplite_fft::plan(size);
        let (coefficients, first_lag) = kernel.used(n);
        let mut bins = Array2::zeros((coefficients.ncols(), size / 2 + 1));
        let mut circulant = Array2::zeros((BLOCK, size));
        for (mut bins, columns) in bins
            .axis_chunks_iter_mut(Axis(0), BLOCK)
            .zip(coefficients.axis_chunks_iter(Axis(1), BLOCK))
        {
            circulant.fill(T::zero());
            for (row, lag) in columns.rows().into_iter().zip(first_lag..) {
                let at = lag.rem_euclid(size as i64) as usize;
                circulant.slice_mut(s![..row.len(), at]).assign(&row);
            }
            transform(&*fft.forward, &mut circulant, &mut bins);
        }
        let scale = T::one() / T::of(size as f64);
        bins.mapv_inplace(|bin| bin.scale(scale));
        Self { n, bins, fft }
    }

    /// The product with `v` `[n, channels]`.
    ///
    /// # Panics
    /// `v` has another length or other channels than the spectrum was made for.
    pub fn multiply(&self, v: ArrayView2<T>) -> Array2<T> {
        assert_eq!(v.dim(), (self.n, self.bins.nrows()), "[n, channels]");
        let mut y = Array2::zeros(v.dim());
        let mut padded = Array2::zeros((BLOCK, self.fft.forward.len()));
        let mut product = Array2::zeros((BLOCK, self.bins.ncols()));
        for ((y, v), bins) in y
            .axis_chunks_iter_mut(Axis(1), BLOCK)
            .zip(v.axis_chunks_iter(Axis(1), BLOCK))
            .zip(self.bins.axis_chunks_iter(Axis(0), BLOCK))
        {
            padded.slice_mut(s![.., self.n..]).fill(T::zero());
            let signal = s![..v.ncols(), ..self.n];
            transpose(v, padded.slice_mut(signal));
            let mut product = product.slice_mut(s![..v.ncols(), ..]);
            transform(&*self.fft.forward, &mut padded, &mut product);
            product *= &bins;
            self.transform_back(&mut product, &mut padded);
            transpose(padded.slice(signal), y);
        }
        y
    }

    fn transform_back(&self, bins: &mut ArrayViewMut2<Complex<T>>, out: &mut Array2<T>) {
        let mut scratch = self.fft.inverse.make_scratch_vec();
        for (mut bins, mut out) in bins.rows_mut().into_iter().zip(out.rows_mut()) {
            let bins = bins.as_slice_mut().expect(CONTIGUOUS);
            // Both are products of real numbers; an infinite factor would make them NaN.
            bins[0].im = T::zero();
            bins[bins.len() - 1].im = T::zero();
            let out = out.as_slice_mut().expect(CONTIGUOUS);
            self.fft
                .inverse
                .process_with_scratch(bins, out, &mut scratch)
                .expect(LENGTHS);
        }
    }
}

/// `to = from^T`, in square tiles: whole columns would thrash the cache at strides that are powers
/// of two.
fn transpose<T: Real>(from: ArrayView2<T>, mut to: ArrayViewMut2<T>) {
    for (from, mut to) in from
        .axis_chunks_iter(Axis(0), BLOCK)
        .zip(to.axis_chunks_iter_mut(Axis(1), BLOCK))
    {
        for (from, mut to) in from
            .axis_chunks_iter(Axis(1), BLOCK)
            .zip(to.axis_chunks_iter_mut(Axis(0), BLOCK))
        {
            to.assign(&from.t());
        }
    }
}

const CONTIGUOUS: &str = "rows of standard-layout arrays are contiguous";
const LENGTHS: &str = "buffers have the lengths that the plan was made for";

/// The transform of as many rows as `bins` has; `signal` is used as working space.
fn transform<T: Real>(
    plan: &dyn RealToComplex<T>,
    signal: &mut Array2<T>,
    bins: &mut ArrayViewMut2<Complex<T>>,
) {
    let mut scratch = vec![Complex::zero(); plan.get_scratch_len()];
    for (mut signal, mut bins) in signal.rows_mut().into_iter().zip(bins.rows_mut()) {
        let signal = signal.as_slice_mut().expect(CONTIGUOUS);
        let bins = bins.as_slice_mut().expect(CONTIGUOUS);
        plan.process_with_scratch(signal, bins, &mut scratch)
            .expect(LENGTHS);
    }
}

/// The smallest even number with no prime factor above 5 that is at least `least`.
fn fast_size(least: usize) -> usize {
    let smooth = |&size: &usize| {
        let mut rest = size;
        for prime in [2, 3, 5] {
            while rest.is_multiple_of(prime) {
                rest /= prime;
            }
        }
        rest == 1
    };
    let even = least.max(2).next_multiple_of(2);
    (even..)
        .step_by(2)
        .find(smooth)
        .expect("powers of two have no end")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noise(rows: usize, channels: usize, seed: u64) -> Array2<f64> {
        let mut state = seed.wrapping_mul(2) + 1;
        Array2::from_shape_simple_fn((rows, channels), || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
    }

    fn assert_products_agree(n: usize, channels: usize, first_lag: i64, lags: usize, seed: u64) {
        let kernel = Kernel {
            coefficients: noise(lags, channels, seed),
            first_lag,
        };
        let v = noise(n, channels, seed + 1);
        let direct = dense(&kernel, v.view());
        let fft = Spectrum::new(&kernel, n).multiply(v.view());
        let difference = (&direct - &fft)
            .iter()
            .fold(0.0, |m: f64, d| m.max(d.abs()));
        assert!(difference < 1e-12 * n as f64, "{difference} at n = {n}");
    }

    #[test]
    fn dense_product_is_the_definition() {
        let kernel = Kernel {
            coefficients: ndarray::array![[100.0], [10.0], [1.0], [2.0], [4.0]],
            first_lag: -2,
        };
        let v = ndarray::array![[1.0], [0.0], [3.0]];
        let y = dense(&kernel, v.view());
        assert_eq!(y, ndarray::array![[301.0], [32.0], [7.0]]);
    }

    #[test]
    fn products_agree_at_awkward_lengths() {
        for n in [1, 2, 3, 7, 13, 127, 128, 257] {
            for channels in [1, 16, 17] {
                assert_products_agree(n, channels, 0, n, 1);
                assert_products_agree(n, channels, 1 - n as i64, 2 * n - 1, 2);
            }
        }
    }

    #[test]
    fn sizes_are_even_smooth_and_minimal() {
        let sizes = [0, 1, 2, 3, 13, 1023, 1025].map(fast_size);
        assert_eq!(sizes, [2, 2, 2, 4, 16, 1024, 1080]);
    }

    proptest! {
        /// Kernels shorter or longer than the sequence, or starting anywhere.
        #[test]
        fn products_agree(
            n in 1usize..200,
            channels in 1usize..20,
            first_lag in -250i64..50,
            lags in 1usize..400,
            seed in any::<u32>(),
        ) {
            assert_products_agree(n, channels, first_lag, lags, seed.into());
        }
    }
}
