//! Token mixing as a strategy: the same network with its trained operator, with a given kernel,
//! or with a recurrence.

use super::Real;
use super::product::{Kernel, Spectrum, dense};
use super::toeplitz::Toeplitz;
use super::{ReferenceError, error::expect_len};
use ndarray::{Array2, ArrayView2, s};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What stands for the Toeplitz product of every layer.
pub trait Mix<T>: Sync {
    /// Layers that it has an operator for.
    fn layers(&self) -> usize;

    /// Channels of every layer's operator.
    fn channels(&self) -> usize;

    /// The operator of `layer` applied to a whole sequence `v` `[n, channels]`, from a state of
    /// rest; without the normalization of [`Toeplitz::normalize`].
    ///
    /// # Panics
    /// `layer` is not below [`layers`](Self::layers), or `v` has other channels.
    fn mix(&self, layer: usize, v: ArrayView2<T>) -> Array2<T>;
}

/// Where the kernels of an [`FftMix`] or a [`DenseMix`] come from.
pub trait Kernels<T>: Sync {
    /// Layers with a kernel.
    fn layers(&self) -> usize;

    /// Channels of every kernel.
    fn channels(&self) -> usize;

    /// The kernel of `layer` for sequences of length `n`.
    fn kernel(&self, layer: usize, n: usize) -> Kernel<T>;

    /// The product of `layer` with `v` where it is not that of its kernel.
    fn product(&self, layer: usize, v: ArrayView2<T>) -> Option<Array2<T>> {
        let _ = (layer, v);
        None
    }
}

/// The kernels that the RPEs give, a layer each.
#[derive(Clone, Debug)]
pub struct Trained<'a, T>(Vec<&'a Toeplitz<T>>);

impl<'a, T: Real> Trained<'a, T> {
    /// The operators of all layers, in order.
    ///
    /// # Errors
    /// There are none, or they differ in channels.
    pub fn new(operators: Vec<&'a Toeplitz<T>>) -> Result<Self, ReferenceError> {
        let channels = operators.iter().map(|operator| operator.channels());
        expect_same_channels(channels)?;
        Ok(Self(operators))
    }
}

impl<T: Real> Kernels<T> for Trained<'_, T> {
    fn layers(&self) -> usize {
        self.0.len()
    }

    fn channels(&self) -> usize {
        self.0[0].channels()
    }

    fn kernel(&self, layer: usize, n: usize) -> Kernel<T> {
        let lags = self.0[layer].lags(n);
        Kernel {
            first_lag: lags.start,
            coefficients: self.0[layer].kernel(lags, n),
        }
    }

    fn product(&self, layer: usize, v: ArrayView2<T>) -> Option<Array2<T>> {
        self.0[layer].product(v)
    }
}

/// Explicit causal kernels, a layer each: zero past their last row.
#[derive(Clone, Debug)]
pub struct Given<T>(Vec<Array2<T>>);

impl<T: Real> Given<T> {
    /// Kernels `[lags, channels]`, row 0 for lag 0; the number of lags may differ by layer.
    ///
    /// # Errors
    /// There are none, or they differ in channels.
    pub fn new(kernels: &[Array2<f64>]) -> Result<Self, ReferenceError> {
        expect_same_channels(kernels.iter().map(|kernel| kernel.ncols()))?;
        let kernels = kernels.iter().map(|kernel| kernel.mapv(T::of));
        Ok(Self(kernels.collect()))
    }
}

impl<T: Real> Kernels<T> for Given<T> {
    fn layers(&self) -> usize {
        self.0.len()
    }

    fn channels(&self) -> usize {
        self.0[0].ncols()
    }

    fn kernel(&self, layer: usize, n: usize) -> Kernel<T> {
        let lags = n.min(self.0[layer].nrows());
        Kernel::causal(self.0[layer].slice(s![..lags, ..]).to_owned())
    }
}

