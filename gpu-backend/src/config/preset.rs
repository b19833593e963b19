//! Networks with a name.

use serde::{Deserialize, Serialize};
use toeplite_checkpoint::Config;
use toeplite_checkpoint::config::{
    Activation, FORMAT, Norm, RpeInput, Task, ToeplitzConfig, ToeplitzKind, VERSION,
};

/// A network with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum Preset {
    /// Byte-level: 4 layers, width 128; 914,048 parameters. Its values are the defaults of `[model]`.
    #[value(name = "shakespeare-128x4")]
    Shakespeare128x4,
    /// Byte-level: 2 layers, width 32; the smallest one that is good for something.
    #[value(name = "shakespeare-32x2")]
    Shakespeare32x2,
    /// Byte-level: 9 layers, width 64, tied embeddings; 390,336 parameters.
    #[value(name = "shakespeare-64x9")]
    Shakespeare64x9,
    /// `shakespeare-64x9` with kernels given by their frequency response.
    #[value(name = "shakespeare-64x9-fd")]
    Shakespeare64x9Fd,
    /// The published WikiText-103 language model: 7 layers, width 512, 50,264 words.
    #[value(name = "wikitext103")]
    Wikitext103,
    /// `wikitext103` with kernels given by their frequency response.
    #[value(name = "wikitext103-fd")]
    Wikitext103Fd,
    /// Masked bytes, the widths of `wikitext103`: bidirectional.
    #[value(name = "masked-512x7")]
    Masked512x7,
    /// `masked-512x7` with products by a short convolution and 64 inducing points.
    #[value(name = "masked-512x7-ski")]
    Masked512x7Ski,
}

/// Turns a bidirectional operator into one of low rank and a short convolution.
fn interpolated(toeplitz: &mut ToeplitzConfig) {
    (toeplitz.kind, toeplitz.rpe_input) = (ToeplitzKind::Ski, RpeInput::Warp);
    (toeplitz.rank, toeplitz.taps, toeplitz.warp) = (Some(64), Some(9), Some(0.99));
}

