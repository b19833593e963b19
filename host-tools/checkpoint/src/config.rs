//! `config.json`: what a checkpoint's tensors mean.
//!
//! Old files keep loading: every key added after version 1 has a default that means what files
//! without it meant. An unknown key is an error, because ignoring an option that changes the
//! mathematics would give wrong numbers without a word.

use serde::{Deserialize, Serialize};

/// The `format` that every `config.json` of a Toeplite checkpoint names.
pub const FORMAT: &str = "toeplite-checkpoint";
/// The newest `config.json` version that this crate reads and the one that it writes.
pub const VERSION: u32 = 1;

/// A checkpoint's `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Always [`FORMAT`].
    pub format: String,
    /// Format version, at most [`VERSION`].
    pub version: u32,
    /// What the network is trained to do.
    pub task: Task,
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Number of GTU + GLU layers.
    pub layers: usize,
    /// Toeplitz heads; channels of a layer are `num_heads * head_dim`, head-major.
    pub num_heads: usize,
    /// Width of the GTU as a multiple of `dim`, rounded down to a multiple of `num_heads`.
    pub expand_ratio: f64,
    /// Hidden width of the GLU.
    pub glu_dim: usize,
    /// Whether lags below zero are absent (a streaming model) or present.
    pub causal: bool,
    /// Norm of the layers.
    pub norm: Norm,
    /// Whether norms stand before the mixers. `false` means [`NormPosition::PostBranch`] unless
    /// `norm_position` says otherwise.
    pub prenorm: bool,
    /// Overrides `prenorm` where present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub norm_position: Option<NormPosition>,
    /// Norm between the last layer and the head.
    pub final_norm: Norm,
    /// Factor on the embedding's output.
    pub embed_scale: f64,
    /// Whether the head is the embedding's matrix (`head.weight` is then absent).
    pub tie_embeddings: bool,
    /// Activation of the GTU's `u` and `v`.
    pub gtu_act: Activation,
    /// Activation of the GLU's gate.
    pub glu_act: Activation,
    /// Activation after the GLU's last linear map.
    #[serde(default)]
    pub glu_final_act: Activation,
    /// Norm of `u * TNO(v)` before the GTU's output map (the official `use_norm`), of the kind of
    /// `norm`.
    #[serde(default)]
    pub gtu_norm: bool,
    /// Whether linear maps have a bias, the RPE's included.
    #[serde(default = "yes")]
    pub bias: bool,
    /// Present in a [`Task::Classifier`], and only there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub classifier: Option<ClassifierConfig>,
    /// The Toeplitz operator.
    pub toeplitz: ToeplitzConfig,
    /// Sequence length of training: ETSC is exact up to it, scaled positions are divided by it.
    pub train_len: usize,
}

/// The `classifier` object of a [`Config`]: one of several classes for a whole sequence.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClassifierConfig {
    /// Classes: rows of the head.
    pub classes: usize,
    /// How the sequence becomes one vector, after the final norm. Both ways need a state of constant
    /// size when the sequence streams in.
    pub pooling: Pooling,
    /// Numbers of a frame, where the input is frames: a linear map `frames` stands in place of the
    /// embedding.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_dim: Option<usize>,
}

/// How a classifier makes one vector of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pooling {
    /// The mean over positions.
    Mean,
    /// The last position.
    Last,
}

/// The `toeplitz` object of a [`Config`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToeplitzConfig {
    /// Kind of operator.
    #[serde(default)]
    pub kind: ToeplitzKind,
    /// Width of the RPE network.
    pub rpe_dim: usize,
    /// Hidden layers of the RPE network.
    pub rpe_layers: usize,
    /// Activation inside the RPE network.
    pub rpe_act: Activation,
    /// Norm inside the RPE network.
    pub rpe_norm: Norm,
    /// What the RPE network is given for a lag, or for a frequency.
    pub rpe_input: RpeInput,
    /// Of kind `fd`: the response is always evaluated at `bins + 1` frequencies from 0 to pi, so that
    /// kernels have `bins` lags on each side whatever the sequence's length. A power of two. Absent: as
    /// many frequencies as each length asks for (as released).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bins: Option<usize>,
    /// Of kind `ski`: inducing points of the product of low rank, evenly spaced over a sequence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rank: Option<usize>,
    /// Of kind `ski`: taps of the short convolution, at lags `-(taps / 2) ..= taps / 2`. Odd.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub taps: Option<usize>,
    /// Of kind `ski`: lambda of the inverse time warp, see [`RpeInput::Warp`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warp: Option<f64>,
    /// Of a classifier of images: `[rows, columns]` of the image that a sequence is, row by row. Each layer
    /// then has two operators, `toep1` along the rows and `toep2` along the columns, whose products
    /// are added. Bidirectional; not of kind `ski`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<[usize; 2]>,
    /// Fixed decay: `kernel(lag) = gamma^|lag| * RPE(lag)`, with `toep.gamma` as stored.
    pub decay: bool,
    /// Learned decay: `gamma = decay_floor + (1 - decay_floor) * sigmoid(toep.gamma)`.
    /// Looked at only where `decay` is false, as in the official layers.
    #[serde(default)]
    pub learned_decay: bool,
    /// Smallest gamma of a learned decay (the official `lambda_`).
    #[serde(default)]
    pub decay_floor: f64,
    /// Activation of the kernel, after the decay.
    pub act: Activation,
    /// Whether the RPE's hidden layers have residual connections.
    pub residual: bool,
    /// Whether the operator's output is divided by the kernel's running sum.
    #[serde(default)]
    pub normalize: bool,
}

