//! Which configurations can be trained, in the terms of the devices.

use super::NetworkError;
use crate::device::{self, Activation, Norm};
use toeplite_checkpoint::config::{
    Activation as ConfigActivation, Config, Norm as ConfigNorm, NormPosition, RpeInput,
};

/// The options of a configuration that operations ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Options {
    pub norm: Norm,
    pub final_norm: Norm,
    pub gtu_act: Activation,
    pub glu_act: Activation,
    pub rpe_act: Activation,
    pub rpe_norm: Option<Norm>,
    rpe_input: RpeInput,
    bins: Option<usize>,
    warp: Option<f64>,
    pub kernel_act: Activation,
}

impl Options {
    /// What RPEs see where sequences have `length` positions. The public code's transforms have the power
    /// of two from `2 * length` on as their points. Warped lags are `spacing` positions apart.
    pub fn rpe_input(&self, length: usize, spacing: f64) -> device::RpeInput {
        let bins = self.bins.unwrap_or(length.next_power_of_two());
        match self.rpe_input {
            RpeInput::Scaled | RpeInput::Exp => {
                device::RpeInput::Scaled(length.saturating_sub(1).max(1))
            }
            RpeInput::Lag => device::RpeInput::Lag,
            RpeInput::Omega => device::RpeInput::Omega(bins),
            RpeInput::Cosine => device::RpeInput::Cosine(bins),
            RpeInput::Warp => device::RpeInput::Warped {
                lambda: self.warp.unwrap_or(1.0),
                spacing,
            },
        }
    }
}

/// Whether a network must not see padding that its Toeplitz operators would see: one that reads whole
/// sequences of tokens of different lengths, from both sides. Its values are made 0 there by their
/// activation, which must be one that can.
pub(super) fn hides_padding(config: &Config) -> bool {
    config.classifier.is_some() && config.frame_dim().is_none() && !config.causal
}

/// Translates `config`.
///
/// # Errors
/// [`NetworkError::Unsupported`] names every option that no device computes.
pub(super) fn options(config: &Config) -> Result<Options, NetworkError> {
    let mut problems = Vec::new();
    let toeplitz = &config.toeplitz;
    let refused = [
        (
            config.norm_position() != NormPosition::Pre,
            "norms that do not stand before the mixers",
        ),
        (config.gtu_norm, "gtu_norm"),
        (
            config.glu_final_act != ConfigActivation::None,
            "glu_final_act",
        ),
        (toeplitz.learned_decay && !toeplitz.decay, "learned_decay"),
        (toeplitz.normalize, "toeplitz.normalize"),
        (
            toeplitz.rpe_input == RpeInput::Exp,
            "toeplitz.rpe_input exp",
        ),
    ];
    for (refuse, what) in refused {
        if refuse {
            problems.push(what.to_owned());
        }
    }
    if hides_padding(config) && config.gtu_act == ConfigActivation::None {
        problems.push("gtu_act none in a bidirectional classifier of tokens".to_owned());
    }
    let mut act = |name: &str, act| match act {
        ConfigActivation::None => Activation::None,
        ConfigActivation::Silu => Activation::Silu,
        ConfigActivation::Relu => Activation::Relu,
        ConfigActivation::Gelu => Activation::Gelu,
        other => {
            problems.push(format!("{name} {other:?}"));
            Activation::None
        }
    };
    let (gtu_act, glu_act) = (
        act("gtu_act", config.gtu_act),
        act("glu_act", config.glu_act),
    );
    let rpe_act = act("toeplitz.rpe_act", toeplitz.rpe_act);
    let kernel_act = act("toeplitz.act", toeplitz.act);
    let mut norm = |name: &str, norm| match norm {
        ConfigNorm::SimpleRmsNorm => Some(Norm::SimpleRms),
        ConfigNorm::LayerNorm => Some(Norm::Layer),
        other => {
            problems.push(format!("{name} {other:?}"));
            None
        }
    };
    let (layers, last) = (
        norm("norm", config.norm),
        norm("final_norm", config.final_norm),
    );
    let rpe_norm = match toeplitz.rpe_norm {
        ConfigNorm::None => None,
        other => norm("toeplitz.rpe_norm", other),
    };
    match (layers, last) {
        (Some(norm), Some(final_norm)) if problems.is_empty() => Ok(Options {
            norm,
            final_norm,
            gtu_act,
            glu_act,
            rpe_act,
            rpe_norm,
            rpe_input: toeplitz.rpe_input,
            bins: toeplitz.bins,
            warp: toeplitz.warp,
            kernel_act,
        }),
        _ => Err(NetworkError::Unsupported { problems }),
    }
}
