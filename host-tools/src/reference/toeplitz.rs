//! Toeplitz kernels from the RPE, at every lag.

use super::activation::{activate, sigmoid, size_after};
use super::response::Response;
use super::rpe::Rpe;
use super::ski::Ski;
use super::{Params, Real, ReferenceError};
use crate::checkpoint::config::{Activation, RpeInput, ToeplitzConfig};
use ndarray::{Array2, ArrayD, ArrayView2, Axis};
use std::collections::BTreeMap;
use std::ops::Range;

/// Steps from frequency 0 to pi at which the response of a stream is evaluated. More than any window that
/// conversions look at.
const FINE_BINS: usize = 1 << 14;

/// A layer's Toeplitz operator: `y[i, c] = sum_j kernel(i - j, c) * v[j, c]`.
///
/// The kernel is `act(gamma[c]^|lag| * RPE(lag)[c])`; lag 0 is not decayed, since
/// `gamma^0 = 1`. Lags below zero are absent from a causal operator. Of kind `fd` the RPE gives the kernel's
/// frequency response instead; of kind `ski` the operator is no Toeplitz matrix, but nearly ([`Toeplitz::product`]),
/// and the kernel is that of its mean.
#[derive(Clone, Debug)]
pub struct Toeplitz<T> {
    rpe: Rpe<T>,
    input: RpeInput,
    response: Option<Response>,
    ski: Option<Ski<T>>,
    /// Lambda of warped lags; 1 where there are none.
    warp: f64,
    /// Factor a lag, `[channels]`. In f64: a rounding error in gamma grows with the lag.
    gamma: Option<Vec<f64>>,
    act: Activation,
    causal: bool,
    normalize: bool,
    channels: usize,
}

impl<T: Real> Toeplitz<T> {
    /// Reads `{prefix}rpe.*` and, for a decay, `{prefix}gamma` `[heads, 1, head_dim]`. `prefix`
    /// ends in a dot: `layers.0.token_mixer.toep.`.
    ///
    /// # Errors
    /// A tensor is missing or has another shape; there are no channels.
    pub fn from_tensors(
        config: &ToeplitzConfig,
        heads: usize,
        head_dim: usize,
        causal: bool,
        bias: bool,
        tensors: &BTreeMap<String, ArrayD<f32>>,
        prefix: &str,
    ) -> Result<Self, ReferenceError> {
        let params = Params::new(tensors, prefix);
        Self::from_params(config, heads, head_dim, causal, bias, &params)
    }

    /// [`from_tensors`](Self::from_tensors) below a prefix.
    pub(super) fn from_params(
        config: &ToeplitzConfig,
        heads: usize,
        head_dim: usize,
        causal: bool,
        bias: bool,
        params: &Params,
    ) -> Result<Self, ReferenceError> {
        let channels = heads * head_dim;
        if channels == 0 {
            return Err(ReferenceError::Zero { what: "channels" });
        }
        let ski = config.ski();
        let ski = ski.map(|options| Ski::from_params(options, channels, params));
        let response = Response::new(config.rpe_input, config.bins, causal, (heads, head_dim));
        let outputs = response.as_ref().map_or(channels, Response::outputs);
        Ok(Self {
            rpe: Rpe::from_params(config, outputs, bias, &params.sub("rpe"))?,
            input: config.rpe_input,
            response,
            ski: ski.transpose()?,
            warp: config.warp.unwrap_or(1.0),
            gamma: read_gamma(config, params, heads, head_dim)?,
            act: config.act,
            causal,
            normalize: config.normalize,
            channels,
        })
    }

    /// `heads * head_dim`.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Whether lags below zero are absent.
    pub fn causal(&self) -> bool {
        self.causal
    }

    /// Activation of the kernel, after the decay.
    pub fn activation(&self) -> Activation {
        self.act
    }

    /// Whether the operator's output is divided by the operator applied to ones.
    pub fn normalize(&self) -> bool {
        self.normalize
    }

    /// The decay of every channel, `[channels]`; absent without a decay.
    pub fn gamma(&self) -> Option<&[f64]> {
        self.gamma.as_deref()
    }

    /// The length to ask [`kernel`](Self::kernel) for what a stream of any length is given: `length`, or, of
    /// a response at as many frequencies as there are positions, so many that the kernel has fallen far where it
    /// meets its own beginning. The trained network at a shorter length has the sum of what meets there.
    pub fn streaming_length(&self, length: usize) -> usize {
        match &self.response {
            Some(response) if self.causal && response.bins.is_none() => length.max(FINE_BINS),
            _ => length,
        }
    }