fn yes() -> bool {
    true
}

/// What a network is trained to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// Next-token prediction.
    CausalLm,
    /// Prediction of masked tokens (bidirectional: over a window, never streamed).
    MaskedLm,
    /// One class for a whole sequence of tokens or frames.
    Classifier,
}

/// Kinds of Toeplitz operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ToeplitzKind {
    /// Kernel given by an RPE network in the time domain.
    #[default]
    Tno,
    /// Frequency response given by an RPE network. Causal: its real part, which the imaginary part
    /// follows from. Bidirectional: both, `2 * head_dim` outputs a head, the real parts first.
    Fd,
    /// Short convolution and a product of low rank through inducing points; bidirectional.
    Ski,
}

/// What the RPE network is given for lag `i` of a sequence of length `n`, or for a frequency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RpeInput {
    /// `i` (the official `par_type` 1).
    Lag,
    /// `i / (n - 1)` (the official `par_type` 2).
    Scaled,
    /// `exp(i / (n - 1))` (the official `par_type` 3).
    Exp,
    /// The frequency `omega`, 0 to pi (kind `fd`, as released).
    Omega,
    /// `cos(omega)` (kind `fd`): even and periodic as a response is, so that a smooth RPE has kernels
    /// that die out exponentially.
    Cosine,
    /// `sign(lag) * lambda^|lag|`, 1 at lag 0 (kind `ski`): all lags of a side lie within an interval
    /// of length 1, so that the RPE interpolates at lengths that it was not trained at.
    Warp,
}

impl ToeplitzKind {
    /// Name in `config.json`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tno => "tno",
            Self::Fd => "fd",
            Self::Ski => "ski",
        }
    }
}

impl RpeInput {
    /// Whether it is of lags over the sequence's length, so that kernels differ from length to length.
    pub fn is_scaled(self) -> bool {
        matches!(self, Self::Scaled | Self::Exp)
    }

    /// Whether it is of frequencies, not of lags.
    pub fn is_frequency(self) -> bool {
        matches!(self, Self::Omega | Self::Cosine)
    }

    /// The kind whose RPE network is given this.
    pub fn kind(self) -> ToeplitzKind {
        match self {
            Self::Lag | Self::Scaled | Self::Exp => ToeplitzKind::Tno,
            Self::Omega | Self::Cosine => ToeplitzKind::Fd,
            Self::Warp => ToeplitzKind::Ski,
        }
    }
}

/// What kind `ski` has besides its RPE network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SkiOptions {
    /// Inducing points.
    pub rank: usize,
    /// Taps of the short convolution.
    pub taps: usize,
    /// Lambda of the inverse time warp.
    pub warp: f64,
}

impl ToeplitzConfig {
    /// The options of kind `ski`; `None` for other kinds, or where one is absent (which validation
    /// refuses).
    pub fn ski(&self) -> Option<SkiOptions> {
        (self.kind == ToeplitzKind::Ski).then_some(())?;
        Some(SkiOptions {
            rank: self.rank?,
            taps: self.taps?,
            warp: self.warp?,
        })
    }
}

/// Norms of the official layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Norm {
    /// `x / (|x| / sqrt(d) + 1e-8)`.
    SimpleRmsNorm,
    /// SimpleRMSNorm times a learned `scale`.
    RmsNorm,
    /// RMSNorm times `sigmoid(gate * x)`.
    GatedRmsNorm,
    /// `x / sqrt(mean(x^2) + 1e-5)` times one learned number `scala`.
    ScaleNorm,
    /// PyTorch's LayerNorm, eps 1e-5, with `weight` and `bias`.
    LayerNorm,
    /// No norm.
    None,
}

