//! Shapes and options of the operations.

use std::ops::Range;

/// `C [m, n] = op(A) op(B)`: `op(A)` is `[m, k]`, `op(B)` is `[k, n]`, all row-major.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gemm {
    /// Rows of C.
    pub m: usize,
    /// Columns of C.
    pub n: usize,
    /// Terms of each sum.
    pub k: usize,
    /// Whether A is stored as `[k, m]`.
    pub transpose_a: bool,
    /// Whether B is stored as `[n, k]`.
    pub transpose_b: bool,
    /// Whether the product is added to what C holds.
    pub accumulate: bool,
}

/// An activation function, as the public layers define it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `x`.
    None,
    /// `x * sigmoid(x)`.
    Silu,
    /// `max(x, 0)`.
    Relu,
    /// `x * Phi(x)`, exact.
    Gelu,
}

/// A norm over the channels of one token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// `x / (|x|_2 / sqrt(d) + 1e-8)`: no parameters.
    SimpleRms,
    /// `(x - mean) / sqrt(var + 1e-5) * weight + bias`.
    Layer,
}

/// A norm and where its parameters lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NormShape {
    /// Which norm.
    pub norm: Norm,
    /// Channels of a token.
    pub width: usize,
    /// Offset of `weight` `[width]`, which `bias` `[width]` follows ([`Norm::Layer`]; else unused).
    pub weight_at: usize,
}

/// A Toeplitz product along sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MixShape {
    /// Sequences.
    pub batch: usize,
    /// Positions of a sequence.
    pub length: usize,
    /// Channels `E`; each has a kernel of its own.
    pub channels: usize,
    /// Whether lags below zero are absent.
    pub causal: bool,
    /// Activation of `u` and `v`.
    pub act: Activation,
    /// Whether there is a gate `u`. Without one the product is all: operands `uv` and `duv` are those
    /// of `v` alone, as is the bias; `g` is not touched, and `dg` is the gradient of `y`.
    pub gated: bool,
    /// Lags from this one on are zero to f32's rounding (a decaying kernel): the product may leave
    /// them out. At least 1; `length` if nothing is known.
    pub support: usize,
}

impl MixShape {
    /// Rows of `uv` and of the bias for each channel: those of `u` and of `v`.
    pub fn halves(&self) -> usize {
        1 + usize::from(self.gated)
    }

    /// Positions of all sequences.
    pub fn tokens(&self) -> usize {
        self.batch * self.length
    }

    /// Columns of the kernel: see [`Device::rpe`](super::Device::rpe).
    pub fn lags(&self) -> usize {
        lags(self.length, self.causal)
    }
}

/// A product of SKI along sequences (Moreno et al. 2023): `y = (T + W A W^T) v`.
///
/// `T` is a short convolution, zero padded. `W` `[length, rank]` interpolates linearly between `rank`
/// inducing points, which are spread evenly from the first position to the last: two weights a
/// position. `A[a, b] = kernel(a - b)`, in units of the points' distance. Always gated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkiShape {
    /// Sequences.
    pub batch: usize,
    /// Positions of a sequence.
    pub length: usize,
    /// Channels `E`; each has taps and a kernel of its own.
    pub channels: usize,
    /// Activation of `u` and `v`.
    pub act: Activation,
    /// Inducing points, at least 2.
    pub rank: usize,
    /// Taps of the convolution, at lags `-(taps / 2) ..= taps / 2`. Odd.
    pub taps: usize,
}

/// Where the parameters of a product of SKI lie that are no kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SkiOffsets {
    /// Taps `[channels, taps]`, by rising lag.
    pub taps: usize,
    /// Biases `[2E]` of `u` and `v`, if there are any.
    pub bias: Option<usize>,
}

impl SkiShape {
    /// Positions of all sequences.
    pub fn tokens(&self) -> usize {
        self.batch * self.length
    }

    /// Columns of the kernel: those of a bidirectional Toeplitz operator on the inducing points.
    pub fn lags(&self) -> usize {
        lags(self.rank, false)
    }

    /// The distance of the inducing points as a fraction of whole numbers: positions, intervals.
    fn distance(&self) -> (usize, usize) {
        (self.length.saturating_sub(1).max(1), self.rank - 1)
    }

    /// Positions from one inducing point to the next.
    pub fn spacing(&self) -> f64 {
        let (positions, intervals) = self.distance();
        positions as f64 / intervals as f64
    }

    /// The positions between inducing point `q` and the next, the last position in the last interval:
    /// where they are, and what part of the way to the next point each is.
    pub fn interval(&self, q: usize) -> (Range<usize>, impl Fn(usize) -> f32 + use<>) {
        let (positions, intervals) = self.distance();
        let start = |q: usize| match q == intervals {
            true => self.length,
            false => (q * positions).div_ceil(intervals).min(self.length),
        };
        let way = move |i: usize| (i * intervals - q * positions) as f32 / positions as f32;
        (start(q)..start(q + 1), way)
    }
}

