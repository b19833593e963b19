//! Shapes and options of the operations.

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

/// What the RPE network sees of a lag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RpeInput {
    /// The lag.
    Lag,
    /// The lag divided by this length.
    Scaled(usize),
}

/// The network that gives a Toeplitz operator its kernel: `Linear(1, width)`, `layers` times
/// [norm, act, `Linear(width, width)`], then [norm, act, `Linear(width, channels)`]; the kernel is
/// `kernel_act(gamma^|lag| * RPE(lag))`, where lag 0 has no decay.
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
    /// Columns of the output.
    pub channels: usize,
    /// Norm before each activation; `None` for none.
    pub norm: Option<Norm>,
    /// Offsets of the norms' weights (hidden layers, then the output's), where the norm has them.
    pub norms_at: Vec<usize>,
    /// Activation between the linear maps.
    pub act: Activation,
    /// Whether each hidden layer's input is added to its output.
    pub residual: bool,
    /// What the network sees of a lag.
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
    /// Offset of the last map's weight `[channels, width]`, followed by its bias.
    pub last_at: usize,
}

impl RpeShape {
    /// Columns of the kernel.
    pub fn lags(&self) -> usize {
        lags(self.length, self.causal)
    }

    /// Elements of the buffer that keeps hidden values for the backward pass: for each lag and map
    /// but the last, its output; then twice as much again for the backward pass itself, and the
    /// kernel before its activation.
    pub fn hidden_len(&self) -> usize {
        self.lags() * (4 * (self.layers + 1) * self.width + self.channels)
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
