//! The whole network on the CPU.

use super::Network;
use super::testing::config;
use crate::data::{Batch, Inputs};
use crate::device::checks::Random;
use crate::device::cpu::Cpu;
use crate::device::{IGNORE, Optimiser};
use toeplite_checkpoint::config::{
    Activation, ClassifierConfig, Config, Norm, Pooling, RpeInput, Task, ToeplitzKind,
};

/// Error of a gradient against differences of the loss; f32's rounding makes up to 7e-4.
const GRADIENTS: f64 = 2e-3;

fn network(config: Config) -> Network<Cpu> {
    Network::new(Cpu::new(), config, 0.9, 7).unwrap()
}

/// `batch` sequences of 10 tokens out of 11; two positions have no target.
fn batch(batch: usize) -> Batch {
    let tokens: Vec<u32> = (0..batch as u32 * 10).map(|i| i * i * 7 % 11).collect();
    let mut targets: Vec<u32> = (0..batch as u32 * 10).map(|i| (i * 5 + 3) % 11).collect();
    (targets[3], targets[9]) = (IGNORE, IGNORE);
    Batch {
        sequences: batch,
        length: 10,
        inputs: Inputs::Tokens(tokens),
        targets,
    }
}

fn tokens_of(batch: &Batch) -> &[u32] {
    match &batch.inputs {
        Inputs::Tokens(tokens) => tokens,
        Inputs::Frames { .. } => unreachable!("these tests use tokens"),
    }
}

fn values(rate: f32, step: u64) -> Optimiser {
    Optimiser {
        weight_decay: 0.0,
        ..Optimiser::published(rate, step, 28)
    }
}

fn loss(network: &mut Network<Cpu>, batch: &Batch) -> f64 {
    network.evaluate(batch).unwrap();
    network.take_sums().unwrap().loss
}

/// Every tensor's gradient is that of central differences along it.
fn check_gradients(config: Config) {
    check_gradients_on(config, batch(3));
}

fn check_gradients_on(config: Config, batch: Batch) {
    let mut network = network(config);
    for (name, error) in network.gradient_errors(&batch).unwrap() {
        assert!(error < GRADIENTS, "{name}: off by {error}");
    }
}

/// A vector orthogonal to `gradient`, of `norm`.
fn orthogonal(gradient: &[f32], norm: f32) -> Vec<f32> {
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let noise = Random::new(3).values(gradient.len());
    let part = dot(&noise, gradient) / dot(gradient, gradient).max(1e-20);
    let pairs = noise.iter().zip(gradient);
    let rest: Vec<f32> = pairs.map(|(n, g)| n - part * g).collect();
    let factor = norm / dot(&rest, &rest).sqrt();
    rest.iter().map(|r| r * factor).collect()
}

/// Adds an error of `part` of each tensor's norm (at least of 2% of the norm of all), made from the
/// tensor's gradient; the names of the tensors where it is not found.
fn overlooked(part: f32, error: impl Fn(&[f32], f32) -> Vec<f32>) -> Vec<String> {
    let mut network = network(config());
    let batch = batch(3);
    let mut gradients = network.gradients(std::slice::from_ref(&batch), 1).unwrap();
    let norm = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
    let least = 0.02 * norm(&gradients);
    let trained = network.layout().trained();
    for tensor in network.layout().tensors().values() {
        if trained.contains(&tensor.at) {
            let own = &mut gradients[tensor.range()];
            let wrong = error(own, part * norm(own).max(least));
            own.iter_mut().zip(wrong).for_each(|(g, e)| *g += e);
        }
    }
    let errors = network.errors_of(&gradients, &batch).unwrap();
    let missed = errors.into_iter().filter(|(_, error)| *error < GRADIENTS);
    missed.map(|(name, _)| name).collect()
}

#[test]
fn planted_errors_of_gradients_are_found() {
    // The loss itself is as it was.
    assert_eq!(overlooked(0.1, orthogonal), ["loss"], "orthogonal");
    let longer = |gradient: &[f32], norm: f32| {
        let own = gradient.iter().map(|g| g * g).sum::<f32>().sqrt();
        gradient.iter().map(|g| g * norm / own).collect::<Vec<_>>()
    };
    assert_eq!(overlooked(0.01, longer), ["loss"], "too long");
    let one = |gradient: &[f32], norm: f32| {
        let mut error = vec![0.0; gradient.len()];
        error[gradient.len() / 2] = norm;
        error
    };
    assert_eq!(overlooked(0.02, one), ["loss"], "one element");
}

#[test]
fn gradients_of_every_parameter_are_those_of_differences() {
    check_gradients(config());
}

