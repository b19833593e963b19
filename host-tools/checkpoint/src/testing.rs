//! A small network with every unusual option, for the tests of this module.

use super::config::{
    Activation, FORMAT, Norm, NormPosition, RpeInput, Task, ToeplitzConfig, ToeplitzKind, VERSION,
};
use super::{Checkpoint, Config, expected_tensors};
use ndarray::{ArrayD, IxDyn};

/// Two layers, 5 heads of 3 channels (6 * 2.7 rounded down), no option at its default.
pub fn small_config() -> Config {
    Config {
        format: FORMAT.to_owned(),
        version: VERSION,
        task: Task::MaskedLm,
        vocab_size: 7,
        dim: 6,
        layers: 2,
        num_heads: 5,
        expand_ratio: 2.7,
        glu_dim: 8,
        causal: false,
        norm: Norm::LayerNorm,
        prenorm: false,
        norm_position: None,
        final_norm: Norm::LayerNorm,
        embed_scale: 2.5,
        tie_embeddings: false,
        gtu_act: Activation::Gelu,
        glu_act: Activation::OnePlusElu,
        glu_final_act: Activation::LeakyRelu,
        gtu_norm: true,
        bias: true,
        classifier: None,
        toeplitz: ToeplitzConfig {
            kind: ToeplitzKind::Tno,
            rpe_dim: 4,
            rpe_layers: 1,
            rpe_act: Activation::Silu,
            rpe_norm: Norm::GatedRmsNorm,
            rpe_input: RpeInput::Scaled,
            bins: None,
            rank: None,
            taps: None,
            warp: None,
            image: None,
            decay: false,
            learned_decay: true,
            decay_floor: 0.9,
            act: Activation::Elu,
            residual: true,
            normalize: true,
        },
        train_len: 33,
    }
}

/// `small_config` as far as fairseq can express it.
pub fn small_fairseq_config() -> Config {
    let mut config = small_config();
    config.norm_position = Some(NormPosition::PostResidual);
    config.final_norm = Norm::None;
    config.toeplitz.rpe_norm = config.norm;
    config.embed_scale = 6f64.sqrt();
    config
}

/// A checkpoint whose tensors are all different and use all bits of an f32.
pub fn small_checkpoint(config: Config) -> Checkpoint {
    let mut state = 1u32;
    let mut next = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state as f32 / u32::MAX as f32 - 0.5) / 3.0
    };
    let tensors = expected_tensors(&config)
        .into_iter()
        .map(|(name, shape)| (name, ArrayD::from_shape_simple_fn(IxDyn(&shape), &mut next)))
        .collect();
    Checkpoint { config, tensors }
}