/// Turns an operator into one that is given by its frequency response, at few frequencies whatever the length.
/// The frequency itself is what the RPE sees, as in the released code: the cosine makes kernels die out
/// exponentially, so early that it costs accuracy (`docs/fd.md`).
fn given_by_response(toeplitz: &mut ToeplitzConfig) {
    (toeplitz.kind, toeplitz.decay) = (ToeplitzKind::Fd, false);
    (toeplitz.rpe_input, toeplitz.rpe_act) = (RpeInput::Omega, Activation::Silu);
    toeplitz.bins = Some(256);
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Shakespeare128x4,
        Self::Shakespeare32x2,
        Self::Shakespeare64x9,
        Self::Shakespeare64x9Fd,
        Self::Wikitext103,
        Self::Wikitext103Fd,
        Self::Masked512x7,
        Self::Masked512x7Ski,
    ];

    /// Name in `run.toml` and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Shakespeare128x4 => "shakespeare-128x4",
            Self::Shakespeare32x2 => "shakespeare-32x2",
            Self::Shakespeare64x9 => "shakespeare-64x9",
            Self::Shakespeare64x9Fd => "shakespeare-64x9-fd",
            Self::Wikitext103 => "wikitext103",
            Self::Wikitext103Fd => "wikitext103-fd",
            Self::Masked512x7 => "masked-512x7",
            Self::Masked512x7Ski => "masked-512x7-ski",
        }
    }

    /// The preset of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|p| p.name() == name)
    }

    /// Its network, with a training length of 512.
    pub fn config(self) -> Config {
        let mut config = Config {
            format: FORMAT.to_owned(),
            version: VERSION,
            task: Task::CausalLm,
            vocab_size: 256,
            dim: 128,
            layers: 4,
            num_heads: 1,
            expand_ratio: 3.0,
            glu_dim: 128,
            causal: true,
            norm: Norm::SimpleRmsNorm,
            prenorm: true,
            norm_position: None,
            final_norm: Norm::LayerNorm,
            embed_scale: 1.0,
            tie_embeddings: false,
            gtu_act: Activation::Silu,
            glu_act: Activation::Silu,
            glu_final_act: Activation::None,
            gtu_norm: false,
            bias: true,
            classifier: None,
            toeplitz: ToeplitzConfig {
                kind: ToeplitzKind::Tno,
                rpe_dim: 32,
                rpe_layers: 1,
                rpe_act: Activation::Relu,
                rpe_norm: Norm::SimpleRmsNorm,
                rpe_input: RpeInput::Lag,
                bins: None,
                rank: None,
                taps: None,
                warp: None,
                image: None,
                decay: true,
                learned_decay: false,
                decay_floor: 0.0,
                act: Activation::None,
                residual: false,
                normalize: false,
            },
            train_len: 512,
        };
        match self {
            Self::Shakespeare128x4 => {}
            Self::Shakespeare32x2 => {
                (config.dim, config.glu_dim, config.layers) = (32, 32, 2);
                config.toeplitz.rpe_dim = 16;
            }
            Self::Shakespeare64x9 | Self::Shakespeare64x9Fd => {
                (config.dim, config.glu_dim, config.layers) = (64, 72, 9);
                config.expand_ratio = 2.0;
                config.toeplitz.rpe_dim = 16;
                config.tie_embeddings = true;
            }
            Self::Wikitext103 | Self::Wikitext103Fd => {
                (config.dim, config.glu_dim, config.layers) = (512, 512, 7);
                (config.toeplitz.rpe_dim, config.toeplitz.rpe_layers) = (64, 6);
                config.vocab_size = 50_264;
                config.tie_embeddings = true;
            }
            Self::Masked512x7 | Self::Masked512x7Ski => {
                (config.dim, config.glu_dim, config.layers) = (512, 512, 7);
                (config.toeplitz.rpe_dim, config.toeplitz.rpe_layers) = (64, 6);
                (config.task, config.causal) = (Task::MaskedLm, false);
                // One more than bytes: what stands for a hidden one.
                config.vocab_size = 257;
            }
        }
        if self == Self::Masked512x7Ski {
            interpolated(&mut config.toeplitz);
        }
        if matches!(self, Self::Shakespeare64x9Fd | Self::Wikitext103Fd) {
            given_by_response(&mut config.toeplitz);
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::super::RunConfig;
    use super::*;
    use std::path::Path;
    use toeplite_checkpoint::{Checkpoint, expected_tensors};

    #[test]
    fn the_taps_are_what_inducing_points_add() {
        let (plain, ski) = (Preset::Masked512x7, Preset::Masked512x7Ski);
        assert_eq!(parameters(ski), parameters(plain) + 7 * 1536 * 9);
    }

    fn parameters(preset: Preset) -> usize {
        let tensors = expected_tensors(&preset.config());
        tensors.iter().map(|t| t.1.iter().product::<usize>()).sum()
    }

    /// The fixtures' config.json and algorithms.md are where these numbers come from.
    #[test]
    fn presets_are_the_networks_they_are_named_after() {
        for preset in Preset::ALL {
            preset.config().validate().unwrap();
            assert_eq!(Preset::named(preset.name()), Some(preset));
        }
        assert_eq!(parameters(Preset::Shakespeare128x4), 914_048);
        assert_eq!(parameters(Preset::Shakespeare64x9), 390_336);
        assert_eq!(parameters(Preset::Wikitext103), 48_677_376);
    }

    #[test]
    fn bundled_checkpoints_have_the_presets_configurations() {
        let root = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../firmware-examples/checkpoints"
        );
        for preset in [Preset::Shakespeare64x9, Preset::Shakespeare32x2] {
            let path = format!("{root}/{}/config.json", preset.name());
            let text = std::fs::read(path).unwrap();
            assert_eq!(Config::from_json(&text).unwrap(), preset.config());
        }
    }

    /// The bundled `run.toml` trains the network that lies beside it.
    #[test]
    fn bundled_run_is_that_of_its_checkpoint() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../firmware-examples/checkpoints/shakespeare-64x9");
        let run = RunConfig::load(&folder.join("run.toml"), &[]).unwrap();
        let checkpoint = Checkpoint::open(&folder).unwrap();
        assert_eq!(run.model, checkpoint.config);
        let gamma = &checkpoint.tensors["layers.0.token_mixer.toep.gamma"];
        assert!(gamma.iter().all(|&g| g == run.train.gamma as f32));
        assert!(run.data.valid.unwrap().is_file());
    }
}