/// That there is a layer, and that all have the channels of the first.
pub(super) fn expect_same_channels(
    mut channels: impl Iterator<Item = usize>,
) -> Result<(), ReferenceError> {
    let first = channels
        .next()
        .ok_or(ReferenceError::Zero { what: "layers" })?;
    channels
        .zip(1..)
        .try_for_each(|(found, layer)| expect_len(layer, "channels", first, found))
}

/// Values computed on first use, one a layer and sequence length. Nothing is dropped: score
/// windows of few different lengths with one mixing.
struct Cache<V>(Mutex<HashMap<(usize, usize), Arc<V>>>);

impl<V> Cache<V> {
    fn new() -> Self {
        Self(Mutex::new(HashMap::new()))
    }

    /// Computes under the lock, so that threads which start together do the work once.
    fn get(&self, layer: usize, n: usize, compute: impl FnOnce() -> V) -> Arc<V> {
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let value = values.entry((layer, n));
        value.or_insert_with(|| Arc::new(compute())).clone()
    }
}

/// Kernels applied by FFT. The spectra of a layer and length are computed once.
pub struct FftMix<T, K> {
    kernels: K,
    spectra: Cache<Spectrum<T>>,
}

impl<T: Real, K: Kernels<T>> FftMix<T, K> {
    /// Applies `kernels` by FFT.
    pub fn new(kernels: K) -> Self {
        let spectra = Cache::new();
        Self { kernels, spectra }
    }
}

impl<T: Real, K: Kernels<T>> Mix<T> for FftMix<T, K> {
    fn layers(&self) -> usize {
        self.kernels.layers()
    }

    fn channels(&self) -> usize {
        self.kernels.channels()
    }

    fn mix(&self, layer: usize, v: ArrayView2<T>) -> Array2<T> {
        if let Some(product) = self.kernels.product(layer, v) {
            return product;
        }
        let n = v.nrows();
        let compute = || Spectrum::new(&self.kernels.kernel(layer, n), n);
        self.spectra.get(layer, n, compute).multiply(v)
    }
}

/// Another mixing, of sequences with zeros behind their end up to one length: as a trainer applies it to a batch
/// of sequences of different lengths. Kernels that depend on the length are those of this one, and of kernels that
/// are kept by length there is only one.
pub struct Padded<M> {
    mix: M,
    length: usize,
}

impl<M> Padded<M> {
    /// `mix`, of sequences of `length`; longer ones stay as they are.
    pub fn new(mix: M, length: usize) -> Self {
        Self { mix, length }
    }
}

impl<T: Real, M: Mix<T>> Mix<T> for Padded<M> {
    fn layers(&self) -> usize {
        self.mix.layers()
    }

    fn channels(&self) -> usize {
        self.mix.channels()
    }

    fn mix(&self, layer: usize, v: ArrayView2<T>) -> Array2<T> {
        let (own, channels) = v.dim();
        if own >= self.length {
            return self.mix.mix(layer, v);
        }
        let mut padded = Array2::zeros((self.length, channels));
        padded.slice_mut(s![..own, ..]).assign(&v);
        let product = self.mix.mix(layer, padded.view());
        product.slice_move(s![..own, ..])
    }
}

/// Kernels applied term by term: slow, and free of transforms. Kernels of a layer and length are
/// computed once.
pub struct DenseMix<T, K> {
    kernels: K,
    cache: Cache<Kernel<T>>,
}

impl<T: Real, K: Kernels<T>> DenseMix<T, K> {
    /// Applies `kernels` term by term.
    pub fn new(kernels: K) -> Self {
        let cache = Cache::new();
        Self { kernels, cache }
    }
}

impl<T: Real, K: Kernels<T>> Mix<T> for DenseMix<T, K> {
    fn layers(&self) -> usize {
        self.kernels.layers()
    }

    fn channels(&self) -> usize {
        self.kernels.channels()
    }

    fn mix(&self, layer: usize, v: ArrayView2<T>) -> Array2<T> {
        let n = v.nrows();
        let kernel = self.cache.get(layer, n, || self.kernels.kernel(layer, n));
        dense(&kernel, v)
    }
}
