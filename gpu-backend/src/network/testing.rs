//! A small network for tests.

use crate::config::Preset;
use toeplite_checkpoint::config::{Activation, Config};

/// Two layers, 11 tokens, width 8, 16 channels.
pub fn config() -> Config {
    let mut config = Preset::Shakespeare32x2.config();
    (config.vocab_size, config.dim, config.glu_dim) = (11, 8, 12);
    (config.expand_ratio, config.embed_scale) = (2.0, 1.5);
    (config.toeplitz.rpe_dim, config.toeplitz.rpe_layers) = (8, 2);
    // Smooth: differences of the loss have no kinks to cross.
    config.toeplitz.rpe_act = Activation::Silu;
    config.train_len = 16;
    config
}