    /// A bound a channel of `sum |kernel(i)|` over all `i >= from`: the RPE is bounded where its last
    /// block is normalized, and gamma decays; a response at fixed frequencies has a kernel that ends. `None`
    /// where nothing bounds the sum, such as without decay.
    ///
    /// The length is that which [`kernel`](Self::kernel) is asked for.
    pub fn tail_bound(&self, from: usize, n: usize) -> Option<Vec<f64>> {
        if let Some(response) = &self.response {
            let (from, end) = (from as i64, response.bins? as i64);
            let sums = |lags: Range<i64>| {
                let kernel = self.kernel(lags.start..lags.end.max(lags.start), 1);
                kernel.mapv(|x| x.wide().abs()).sum_axis(Axis(0))
            };
            let (above, below) = (sums(from..end), sums(1 - end..1 - from));
            return Some(above.iter().zip(&below).map(|(a, b)| a.max(*b)).collect());
        }
        let mut taps = vec![0.0; self.channels];
        let mut reached = 0.0;
        if let Some(ski) = &self.ski {
            // A lag's value is made of those less than two distances away.
            reached = 2.0 * ski.spacing(n);
            taps = ski.largest_side(from as i64);
        }
        let (gamma, bound) = (self.gamma.as_ref()?, self.rpe.bound()?);
        // an activation that moves zero keeps the kernel from dying out
        let (factor, offset) = size_after(self.act)?;
        let channel = |((gamma, bound), taps): ((&f64, f64), f64)| {
            let decays = (0.0..1.0).contains(gamma) && offset == 0.0;
            let largest = gamma.powf(from as f64 - reached);
            decays.then(|| taps + factor * bound * largest / (1.0 - gamma))
        };
        gamma.iter().zip(bound).zip(taps).map(channel).collect()
    }

    /// The lags that a sequence of length `n` uses: `0..n`, or `1 - n..n` without causality.
    pub fn lags(&self, n: usize) -> Range<i64> {
        let n = n as i64;
        if self.causal { 0..n } else { (1 - n).min(0)..n }
    }

    /// The coefficients `[lags, channels]` as a sequence of length `n` uses them: after decay and
    /// activation, zero below lag 0 of a causal operator.
    ///
    /// The length matters only to [`RpeInput::Scaled`] and [`RpeInput::Exp`], which divide lags by
    /// `n - 1` (by 1 where `n` is 1), and to responses at as many frequencies as there are positions. Lags may
    /// lie past `n`: the RPE is defined everywhere, and kernels of responses are zero past their last.
    pub fn kernel(&self, lags: Range<i64>, n: usize) -> Array2<T> {
        if let Some(response) = &self.response {
            return response.kernel(&self.rpe, lags, n);
        }
        if let Some(ski) = &self.ski {
            let spacing = ski.spacing(n);
            return ski.mean_kernel(lags, n, |lags| self.points(lags, spacing));
        }
        let positions: Vec<T> = lags.clone().map(|lag| self.position(lag, n)).collect();
        let mut kernel = self.evaluate(&positions, lags.start, 1.0);
        if self.causal {
            let absent = (-lags.start).max(0) as usize;
            kernel
                .rows_mut()
                .into_iter()
                .take(absent)
                .for_each(|mut row| row.fill(T::zero()));
        }
        kernel
    }

    /// The operator's own product with `v` `[n, channels]` where it is not that of a kernel: of kind `ski`.
    pub fn product(&self, v: ArrayView2<T>) -> Option<Array2<T>> {
        let ski = self.ski.as_ref()?;
        let spacing = ski.spacing(v.nrows());
        Some(ski.multiply(v, |lags| self.points(lags, spacing)))
    }

    /// Of kind `ski`, the function of the distance that is interpolated, at `lags` times `spacing` positions.
    pub(super) fn points(&self, lags: Range<i64>, spacing: f64) -> Array2<T> {
        let warped = |lag: i64| self.warped(lag as f64 * spacing);
        let positions: Vec<T> = lags.clone().map(warped).collect();
        self.evaluate(&positions, lags.start, spacing)
    }

    /// The RPE at `positions`, which are of lags from `first` on, `spacing` apart, after decay and activation.
    fn evaluate(&self, positions: &[T], first: i64, spacing: f64) -> Array2<T> {
        let mut kernel = self.rpe.forward(positions);
        if let Some(gamma) = &self.gamma {
            decay(&mut kernel, first, spacing, gamma);
        }
        activate(self.act, &mut kernel);
        kernel
    }