#[test]
fn gradients_of_a_bidirectional_network_with_other_options_are_those_of_differences() {
    let mut config = config();
    (config.causal, config.task) = (false, Task::MaskedLm);
    (config.tie_embeddings, config.norm) = (true, Norm::LayerNorm);
    (config.gtu_act, config.glu_act) = (Activation::Gelu, Activation::None);
    let toeplitz = &mut config.toeplitz;
    (toeplitz.rpe_act, toeplitz.rpe_norm) = (Activation::Silu, Norm::LayerNorm);
    (toeplitz.rpe_input, toeplitz.residual) = (RpeInput::Scaled, true);
    toeplitz.act = Activation::Silu;
    check_gradients(config);
}

#[test]
fn gradients_of_networks_with_responses_are_those_of_differences() {
    for (causal, rpe_input, bins) in [
        (true, RpeInput::Omega, None),
        (true, RpeInput::Cosine, Some(4)),
        (false, RpeInput::Omega, Some(32)),
        (false, RpeInput::Cosine, None),
    ] {
        let mut config = config();
        let task = if causal { config.task } else { Task::MaskedLm };
        (config.causal, config.task, config.num_heads) = (causal, task, 2);
        let toeplitz = &mut config.toeplitz;
        (toeplitz.kind, toeplitz.rpe_input) = (ToeplitzKind::Fd, rpe_input);
        (toeplitz.decay, toeplitz.bins) = (false, bins);
        toeplitz.rpe_act = Activation::Silu;
        check_gradients(config);
    }
}

/// More inducing points than positions, and fewer.
#[test]
fn gradients_of_networks_with_inducing_points_are_those_of_differences() {
    for (rank, taps) in [(13, 1), (4, 5)] {
        let mut config = config();
        (config.causal, config.task) = (false, Task::MaskedLm);
        let toeplitz = &mut config.toeplitz;
        (toeplitz.kind, toeplitz.rpe_input) = (ToeplitzKind::Ski, RpeInput::Warp);
        (toeplitz.rank, toeplitz.taps, toeplitz.warp) = (Some(rank), Some(taps), Some(0.9));
        check_gradients(config);
    }
}

#[test]
fn gradients_of_classifiers_are_those_of_differences() {
    let frames: Vec<f32> = (0..6 * 10 * 5).map(|i| (i as f32 * 0.7).sin()).collect();
    let of_frames = Batch {
        sequences: 6,
        length: 10,
        inputs: Inputs::Frames {
            width: 5,
            values: frames,
        },
        targets: vec![0, 1, 2, 3, 1, 0],
    };
    let of_tokens = Batch {
        targets: vec![3, 1, 2],
        ..batch(3)
    };
    for (pooling, frame_dim, batch) in [
        (Pooling::Mean, Some(5), of_frames),
        (Pooling::Last, None, of_tokens),
    ] {
        let mut config = config();
        config.task = Task::Classifier;
        config.classifier = Some(ClassifierConfig {
            classes: 4,
            pooling,
            frame_dim,
        });
        check_gradients_on(config, batch);
    }
}

/// As in a stream: some positions are not asked.
#[test]
fn gradients_of_a_classifier_that_is_asked_at_every_position_are_those_of_differences() {
    let mut targets: Vec<u32> = (0..30).map(|i| i * 7 % 4).collect();
    for position in [0, 1, 9, 17, 29] {
        targets[position] = IGNORE;
    }
    let every = Batch {
        targets,
        ..batch(3)
    };
    check_gradients_on(classifier(Pooling::Last, true), every.clone());
    let mut network = network(classifier(Pooling::Mean, true));
    assert!(network.evaluate(&every).is_err());
}

/// A classifier of tokens that sees both sides.
fn classifier(pooling: Pooling, causal: bool) -> Config {
    let mut config = config();
    (config.task, config.causal) = (Task::Classifier, causal);
    config.classifier = Some(ClassifierConfig {
        classes: 4,
        pooling,
        frame_dim: None,
    });
    config
}

/// Sequences of 10, 4 and 7 tokens, and one of none, with padding up to `length`.
fn padded(length: usize) -> Batch {
    let whole = batch(3);
    let mut tokens = vec![IGNORE; 4 * length];
    for (sequence, own) in [10, 4, 7].into_iter().enumerate() {
        let from = &tokens_of(&whole)[sequence * 10..][..own];
        tokens[sequence * length..][..own].copy_from_slice(from);
    }
    Batch {
        sequences: 4,
        length,
        inputs: Inputs::Tokens(tokens),
        targets: vec![1, 3, 0, IGNORE],
    }
}