/// Lags at which `gamma^lag` is above a quarter of f32's rounding, 2^-26: the
/// [`support`](MixShape::support) of a kernel of `length` lags that decays by `gamma`.
pub fn decayed_support(gamma: f32, length: usize) -> usize {
    if gamma >= 1.0 {
        return length;
    }
    let lags =
        (-26.0 * std::f64::consts::LN_2 / f64::from(gamma.max(f32::MIN_POSITIVE)).ln()).ceil();
    (lags as usize).clamp(1, length)
}

/// Columns of a kernel: see [`Device::rpe`](super::Device::rpe).
fn lags(length: usize, causal: bool) -> usize {
    if causal { length } else { 2 * length }
}

/// What the RPE network sees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RpeInput {
    /// The lag.
    Lag,
    /// The lag divided by this length.
    Scaled(usize),
    /// The frequencies `pi k / bins`, k of `0 ..= bins`; `bins` is a power of two.
    Omega(usize),
    /// Their cosines.
    Cosine(usize),
    /// `sign(t) * lambda^|t|`, 1 at 0, where columns of the kernel stand `spacing` positions apart:
    /// `t = spacing * lag`, which the kernel decays along, too.
    Warped {
        /// Above 0, below 1.
        lambda: f64,
        /// Above 0.
        spacing: f64,
    },
}

impl RpeInput {
    /// Steps from frequency 0 to pi, where it is of frequencies.
    pub fn bins(self) -> Option<usize> {
        match self {
            Self::Lag | Self::Scaled(_) | Self::Warped { .. } => None,
            Self::Omega(bins) | Self::Cosine(bins) => Some(bins),
        }
    }

    /// Positions from one column of the kernel to the next.
    pub fn spacing(self) -> f64 {
        match self {
            Self::Warped { spacing, .. } => spacing,
            _ => 1.0,
        }
    }
}

/// The network that gives a Toeplitz operator its kernel: `Linear(1, width)`, `layers` times
/// [norm, act, `Linear(width, width)`], then [norm, act, `Linear(width, outputs)`].
///
/// Of lags, there is an output a channel, and the kernel is `kernel_act(gamma^|lag| * RPE(lag))`, where
/// lag 0 has no decay.
///
/// Of frequencies, the outputs are a response, and the kernel is its inverse Fourier transform over
/// `2 * bins` points; lags from `bins` on are zero. Causal: the response's real part, an output a
/// channel; lags above 0 count twice, those below are dropped. Else two outputs a channel, real and
/// imaginary part (the real ones of all channels of a head come first); the imaginary part is zero at
/// both ends. The transform commutes with the last map, so it is taken of the map's `width` inputs.
#[derive(Clone, Debug, PartialEq)]
pub struct RpeShape {
    /// Positions of a sequence.
    pub length: usize,
    /// Whether lags below zero are absent.
    pub causal: bool,
    /// Hidden width.
    pub width: usize,
    /// Hidden layers.
    pub layers: usize,
    /// Rows of the kernel.
    pub channels: usize,
    /// Heads that the channels belong to, neighbours to one.
    pub heads: usize,
    /// Norm before each activation; `None` for none.
    pub norm: Option<Norm>,
    /// Offsets of the norms' weights (hidden layers, then the output's), where the norm has them.
    pub norms_at: Vec<usize>,
    /// Activation between the linear maps.
    pub act: Activation,
    /// Whether each hidden layer's input is added to its output.
    pub residual: bool,
    /// What the network sees.
    pub input: RpeInput,
    /// Offset of the decay `gamma` `[channels]` in the parameters, if the kernel decays. It is not
    /// trained.
    pub gamma_at: Option<usize>,
    /// Activation of the kernel.
    pub kernel_act: Activation,
    /// Whether the linear maps have biases.
    pub bias: bool,
    /// Offset of the first map's weight `[width, 1]`, which its bias follows (where there is one).
    pub first_at: usize,
    /// Offsets of the hidden maps' weights `[width, width]`, each followed by its bias.
    pub hidden_at: Vec<usize>,
    /// Offset of the last map's weight `[outputs, width]`, followed by its bias.
    pub last_at: usize,
}

/// Neighbouring outputs of an RPE's last map that neighbouring channels are summed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outputs {
    /// The channels.
    pub channels: Range<usize>,
    /// The first channel's output.
    pub first: usize,
    /// 0, or 1 for imaginary parts.
    pub part: usize,
}

impl RpeShape {
    /// Columns of the kernel.
    pub fn lags(&self) -> usize {
        lags(self.length, self.causal)
    }