    /// Whether the decay is a factor of the kernel at every lag.
    pub fn decay_is_factor(&self) -> bool {
        self.act == Activation::None && self.ski.is_none()
    }

    /// The operator with `mix` for its Toeplitz product: `[n, channels]` to `[n, channels]`,
    /// divided by the product with ones where the operator is normalized.
    pub fn apply(&self, v: ArrayView2<T>, mix: impl Fn(ArrayView2<T>) -> Array2<T>) -> Array2<T> {
        let mut y = mix(v);
        if self.normalize {
            y /= &mix(Array2::ones(v.dim()).view());
        }
        y
    }

    /// What the RPE is given for a lag.
    fn position(&self, lag: i64, n: usize) -> T {
        let scaled = || T::of(lag as f64) / T::of(n.saturating_sub(1).max(1) as f64);
        match self.input {
            RpeInput::Lag => T::of(lag as f64),
            RpeInput::Scaled => scaled(),
            RpeInput::Exp => scaled().exp(),
            RpeInput::Omega | RpeInput::Cosine => {
                unreachable!("a response's kernel has no positions")
            }
            RpeInput::Warp => self.warped(lag as f64),
        }
    }

    /// What the RPE is given for a distance in positions where it sees warped lags.
    fn warped(&self, distance: f64) -> T {
        let size = self.warp.powf(distance.abs());
        T::of(if distance < 0.0 { -size } else { size })
    }
}

/// The decay of every channel, `[channels]`, head-major as stored.
fn read_gamma(
    config: &ToeplitzConfig,
    params: &Params,
    heads: usize,
    head_dim: usize,
) -> Result<Option<Vec<f64>>, ReferenceError> {
    if !config.decay && !config.learned_decay {
        return Ok(None);
    }
    let stored = params.values::<f64>("gamma", &[heads, 1, head_dim])?;
    let floor = config.decay_floor;
    Ok(Some(if config.decay {
        stored.collect()
    } else {
        stored
            .map(|gamma| floor + (1.0 - floor) * sigmoid(gamma))
            .collect()
    }))
}

