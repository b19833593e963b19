//! Small networks for `gradcheck`, and batches for them.

use crate::config::Preset;
use crate::data::{Batch, Inputs};
use crate::device::IGNORE;
use crate::device::checks::Random;
use toeplite_checkpoint::Config;
use toeplite_checkpoint::config::{
    Activation, ClassifierConfig, Norm, Pooling, RpeInput, Task, ToeplitzConfig, ToeplitzKind,
};

/// Tokens, positions of a sequence, numbers of a frame, classes.
const VOCABULARY: usize = 11;
const LENGTH: usize = 10;
const FRAME: usize = 5;
const CLASSES: usize = 4;

/// Between them they take every way through a network: their names, what they are, what they see.
pub(super) fn networks(seed: u64) -> [(&'static str, Config, Batch); 10] {
    [
        ("causal", causal(), text(seed)),
        ("bidirectional", bidirectional(), masked(seed)),
        ("classifier of frames", classifier(), frames(seed)),
        ("classifier of tokens", of_tokens(), padded(seed)),
        ("causal response", response(RpeInput::Omega), text(seed)),
        (
            "bidirectional response",
            bidirectional_response(),
            masked(seed),
        ),
        ("bidirectional interpolation", interpolated(), masked(seed)),
        (
            "bidirectional interpolation of frames",
            Config {
                causal: false,
                toeplitz: interpolated().toeplitz,
                ..classifier()
            },
            frames(seed),
        ),
        ("bidirectional images", of_images(), frames(seed)),
        (
            "bidirectional images by response",
            Config {
                toeplitz: ToeplitzConfig {
                    image: Some([LENGTH / 2, 2]),
                    ..bidirectional_response().toeplitz
                },
                num_heads: 2,
                ..of_images()
            },
            frames(seed),
        ),
    ]
}

/// A causal language model with all parts, small enough for differences.
pub(super) fn causal() -> Config {
    let mut config = Preset::Shakespeare32x2.config();
    (config.vocab_size, config.dim, config.glu_dim) = (VOCABULARY, 8, 12);
    config.toeplitz.rpe_dim = 8;
    // Smooth: differences of the loss have no kinks to cross.
    config.toeplitz.rpe_act = Activation::Silu;
    config.train_len = LENGTH;
    config
}

/// Every token has a target.
pub(super) fn text(seed: u64) -> Batch {
    let mut random = Random::new(seed);
    let mut tokens = || {
        let token = |_| random.below(VOCABULARY) as u32;
        (0..3 * LENGTH).map(token).collect()
    };
    Batch {
        sequences: 3,
        length: LENGTH,
        inputs: Inputs::Tokens(tokens()),
        targets: tokens(),
    }
}

/// A masked language model with the options that the causal one has not.
fn bidirectional() -> Config {
    let mut config = causal();
    (config.causal, config.task) = (false, Task::MaskedLm);
    (config.tie_embeddings, config.norm) = (true, Norm::LayerNorm);
    (config.gtu_act, config.glu_act) = (Activation::Gelu, Activation::None);
    let toeplitz = &mut config.toeplitz;
    (toeplitz.rpe_norm, toeplitz.rpe_input) = (Norm::LayerNorm, RpeInput::Scaled);
    (toeplitz.residual, toeplitz.act) = (true, Activation::Silu);
    config
}

/// One token in three has a target.
fn masked(seed: u64) -> Batch {
    let mut batch = text(seed);
    let others = batch.targets.iter_mut().enumerate();
    let others = others.filter(|(index, _)| index % 3 != 0);
    others.for_each(|(_, target)| *target = IGNORE);
    batch
}

/// Causal, given by its response.
fn response(input: RpeInput) -> Config {
    let mut config = causal();
    let toeplitz = &mut config.toeplitz;
    (toeplitz.kind, toeplitz.rpe_input, toeplitz.decay) = (ToeplitzKind::Fd, input, false);
    config
}

/// Fewer frequencies than positions, and channels of two heads.
fn bidirectional_response() -> Config {
    let mut config = response(RpeInput::Cosine);
    (config.causal, config.task) = (false, Task::MaskedLm);
    (config.num_heads, config.toeplitz.bins) = (2, Some(8));
    config
}

/// Fewer inducing points than positions.
fn interpolated() -> Config {
    let mut config = causal();
    (config.causal, config.task) = (false, Task::MaskedLm);
    let toeplitz = &mut config.toeplitz;
    (toeplitz.kind, toeplitz.rpe_input) = (ToeplitzKind::Ski, RpeInput::Warp);
    (toeplitz.rank, toeplitz.taps, toeplitz.warp) = (Some(4), Some(3), Some(0.8));
    config
}

fn classifier() -> Config {
    let mut config = causal();
    config.task = Task::Classifier;
    config.classifier = Some(ClassifierConfig {
        classes: CLASSES,
        pooling: Pooling::Mean,
        frame_dim: Some(FRAME),
    });
    config
}

/// Images whose sides differ.
fn of_images() -> Config {
    let mut config = classifier();
    config.causal = false;
    config.toeplitz.image = Some([2, LENGTH / 2]);
    config
}

fn frames(seed: u64) -> Batch {
    let sequences = 6;
    let mut random = Random::new(seed);
    Batch {
        sequences,
        length: LENGTH,
        inputs: Inputs::Frames {
            width: FRAME,
            values: random.values(sequences * LENGTH * FRAME),
        },
        targets: (0..sequences)
            .map(|_| random.below(CLASSES) as u32)
            .collect(),
    }
}

/// A bidirectional classifier, which padding must be hidden from.
fn of_tokens() -> Config {
    let mut config = bidirectional();
    config.task = Task::Classifier;
    config.tie_embeddings = false;
    config.classifier = Some(ClassifierConfig {
        classes: CLASSES,
        pooling: Pooling::Mean,
        frame_dim: None,
    });
    config
}

/// Sequences of tokens of different lengths.
fn padded(seed: u64) -> Batch {
    let mut batch = text(seed);
    if let Inputs::Tokens(tokens) = &mut batch.inputs {
        tokens[LENGTH - 3..LENGTH].fill(IGNORE);
        tokens[3 * LENGTH - 6..].fill(IGNORE);
    }
    let mut random = Random::new(seed);
    let class = |_| random.below(CLASSES) as u32;
    batch.targets = (0..batch.sequences).map(class).collect();
    batch
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::Cpu;
    use crate::network::Network;

    /// What a wrong pass would be compared by must not stay where it was.
    #[test]
    fn networks_have_what_they_are_named_for() {
        for (name, config, batch) in networks(0) {
            let both_sides = name.starts_with("bidirectional");
            let tokens = name == "classifier of tokens";
            assert_eq!(config.causal, !both_sides && !tokens, "{name}");
            let masked = config.task == Task::MaskedLm;
            assert_eq!(batch.targets.contains(&IGNORE), masked, "{name}");
            let padding = matches!(&batch.inputs, Inputs::Tokens(t) if t.contains(&IGNORE));
            assert_eq!(padding, tokens);
            let mut network = Network::new(Cpu::new(), config, 0.9, 1).unwrap();
            network.evaluate(&batch).unwrap();
            let sums = network.take_sums().unwrap();
            assert!(sums.targets >= 3.0 && sums.loss > 0.0, "{name}: {sums:?}");
        }
    }
}