    /// Inputs that the network is evaluated at: the kernel's lags, or frequencies.
    pub fn rows(&self) -> usize {
        self.input.bins().map_or(self.lags(), |bins| bins + 1)
    }

    /// Columns of the kernel, from the first on, behind which all are always zero.
    pub fn live_lags(&self) -> usize {
        let end = self.input.bins().filter(|_| self.causal);
        end.map_or(self.lags(), |bins| bins.min(self.lags()))
    }

    /// Outputs of the last map for each channel: 2 of a complex response, else 1.
    pub fn parts(&self) -> usize {
        1 + usize::from(self.input.bins().is_some() && !self.causal)
    }

    /// Which outputs of the last map each channel is made of.
    pub fn outputs(&self) -> Vec<Outputs> {
        if self.parts() == 1 {
            return vec![Outputs {
                channels: 0..self.channels,
                first: 0,
                part: 0,
            }];
        }
        let head = self.channels / self.heads;
        let outputs = |index: usize| Outputs {
            channels: index / 2 * head..(index / 2 + 1) * head,
            first: index * head,
            part: index % 2,
        };
        (0..2 * self.heads).map(outputs).collect()
    }

    /// Elements of what the last map reads of a response: `[parts, lags, width]`; 0 without one.
    pub fn responses_len(&self) -> usize {
        let of_response = self.input.bins().is_some();
        usize::from(of_response) * self.parts() * self.lags() * self.width
    }

    /// Elements of the buffer that keeps hidden values for the backward pass: for each row and map
    /// but the last, its output; then twice as much again for the backward pass itself, the kernel
    /// before its activation, what a response's transform gives and the gradient of that. All are zero
    /// before the first pass.
    pub fn hidden_len(&self) -> usize {
        self.rows() * 4 * (self.layers + 1) * self.width
            + self.lags() * self.channels
            + 2 * self.responses_len()
    }
}

/// Layout of the buffer of an optimiser step's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimiser {
    /// Learning rate of this step.
    pub rate: f32,
    /// Decay of the running mean of the gradients.
    pub beta1: f32,
    /// Decay of the running mean of their squares.
    pub beta2: f32,
    /// Added to the root.
    pub epsilon: f32,
    /// Decoupled weight decay.
    pub weight_decay: f32,
    /// `1 - beta1^step`.
    pub correction1: f32,
    /// `1 - beta2^step`.
    pub correction2: f32,
    /// Largest norm of all gradients together; 0 for no limit.
    pub max_norm: f32,
    /// Factor on every gradient before anything else (one over the micro-batches).
    pub gradient_scale: f32,
}

impl Optimiser {
    /// Elements of the buffer: the fields in order, then the sum of squares of all gradients (at
    /// [`Optimiser::SQUARES`]), which [`Device::sum_squares`](super::Device::sum_squares) adds to.
    pub const LEN: usize = 10;
    /// Where the sum of squares of all gradients lies.
    pub const SQUARES: usize = 9;

    /// `1 - beta^step`: what a running mean that began at zero is divided by in `step` (the first is 1).
    pub fn correction(beta: f32, step: u64) -> f32 {
        (1.0 - f64::from(beta).powf(step as f64)) as f32
    }

    /// A step with the settings that trained the published networks, where the loss is summed over
    /// `targets`: betas .9 and .98, weight decay .1, norm at most 1.
    pub fn published(rate: f32, step: u64, targets: usize) -> Self {
        let [beta1, beta2] = [0.9, 0.98];
        Self {
            rate,
            beta1,
            beta2,
            epsilon: 1e-8,
            weight_decay: 0.1,
            correction1: Self::correction(beta1, step),
            correction2: Self::correction(beta2, step),
            max_norm: 1.0,
            gradient_scale: 1.0 / targets as f32,
        }
    }

    /// The fields in the order of the buffer, the sum of squares zero.
    pub fn to_array(self) -> [f32; Self::LEN] {
        [
            self.rate,
            self.beta1,
            self.beta2,
            self.epsilon,
            self.weight_decay,
            self.correction1,
            self.correction2,
            self.max_norm,
            self.gradient_scale,
            0.0,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::decayed_support;

    #[test]
    fn support_is_where_the_decay_is_below_rounding() {
        assert_eq!(decayed_support(1.0, 512), 512);
        assert_eq!(decayed_support(0.99, 512), 512);
        let lags = decayed_support(0.99, 1 << 20);
        assert!(0.99f64.powi(lags as i32) <= 2f64.powi(-26));
        assert!(0.99f64.powi(lags as i32 - 1) > 2f64.powi(-26));
        assert_eq!(decayed_support(0.0, 16), 1);
    }
}