#[test]
fn padding_changes_neither_logits_nor_gradients() {
    let near = |a: &[f32], b: &[f32]| {
        let largest = a.iter().fold(0f32, |m, x| m.max(x.abs()));
        let error = a.iter().zip(b).fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error < 2e-5 * largest, "{error} of {largest}");
    };
    for pooling in [Pooling::Mean, Pooling::Last] {
        for causal in [false, true] {
            let mut network = network(classifier(pooling, causal));
            let short = network.classify(&padded(10)).unwrap();
            let long = network.classify(&padded(23)).unwrap();
            near(&short[..12], &long[..12]);
            // Each alone, without any padding.
            for (sequence, own) in [10, 4, 7].into_iter().enumerate() {
                let tokens = tokens_of(&padded(10))[sequence * 10..][..own].to_vec();
                let alone = Batch {
                    sequences: 1,
                    length: own,
                    inputs: Inputs::Tokens(tokens),
                    targets: vec![0],
                };
                near(
                    &network.classify(&alone).unwrap(),
                    &short[sequence * 4..][..4],
                );
            }
            let gradients = |network: &mut Network<Cpu>, length| {
                network.gradients(&[padded(length)], 1).unwrap()
            };
            near(&gradients(&mut network, 10), &gradients(&mut network, 23));
        }
    }
}

#[test]
fn gradients_of_classifiers_of_padded_tokens_are_those_of_differences() {
    let batch = || Batch {
        targets: vec![1, 3, 0, 2],
        ..padded(12)
    };
    for pooling in [Pooling::Mean, Pooling::Last] {
        check_gradients_on(classifier(pooling, false), batch());
    }
}

#[test]
fn tokens_after_padding_and_values_that_cannot_be_hidden_are_refused() {
    let mut bad = padded(10);
    if let Inputs::Tokens(tokens) = &mut bad.inputs {
        tokens[15] = 1;
    }
    let mut network = network(classifier(Pooling::Mean, false));
    let text = network.evaluate(&bad).unwrap_err().to_string();
    assert!(
        text.contains("sequence 1") && text.contains("position 5"),
        "{text}"
    );
    let mut config = classifier(Pooling::Mean, false);
    config.gtu_act = Activation::None;
    let text = super::check(&config).unwrap_err().to_string();
    assert!(text.contains("gtu_act none"), "{text}");
}

#[test]
fn one_batch_can_be_learned_by_heart() {
    let mut network = network(config());
    let batch = batch(3);
    let before = loss(&mut network, &batch) / 28.0;
    for step in 1..=300 {
        let batches = std::slice::from_ref(&batch);
        network.step(batches, values(1e-2, step), 1).unwrap();
    }
    network.take_sums().unwrap();
    let after = loss(&mut network, &batch) / 28.0;
    assert!(before > 2.0 && after < 0.1, "{before} to {after} nats");
}

#[test]
fn micro_batches_give_the_gradients_of_the_whole() {
    let whole = batch(4);
    let halves: Vec<Batch> = [0..20, 20..40]
        .map(|range| Batch {
            sequences: 2,
            length: 10,
            inputs: Inputs::Tokens(tokens_of(&whole)[range.clone()].to_vec()),
            targets: whole.targets[range].to_vec(),
        })
        .into();
    let mut network = network(config());
    let together = network.gradients(&[whole], 1).unwrap();
    let apart = network.gradients(&halves, 1).unwrap();
    let largest = together.iter().fold(0f32, |m, g| m.max(g.abs()));
    let differ = together.iter().zip(&apart);
    let error = differ.fold(0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(error < 1e-5 * largest, "{error} of {largest}");
}

#[test]
fn a_network_put_back_continues_bit_for_bit() {
    let batch = batch(3);
    let batches = std::slice::from_ref(&batch);
    let mut config = config();
    config.bias = false;
    let mut first = network(config);
    first.set_dropout(0.1);
    first.step(batches, values(1e-2, 1), 1).unwrap();
    let checkpoint = first.checkpoint().unwrap();
    let mut second = Network::from_checkpoint(Cpu::new(), &checkpoint).unwrap();
    second.set_dropout(0.1);
    second.set_moments(&first.moments().unwrap()).unwrap();
    first.step(batches, values(1e-2, 2), 2).unwrap();
    second.step(batches, values(1e-2, 2), 2).unwrap();
    assert_eq!(first.parameters().unwrap(), second.parameters().unwrap());
}

#[test]
fn options_that_cannot_be_trained_are_all_named() {
    let mut config = config();
    (config.gtu_norm, config.glu_act) = (true, Activation::Elu);
    let error = Network::new(Cpu::new(), config, 0.9, 1).err().unwrap();
    let text = error.to_string();
    assert!(
        text.contains("gtu_norm") && text.contains("glu_act Elu"),
        "{text}"
    );
}

#[test]
fn unknown_tokens_are_errors_and_change_nothing() {
    let mut network = network(config());
    let good = batch(3);
    let before = loss(&mut network, &good);
    let mut bad = good.clone();
    let mut tokens = tokens_of(&good).to_vec();
    tokens[4] = 11;
    bad.inputs = Inputs::Tokens(tokens);
    let error = network.evaluate(&bad).unwrap_err().to_string();
    assert!(error.contains("11") && error.contains('4'), "{error}");
    network.take_sums().unwrap();
    assert_eq!(loss(&mut network, &good), before);
}