/// Multiplies row `i`, which holds lag `(first + i) * spacing`, by `gamma^|lag|`.
fn decay<T: Real>(kernel: &mut Array2<T>, first: i64, spacing: f64, gamma: &[f64]) {
    for (mut row, lag) in kernel.rows_mut().into_iter().zip(first..) {
        let exponent = lag.unsigned_abs() as f64 * spacing;
        let (mut base, mut power) = (f64::NAN, T::zero());
        for (value, &gamma) in row.iter_mut().zip(gamma) {
            // Most models give all channels one gamma: one power a lag is then enough.
            if gamma != base {
                (base, power) = (gamma, T::of(gamma.powf(exponent)));
            }
            *value *= power;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::testing;

    fn config(layers: usize, rpe_dim: usize, decay: bool, act: Activation) -> ToeplitzConfig {
        ToeplitzConfig {
            rpe_dim,
            rpe_layers: layers,
            decay,
            act,
            ..testing::toeplitz()
        }
    }

    fn operator(
        config: &ToeplitzConfig,
        (heads, head_dim): (usize, usize),
        causal: bool,
        case: &str,
    ) -> (Toeplitz<f64>, BTreeMap<String, ArrayD<f32>>) {
        let tensors = testing::tensors(&testing::cases().join(case));
        let operator =
            Toeplitz::from_tensors(config, heads, head_dim, causal, true, &tensors, "param.");
        (operator.unwrap(), tensors)
    }

    /// Largest difference to the stored `a` `[heads, lags, head_dim]`.
    fn error(kernel: &Array2<f64>, a: &ArrayD<f32>) -> f64 {
        let (heads, lags, head_dim) = (a.shape()[0], a.shape()[1], a.shape()[2]);
        assert_eq!(kernel.dim(), (lags, heads * head_dim));
        let difference = |(index, &a): (ndarray::IxDyn, &f32)| {
            let channel = index[0] * head_dim + index[2];
            (kernel[[index[1], channel]] - f64::from(a)).abs()
        };
        a.indexed_iter().map(difference).fold(0.0, f64::max)
    }

    const BIDIRECTIONAL: &str = "tno_bidir_n513_h2_decay_l3_relu.safetensors";
    const WITH_ACT: &str = "tno_causal_n100_h2_decay_l1_relu_actsilu.safetensors";

    #[test]
    fn bidirectional_kernel_with_heads_is_the_official_one() {
        let config = config(3, 32, true, Activation::None);
        let (operator, tensors) = operator(&config, (2, 8), false, BIDIRECTIONAL);
        let kernel = operator.kernel(operator.lags(513), 513);
        assert!(error(&kernel, &tensors["a"]) < 1e-7);
    }

    #[test]
    fn causal_kernel_is_activated_after_the_decay_and_absent_below_lag_0() {
        let config = config(1, 16, true, Activation::Silu);
        let (operator, tensors) = operator(&config, (2, 8), true, WITH_ACT);
        let kernel = operator.kernel(operator.lags(100), 100);
        assert!(error(&kernel, &tensors["a"]) < 1e-7);
        let wider = operator.kernel(-3..100, 100);
        assert!(
            wider
                .rows()
                .into_iter()
                .take(3)
                .flatten()
                .all(|&a| a == 0.0)
        );
        assert_eq!(wider.slice(ndarray::s![3.., ..]), kernel);
    }

    #[test]
    fn kernel_is_the_same_from_any_window_of_lags() {
        let config = config(3, 32, true, Activation::None);
        let (operator, _) = operator(&config, (2, 8), false, BIDIRECTIONAL);
        let whole = operator.kernel(-1500..1500, 513);
        for lag in [-1500, -700, -1, 0, 1, 3, 511, 513, 1499] {
            let one = operator.kernel(lag..lag + 1, 513);
            let row = whole.row((lag + 1500) as usize);
            let difference = (&one.row(0) - &row).mapv(f64::abs);
            assert!(difference.iter().all(|&d| d < 1e-15), "lag {lag}");
        }
    }

    #[test]
    fn length_one_has_only_lag_0_whatever_the_input() {
        for input in [RpeInput::Lag, RpeInput::Scaled, RpeInput::Exp] {
            let config = ToeplitzConfig {
                rpe_input: input,
                ..config(3, 32, true, Activation::None)
            };
            let (operator, _) = operator(&config, (2, 8), false, BIDIRECTIONAL);
            assert_eq!(operator.lags(1), 0..1);
            let one = operator.kernel(0..1, 1);
            assert_eq!(one, operator.kernel(0..1, 513));
            assert!(one.iter().all(|a| a.is_finite()));
        }
    }

    #[test]
    fn scaled_positions_are_lags_over_the_largest_lag() {
        let config = |rpe_input| ToeplitzConfig {
            rpe_input,
            ..config(3, 32, false, Activation::None)
        };
        let plain = operator(&config(RpeInput::Lag), (2, 8), false, BIDIRECTIONAL).0;
        let scaled = operator(&config(RpeInput::Scaled), (2, 8), false, BIDIRECTIONAL).0;
        assert_eq!(scaled.kernel(-10..11, 2), plain.kernel(-10..11, 2));
        let stretched = scaled.kernel(-10..11, 6);
        for (stretched_lag, lag) in [(5, 1), (-10, -2), (0, 0)] {
            let row = stretched.row((stretched_lag + 10) as usize);
            assert_eq!(row, plain.kernel(lag..lag + 1, 6).row(0));
        }
    }

    #[test]
    fn learned_decay_stays_between_the_floor_and_one() {
        let config = ToeplitzConfig {
            learned_decay: true,
            decay_floor: 0.9,
            ..config(3, 32, false, Activation::None)
        };
        let tensors = testing::tensors(&testing::cases().join(BIDIRECTIONAL));
        let mut learned = tensors.clone();
        learned.get_mut("param.gamma").unwrap()[[1, 0, 3]] = -2.0;
        let operator =
            Toeplitz::<f64>::from_tensors(&config, 2, 8, false, true, &learned, "param.").unwrap();
        let gamma = operator.gamma().unwrap()[11];
        assert!((gamma - (0.9 + 0.1 / (1.0 + 2f64.exp()))).abs() < 1e-15);
        let fixed = ToeplitzConfig {
            decay: true,
            ..config
        };
        let operator =
            Toeplitz::<f64>::from_tensors(&fixed, 2, 8, false, true, &learned, "param.").unwrap();
        assert_eq!(
            operator.gamma().unwrap()[11],
            -2.0,
            "fixed decay is taken as stored"
        );
    }
}
