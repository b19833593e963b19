//! A small network for tests.

use toeplite_checkpoint::config::{
    Activation, Config, FORMAT, Norm, RpeInput, Task, ToeplitzConfig, ToeplitzKind, VERSION,
};

/// Two layers, 11 tokens, width 8, 16 channels.
pub fn config() -> Config {
    Config {
        format: FORMAT.into(),
        version: VERSION,
        task: Task::CausalLm,
        vocab_size: 11,
        dim: 8,
        layers: 2,
        num_heads: 1,
        expand_ratio: 2.0,
        glu_dim: 12,
        causal: true,
        norm: Norm::SimpleRmsNorm,
        prenorm: true,
        norm_position: None,
        final_norm: Norm::LayerNorm,
        embed_scale: 1.5,
        tie_embeddings: false,
        gtu_act: Activation::Silu,
        glu_act: Activation::Silu,
        glu_final_act: Activation::None,
        gtu_norm: false,
        bias: true,
        classifier: None,
        toeplitz: ToeplitzConfig {
            kind: ToeplitzKind::Tno,
            rpe_dim: 8,
            rpe_layers: 2,
            // Smooth: differences of the loss have no kinks to cross.
            rpe_act: Activation::Silu,
            rpe_norm: Norm::SimpleRmsNorm,
            rpe_input: RpeInput::Lag,
            decay: true,
            learned_decay: false,
            decay_floor: 0.0,
            act: Activation::None,
            residual: false,
            normalize: false,
        },
        train_len: 16,
    }
}
