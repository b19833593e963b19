//! Offsets and shapes of one layer's operations.

use super::layout::Layout;
use super::support::Options;
use crate::device::{Gemm, MixShape, NormShape, RpeShape, SkiShape, decayed_support};
use toeplite_checkpoint::Config;

/// A layer as its operations see it, for one batch shape.
pub(super) struct Layer {
    pub token_norm: NormShape,
    pub feature_norm: NormShape,
    /// One for each of the layer's Toeplitz operators: along sequences, or along the rows and along the
    /// columns of images.
    pub rpes: Vec<RpeShape>,
    /// Taps of the short convolution `[E, taps]`; unused where the product has none.
    pub short_at: usize,
    /// `u_proj` and `v_proj` one after the other: `[2E, d]`, `[2E]`.
    pub uv_at: usize,
    pub uv_bias_at: Option<usize>,
    /// `[d, E]`, `[d]`.
    pub o_at: usize,
    pub o_bias_at: Option<usize>,
    /// `l1` and `l2` one after the other: `[2G, d]`, `[2G]`.
    pub l12_at: usize,
    pub l12_bias_at: Option<usize>,
    /// `[d, G]`, `[d]`.
    pub l3_at: usize,
    pub l3_bias_at: Option<usize>,
}

impl Layer {
    pub fn new(
        config: &Config,
        options: &Options,
        layout: &Layout,
        index: usize,
        length: usize,
    ) -> Self {
        let name = |part: &str| format!("layers.{index}.{part}");
        let weight = |map: &str| layout.at(&name(&format!("{map}.weight")));
        let bias = |map: &str| layout.find(&name(&format!("{map}.bias")));
        let norm = |part: &str| NormShape {
            norm: options.norm,
            width: config.dim,
            weight_at: layout
                .find(&name(&format!("{part}.weight")))
                .unwrap_or_default(),
        };
        Self {
            token_norm: norm("token_norm"),
            feature_norm: norm("feature_norm"),
            rpes: rpe_shapes(config, options, layout, index, length),
            short_at: layout
                .find(&name("token_mixer.toep.short"))
                .unwrap_or_default(),
            uv_at: weight("token_mixer.u_proj"),
            uv_bias_at: bias("token_mixer.u_proj"),
            o_at: weight("token_mixer.o"),
            o_bias_at: bias("token_mixer.o"),
            l12_at: weight("feature_mixer.l1"),
            l12_bias_at: bias("feature_mixer.l1"),
            l3_at: weight("feature_mixer.l3"),
            l3_bias_at: bias("feature_mixer.l3"),
        }
    }
}

fn rpe_shapes(
    config: &Config,
    options: &Options,
    layout: &Layout,
    index: usize,
    length: usize,
) -> Vec<RpeShape> {
    let lengths = match config.toeplitz.image {
        None => vec![length],
        Some([rows, columns]) => vec![columns, rows],
    };
    let operators = config.operators().iter().zip(lengths);
    let prefix = |operator| format!("layers.{index}.token_mixer.{operator}");
    operators
        .map(|(operator, length)| rpe_shape(config, options, layout, &prefix(operator), length))
        .collect()
}

/// Of the operator whose tensors' names begin with `prefix`.
fn rpe_shape(
    config: &Config,
    options: &Options,
    layout: &Layout,
    prefix: &str,
    length: usize,
) -> RpeShape {
    let toeplitz = &config.toeplitz;
    let name = |part: &str| format!("{prefix}.{part}");
    let weight = |map: &str| layout.at(&name(&format!("rpe.{map}.weight")));
    let norms = (0..toeplitz.rpe_layers).map(|k| name(&format!("rpe.layers.{k}.0.weight")));
    let norms = norms.chain([name("rpe.out.0.weight")]);
    // Products of SKI ask for the kernel between inducing points alone.
    let ski = ski_shape(config, options, 1, length);
    RpeShape {
        length: ski.map_or(length, |ski| ski.rank),
        causal: config.causal,
        width: toeplitz.rpe_dim,
        layers: toeplitz.rpe_layers,
        channels: config.channels(),
        heads: config.num_heads,
        norm: options.rpe_norm,
        norms_at: norms
            .map(|name| layout.find(&name).unwrap_or_default())
            .collect(),
        act: options.rpe_act,
        residual: toeplitz.residual,
        input: options.rpe_input(length, ski.map_or(1.0, |ski| ski.spacing())),
        gamma_at: toeplitz.decay.then(|| layout.at(&name("gamma"))),
        kernel_act: options.kernel_act,
        bias: config.bias,
        first_at: weight("pos_proj"),
        hidden_at: (0..toeplitz.rpe_layers)
            .map(|k| weight(&format!("layers.{k}.2")))
            .collect(),
        last_at: weight("out.2"),
    }
}