/// Where a layer's norms stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NormPosition {
    /// `x + f(norm(x))`.
    Pre,
    /// `x + norm(f(x))`: the standalone layers' post-norm.
    PostBranch,
    /// `norm(x + f(x))`: the fairseq layers' post-norm.
    PostResidual,
}

/// Activations of the official layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Activation {
    /// `x * sigmoid(x)`.
    Silu,
    /// `max(x, 0)`.
    Relu,
    /// `x * Phi(x)`, exact.
    Gelu,
    /// `x` above zero, `exp(x) - 1` below.
    Elu,
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `exp(x)`.
    Exp,
    /// `x` above zero, `0.01 x` below.
    #[serde(rename = "leak")]
    LeakyRelu,
    /// `1 + elu(x)`.
    #[serde(rename = "1+elu")]
    OnePlusElu,
    /// `2 + elu(x)`.
    #[serde(rename = "2+elu")]
    TwoPlusElu,
    /// `x`.
    #[default]
    None,
}

impl Config {
    /// Channels of a layer's Toeplitz operator: `num_heads * head_dim`.
    pub fn channels(&self) -> usize {
        (self.expand_ratio * self.dim as f64) as usize / self.num_heads * self.num_heads
    }

    /// Outputs of a layer's RPE network.
    pub fn rpe_outputs(&self) -> usize {
        let complex = self.toeplitz.kind == ToeplitzKind::Fd && !self.causal;
        self.channels() * if complex { 2 } else { 1 }
    }

    /// Names of a token mixer's Toeplitz operators: one of sequences, two of images (those of the official
    /// 2-D layers), along the rows and along the columns.
    pub fn operators(&self) -> &'static [&'static str] {
        match self.toeplitz.image {
            None => &["toep"],
            Some(_) => &["toep1", "toep2"],
        }
    }

    /// Numbers of a frame, where the input is frames.
    pub fn frame_dim(&self) -> Option<usize> {
        self.classifier.as_ref()?.frame_dim
    }

    /// Rows of the head: tokens of the vocabulary, or classes.
    pub fn outputs(&self) -> usize {
        let classes = self
            .classifier
            .as_ref()
            .map(|classifier| classifier.classes);
        classes.unwrap_or(self.vocab_size)
    }

    /// Where the layers' norms stand.
    pub fn norm_position(&self) -> NormPosition {
        self.norm_position.unwrap_or(if self.prenorm {
            NormPosition::Pre
        } else {
            NormPosition::PostBranch
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"format":"toeplite-checkpoint","version":1,"task":"causal-lm","vocab_size":256,
        "dim":128,"layers":4,"num_heads":1,"expand_ratio":3,"glu_dim":128,"causal":true,"norm":"simplermsnorm",
        "prenorm":true,"final_norm":"layernorm","embed_scale":1.0,"tie_embeddings":false,"gtu_act":"silu",
        "glu_act":"silu","toeplitz":{"kind":"tno","rpe_dim":32,"rpe_layers":1,"rpe_act":"relu",
        "rpe_norm":"simplermsnorm","rpe_input":"lag","decay":true,"act":"none","residual":false},"train_len":512}"#;

    #[test]
    fn first_version_loads_with_the_defaults_it_was_trained_with() {
        let c: Config = serde_json::from_str(TEXT).unwrap();
        assert_eq!(c.channels(), 384);
        assert_eq!(c.norm_position(), NormPosition::Pre);
        assert!(c.bias && !c.gtu_norm && !c.toeplitz.learned_decay);
        assert_eq!(
            serde_json::from_str::<Config>(&serde_json::to_string(&c).unwrap()).unwrap(),
            c
        );
    }

    #[test]
    fn kind_is_tno_where_it_is_not_named() {
        let c: Config = serde_json::from_str(&TEXT.replace("\"kind\":\"tno\",", "")).unwrap();
        assert_eq!(c, serde_json::from_str(TEXT).unwrap());
        assert!(!serde_json::to_string(&c).unwrap().contains("bins"));
    }

    #[test]
    fn unknown_option_is_refused() {
        let text = TEXT.replace("\"layers\":4", "\"layers\":4,\"chunked\":true");
        assert!(
            serde_json::from_str::<Config>(&text)
                .unwrap_err()
                .to_string()
                .contains("chunked")
        );
    }
}
