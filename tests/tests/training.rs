//! What `toeplite-train` learns and writes, `toeplite convert` reads, and the runtime computes.
#![allow(missing_docs)]

use std::path::Path;
use toeplite_tests::small_config;
use toeplite_tools::blob::{WeightType, write};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::convert::network::{operators, trained_kernels};
use toeplite_tools::convert::{Method, convert_layers};
use toeplite_tools::stream;
use toeplite_train::data::{Batch, Inputs};
use toeplite_train::device::Optimiser;
use toeplite_train::device::cpu::Cpu;
use toeplite_train::network::Network;

const SEQUENCES: usize = 4;

/// Sequences in which each token follows from the one before.
fn batch(length: usize) -> Batch {
    let token = |i: usize| (i * 4 + i / length) as u32 % 11;
    let count = SEQUENCES * length;
    Batch {
        sequences: SEQUENCES,
        length,
        inputs: Inputs::Tokens((0..count).map(token).collect()),
        targets: (1..=count).map(token).collect(),
    }
}

/// The logits of the blob that a checkpoint is converted to.
fn converted_logits(checkpoint: &Checkpoint, method: &Method, tokens: &[u32]) -> Vec<f32> {
    let operators = operators(checkpoint).unwrap();
    let kernels = trained_kernels(&operators, checkpoint.config.train_len);
    let layers = convert_layers(&kernels, method).unwrap();
    let recurrences: Vec<_> = layers.into_iter().map(|layer| layer.modal).collect();
    let blob = write(checkpoint, &recurrences, WeightType::F32).unwrap();
    let logits = stream::logits(&blob.model().unwrap(), tokens).unwrap();
    logits.into_iter().collect()
}

/// The largest difference, relative to the largest of `expected`.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    let errors = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    // What is no number counts as infinitely wrong.
    errors.fold(
        0.0,
        |m: f32, e| if e.is_nan() { f32::INFINITY } else { m.max(e) },
    ) / largest
}

#[test]
fn a_trained_checkpoint_converts_and_streams_the_networks_logits() {
    let config = small_config();
    let length = config.train_len;
    let batch = batch(length);
    let mut network = Network::new(Cpu::new(), config, 0.9, 3).unwrap();
    let Inputs::Tokens(tokens) = &batch.inputs else {
        unreachable!("it was made of tokens")
    };
    let tokens = &tokens[..length];
    let untrained = network.logits(tokens, 0..length).unwrap();
    for step in 1..=5 {
        let values = Optimiser::published(2e-2, step, batch.targets.len());
        network
            .step(std::slice::from_ref(&batch), values, 1)
            .unwrap();
    }
    let trained = network.logits(tokens, 0..length).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("trained");
    network.checkpoint().unwrap().save(&folder).unwrap();
    let checkpoint = Checkpoint::open(&folder).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();

    // As many taps as positions are exact but for rounding; the default leaves some of the kernel out.
    let exact = Method::Fir { taps: length };
    for (method, bound) in [(exact, 1e-5), (Method::default(), 1e-2)] {
        let found = converted_logits(&checkpoint, &method, tokens);
        let error = difference(&found, &trained);
        assert!(error < bound, "{}: {error}", method.name());
        // The parameters before the training would not have passed.
        assert!(
            difference(&found, &untrained) > 10.0 * bound,
            "{}",
            method.name()
        );
    }
}