/// The Toeplitz products of all layers. `gamma` is the largest decay rate, 1 without decay.
pub(super) fn mix_shape(
    config: &Config,
    options: &Options,
    gamma: f32,
    batch: usize,
    length: usize,
) -> MixShape {
    MixShape {
        batch,
        length,
        channels: config.channels(),
        causal: config.causal,
        act: options.gtu_act,
        gated: true,
        support: match config.toeplitz.bins {
            Some(bins) => bins.min(length),
            None => decayed_support(gamma, length),
        },
    }
}

/// The products of SKI of all layers, in networks that have them.
pub(super) fn ski_shape(
    config: &Config,
    options: &Options,
    batch: usize,
    length: usize,
) -> Option<SkiShape> {
    let ski = config.toeplitz.ski()?;
    Some(SkiShape {
        batch,
        length,
        channels: config.channels(),
        act: options.gtu_act,
        rank: ski.rank,
        taps: ski.taps,
    })
}

/// Matrix products of one layer's map `W [out, in]` between token-major and channel-major values.
pub(super) mod products {
    use super::Gemm;

    const PLAIN: Gemm = Gemm {
        m: 0,
        n: 0,
        k: 0,
        transpose_a: false,
        transpose_b: false,
        accumulate: false,
    };

    /// `[out, T] = W x^T`: into channel-major.
    pub fn enter(out: usize, tokens: usize, inputs: usize) -> Gemm {
        Gemm {
            m: out,
            n: tokens,
            k: inputs,
            transpose_b: true,
            ..PLAIN
        }
    }

    /// `[T, out] = x W^T` for token-major `x [T, in]`.
    pub fn frames(out: usize, tokens: usize, inputs: usize) -> Gemm {
        Gemm {
            m: tokens,
            n: out,
            k: inputs,
            transpose_b: true,
            ..PLAIN
        }
    }

    /// `[out, in] += dy^T x` for token-major `dy [T, out]` and `x [T, in]`.
    pub fn frames_gradient(out: usize, tokens: usize, inputs: usize) -> Gemm {
        Gemm {
            m: out,
            n: inputs,
            k: tokens,
            transpose_a: true,
            ..PLAIN
        }
    }

    /// `[T, in] = dy^T W` for channel-major `dy [out, T]`.
    pub fn enter_backward(out: usize, tokens: usize, inputs: usize) -> Gemm {
        Gemm {
            m: tokens,
            n: inputs,
            k: out,
            transpose_a: true,
            ..PLAIN
        }
    }

    /// `[out, in] += dy x` for channel-major `dy [out, T]`.
    pub fn enter_gradient(out: usize, tokens: usize, inputs: usize) -> Gemm {
        Gemm {
            m: out,
            n: inputs,
            k: tokens,
            ..PLAIN
        }
    }

    /// `[T, out] = x^T W^T` for channel-major `x [in, T]`: back to token-major.
    pub fn leave(out: usize, tokens: usize, inputs: usize) -> Gemm {
        Gemm {
            m: tokens,
            n: out,
            k: inputs,
            transpose_a: true,
            transpose_b: true,
            ..PLAIN
        }
    }

    /// `[in, T] = W^T dy^T` for token-major `dy [T, out]`.
    pub fn leave_backward(out: usize, tokens: usize, inputs: usize) -> Gemm {
        Gemm {
            m: inputs,
            n: tokens,
            k: out,
            transpose_a: true,
            transpose_b: true,
            ..PLAIN
        }
    }

    /// `[out, in] += dy^T x^T` for token-major `dy [T, out]`, channel-major `x [in, T]`.
    pub fn leave_gradient(out: usize, tokens: usize, inputs: usize) -> Gemm {
        Gemm {
            m: out,
            n: inputs,
            k: tokens,
            transpose_a: true,
            transpose_b: true,
            ..PLAIN
        }
    }
}
