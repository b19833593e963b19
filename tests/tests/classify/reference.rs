//! Logits of the reference and of the trainer.

use super::{CLASSES, FRAME, LENGTH, OWN, classifier, operators, tokens};
use ndarray::{Array1, ArrayView2};
use toeplite_tests::{Noise, checkpoint, small_config};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::checkpoint::config::{Pooling, ToeplitzKind};
use toeplite_tools::reference::mix::{DenseMix, Padded};
use toeplite_tools::reference::{Input, Network, Real};
use toeplite_train::data::{Batch, Inputs};
use toeplite_train::device::{IGNORE, cpu::Cpu};

/// The logits that the trainer gives in one batch, padded to [`LENGTH`].
fn trained(checkpoint: &Checkpoint, inputs: Inputs) -> Vec<f32> {
    let device = Cpu::new();
    let mut network =
        toeplite_train::network::Network::from_checkpoint(device, checkpoint).unwrap();
    let batch = Batch {
        sequences: OWN.len(),
        length: LENGTH,
        inputs,
        targets: vec![0; OWN.len()],
    };
    network.classify(&batch).unwrap()
}

/// The logits of the reference, clip by clip.
fn reference<T: Real>(checkpoint: &Checkpoint, clips: &[Input<'_>]) -> Vec<f64> {
    let network = Network::<T>::from_checkpoint(checkpoint).unwrap();
    assert_eq!(network.outputs(), CLASSES);
    let fft = Padded::new(network.trained_mix(), LENGTH);
    let dense = Padded::new(DenseMix::new(network.kernels()), LENGTH);
    let logits = |clip: &Input<'_>| {
        let logits: Array1<T> = network.classify(*clip, &fft).unwrap();
        if checkpoint.config.toeplitz.kind != ToeplitzKind::Ski {
            let plain = network.classify(*clip, &dense).unwrap();
            let pairs = logits.iter().zip(&plain);
            pairs.for_each(|(a, b)| assert!((a.wide() - b.wide()).abs() < 1e-4));
        }
        logits.mapv(|logit| logit.wide()).to_vec()
    };
    clips.iter().flat_map(logits).collect()
}

fn assert_near(name: &str, found: &[f64], expected: &[f32]) {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0f32, |m, x| m.max(x.abs()));
    for (a, b) in found.iter().zip(expected) {
        let error = (a - f64::from(*b)).abs();
        assert!(
            error < 2e-5 * f64::from(largest),
            "{name}: {found:?} {expected:?}"
        );
    }
}

#[test]
fn tokens_have_the_logits_of_the_trainer() {
    for pooling in [Pooling::Mean, Pooling::Last] {
        for (name, config) in operators(classifier(pooling, None)) {
            let checkpoint = checkpoint(config, 7);
            let clips = tokens(3);
            let padded = |clip: &Vec<u32>| {
                let mut clip = clip.clone();
                clip.resize(LENGTH, IGNORE);
                clip
            };
            let inputs = Inputs::Tokens(clips.iter().flat_map(padded).collect());
            let expected = trained(&checkpoint, inputs);
            let clips: Vec<Input<'_>> = clips.iter().map(|clip| Input::Tokens(clip)).collect();
            assert_near(name, &reference::<f64>(&checkpoint, &clips), &expected);
            assert_near(name, &reference::<f32>(&checkpoint, &clips), &expected);
        }
    }
}

#[test]
fn frames_have_the_logits_of_the_trainer() {
    for pooling in [Pooling::Mean, Pooling::Last] {
        for (name, config) in operators(classifier(pooling, Some(FRAME))) {
            let checkpoint = checkpoint(config, 8);
            let mut noise = Noise::new(4);
            let count = OWN.len() * LENGTH * FRAME;
            let values: Vec<f32> = (0..count).map(|_| noise.draw() as f32).collect();
            let clips = values.chunks_exact(LENGTH * FRAME);
            let frames = |clip| ArrayView2::from_shape((LENGTH, FRAME), clip).unwrap();
            let clips: Vec<Input<'_>> = clips.map(|clip| Input::Frames(frames(clip))).collect();
            let width = FRAME;
            let inputs = Inputs::Frames {
                width,
                values: values.clone(),
            };
            let expected = trained(&checkpoint, inputs);
            assert_near(name, &reference::<f64>(&checkpoint, &clips), &expected);
            assert_near(name, &reference::<f32>(&checkpoint, &clips), &expected);
        }
    }
}

#[test]
fn what_a_classifier_cannot_read_is_named() {
    let network = |config| Network::<f32>::from_checkpoint(&checkpoint(config, 1)).unwrap();
    let of_tokens = network(classifier(Pooling::Mean, None));
    let of_frames = network(classifier(Pooling::Mean, Some(FRAME)));
    let model = network(small_config());
    let text = |network: &Network<f32>, input| {
        let mix = network.trained_mix();
        network.classify(input, &mix).unwrap_err().to_string()
    };
    let frames = ndarray::Array2::zeros((2, 4));
    let frames = Input::Frames(frames.view());
    assert!(text(&of_tokens, frames).contains("reads tokens"));
    assert!(text(&of_tokens, Input::Tokens(&[])).contains("empty"));
    assert!(text(&of_tokens, Input::Tokens(&[3, 11])).contains("token 11 at position 1"));
    assert!(text(&of_frames, frames).contains("frames of 3 numbers, these have 4"));
    assert!(text(&of_frames, Input::Tokens(&[1])).contains("not tokens"));
    assert!(text(&model, Input::Tokens(&[1])).contains("language model"));
    for network in [&of_tokens, &of_frames] {
        let error = network.forward(&[1], &network.trained_mix()).unwrap_err();
        assert!(error.to_string().contains("is a classifier"), "{error}");
    }
    assert_eq!([of_tokens.vocab(), of_frames.vocab()], [11, 0]);
}
