//! Classifiers that stream: against the reference in f64, and what a session promises.
#![allow(missing_docs)]

mod fixed;
mod sessions;
mod windows;

use ndarray::{Array1, Array2, Axis, s};
use proptest::prelude::*;
use proptest::sample::select;
use toeplite::classifier::{Decay, Input, Model, Session, window};
use toeplite::profile::{Probe, Stage};
use toeplite::{ClipError, DecayError, InputError, MemoryError, ModelError, SnapshotError};
use toeplite_tests::{
    CLASSES, Noise, WINDOW, checkpoint, modal, small_blob, small_classifier_blob,
    small_classifier_config, small_layers, small_window_classifier_blob, small_window_layers,
};
use toeplite_tools::blob::{
    Blob, SessionMemory, Storage, StreamError, Target, WeightType, WriteError, can_convert,
    nearest, write, write_fixed, write_weights,
};
use toeplite_tools::checkpoint::config::{Norm, Pooling};
use toeplite_tools::checkpoint::{Checkpoint, Config};
use toeplite_tools::convert::network::{operators, trained_kernels};
use toeplite_tools::convert::{Method, Modal, convert_layers};
use toeplite_tools::quantize::calibrate::{Sample, calibrate};
use toeplite_tools::reference::mix::Mix;
use toeplite_tools::reference::recurrence::{ModalMix, TwoSidedMix};
use toeplite_tools::reference::{self, Network};
use toeplite_tools::stream::{self, ClassifyError};

const FRAME: usize = 7;

/// A clip of frames `[n, FRAME]`.
fn clip(n: usize, seed: u64) -> Array2<f32> {
    let mut noise = Noise::new(seed);
    Array2::from_shape_simple_fn((n, FRAME), || 3.0 * noise.draw() as f32)
}

/// What the reference network in f64 makes of each position before pooling, `[n, classes]`: logits of a language model
/// whose embedding is the frames, mapped, or that of the tokens, and whose head has the classes first.
fn positions(checkpoint: &Checkpoint, layers: &[Modal], clip: Clip<'_>) -> Array2<f64> {
    mixed_positions(checkpoint, &mix(layers), clip)
}

fn mix(layers: &[Modal]) -> ModalMix<f64> {
    let layers: Vec<Modal> = layers.iter().map(Modal::to_f32_safe).collect();
    ModalMix::new(&layers).unwrap()
}

fn mixed_positions(checkpoint: &Checkpoint, mix: &dyn Mix<f64>, clip: Clip<'_>) -> Array2<f64> {
    let mut twin = checkpoint.clone();
    let tensors = &mut twin.tensors;
    let tokens: Vec<u32> = match clip {
        Clip::Tokens(tokens) => tokens.into(),
        Clip::Frames(frames) => {
            let weight = tensors.remove("frames.weight").unwrap();
            let bias = tensors.remove("frames.bias").unwrap();
            let weight = weight.into_dimensionality::<ndarray::Ix2>().unwrap();
            let rows =
                frames.dot(&weight.t()) + bias.into_dimensionality::<ndarray::Ix1>().unwrap();
            tensors.insert("embed.weight".into(), rows.into_dyn());
            (0..frames.nrows() as u32).collect()
        }
    };
    let vocabulary = tensors["embed.weight"].shape()[0].max(CLASSES);
    let padded = |rows: &ndarray::ArrayD<f32>| {
        let mut all = Array2::zeros((vocabulary, twin.config.dim));
        all.slice_mut(s![..rows.shape()[0], ..]).assign(rows);
        all.into_dyn()
    };
    for name in ["embed.weight", "head.weight"] {
        let rows = padded(&tensors[name]);
        tensors.insert(name.into(), rows);
    }
    let embed_scale = match checkpoint.config.frame_dim() {
        None => checkpoint.config.embed_scale,
        Some(_) => 1.0,
    };
    twin.config = Config {
        vocab_size: vocabulary,
        embed_scale,
        classifier: None,
        ..toeplite_tests::small_config()
    };
    (twin.config.norm, twin.config.final_norm) =
        (checkpoint.config.norm, checkpoint.config.final_norm);
    let logits = Network::from_checkpoint(&twin)
        .unwrap()
        .forward(&tokens, mix);
    logits.unwrap().slice(s![.., ..CLASSES]).to_owned()
}

#[derive(Clone, Copy)]
enum Clip<'a> {
    Tokens(&'a [u32]),
    Frames(&'a Array2<f32>),
}

/// Pushes input `i` of a clip.
fn push(session: &mut Session<'_, '_>, clip: Clip<'_>, i: usize) {
    match clip {
        Clip::Tokens(tokens) => session.push(tokens[i]).unwrap(),
        Clip::Frames(frames) => session
            .push_frame(frames.row(i).as_slice().unwrap())
            .unwrap(),
    }
}

/// The logits after each input of a clip, `[n, classes]`.
fn after_each(blob: &Blob, clip: Clip<'_>, decay: Decay) -> Array2<f32> {
    let model = Model::from_bytes(blob.bytes()).unwrap();
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    session.set_decay(decay).unwrap();
    let n = match clip {
        Clip::Tokens(tokens) => tokens.len(),
        Clip::Frames(frames) => frames.nrows(),
    };
    let mut out = Array2::zeros((n, CLASSES));
    for (i, mut row) in out.rows_mut().into_iter().enumerate() {
        push(&mut session, clip, i);
        row.assign(&ndarray::ArrayView1::from(session.logits()));
    }
    out
}

/// What pooling makes of the first positions, so many of them for each row.
fn pooled(positions: &Array2<f64>, pooling: Pooling, decay: f64) -> Array2<f64> {
    if pooling == Pooling::Last {
        return positions.clone();
    }
    let (mut sum, mut weight) = (Array1::<f64>::zeros(CLASSES), 0.0);
    let mut out = positions.clone();
    for mut row in out.rows_mut() {
        sum = sum * decay + &row;
        weight = weight * decay + 1.0;
        row.assign(&(&sum / weight));
    }
    out
}

/// Largest difference, relative to the largest logit.
fn error(found: &Array2<f32>, expected: &Array2<f64>) -> f64 {
    assert_eq!(found.dim(), expected.dim());
    let size = |m: f64, x: f64| m.max(x.abs());
    let differences = found.iter().zip(expected).map(|(a, b)| f64::from(*a) - b);
    differences.fold(0.0, size) / expected.iter().copied().fold(0.0, size)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 60, ..Default::default() })]

    #[test]
    fn logits_are_the_reference_in_f64_after_every_input(
        norm in select(vec![Norm::SimpleRmsNorm, Norm::RmsNorm, Norm::LayerNorm, Norm::None]),
        pooling in select(vec![Pooling::Mean, Pooling::Last]),
        takes_frames: bool,
        forgets: bool,
        seed: u64,
        n in 1usize..60,
    ) {
        let frame_dim = takes_frames.then_some(FRAME);
        let config = Config { norm, ..small_classifier_config(frame_dim, pooling) };
        let checkpoint = checkpoint(config, seed);
        let layers = [modal(10, [3, 1, 2], true, seed ^ 1), modal(10, [2, 2, 0], false, seed ^ 2)];
        let blob = write(&checkpoint, &layers, WeightType::F32).unwrap();
        let (frames, tokens) = (clip(n, seed), (0..n as u32).map(|i| i * i % 11).collect::<Vec<_>>());
        let clip = if takes_frames { Clip::Frames(&frames) } else { Clip::Tokens(&tokens) };
        let decay = match forgets && pooling == Pooling::Mean {
            true => Decay::half_life(4.0).unwrap(),
            false => Decay::NONE,
        };
        let positions = positions(&checkpoint, &layers, clip);
        let expected = pooled(&positions, pooling, decay.factor().into());
        let found = after_each(&blob, clip, decay);
        let scale = positions.iter().fold(1f64, |m, x| m.max(x.abs()));
        for (a, b) in found.iter().zip(&expected) {
            prop_assert!((f64::from(*a) - b).abs() < 1e-3 * scale, "{a} {b} of {scale}");
        }
    }

    #[test]
    fn a_snapshot_continues_bit_for_bit_elsewhere(
        pooling in select(vec![Pooling::Mean, Pooling::Last]),
        before in 0usize..30,
        seed: u64,
    ) {
        let blob = small_classifier_blob(Some(FRAME), pooling, WeightType::Int8);
        let model = Model::from_bytes(blob.bytes()).unwrap();
        let [mut a, mut b] = [0, 1].map(|_| SessionMemory::of_bytes(model.memory_needed()));
        let mut session = model.session(a.as_mut_slice()).unwrap();
        if pooling == Pooling::Mean {
            session.set_decay(Decay::new(0.9).unwrap()).unwrap();
        }
        let frames = clip(before + 5, seed);
        (0..before).for_each(|i| push(&mut session, Clip::Frames(&frames), i));
        let mut snapshot = vec![0; session.snapshot_bytes()];
        prop_assert_eq!(session.save(&mut snapshot), Ok(snapshot.len()));
        let mut elsewhere = model.session(b.as_mut_slice()).unwrap();
        (0..3).for_each(|i| push(&mut elsewhere, Clip::Frames(&frames), i));
        elsewhere.restore(&snapshot).unwrap();
        prop_assert_eq!(elsewhere.decay(), session.decay());
        for i in before..before + 5 {
            prop_assert_eq!(elsewhere.logits(), session.logits());
            push(&mut session, Clip::Frames(&frames), i);
            push(&mut elsewhere, Clip::Frames(&frames), i);
        }
    }
}

/// A few digits are the integers': what float rounding does is far below.
#[test]
fn f32_weights_lose_float_rounding_alone_and_integers_a_little() {
    let (frames, tokens) = (
        clip(100, 5),
        (0..100).map(|i| i * 7 % 11).collect::<Vec<_>>(),
    );
    for (frame_dim, clip) in [
        (None, Clip::Tokens(&tokens)),
        (Some(FRAME), Clip::Frames(&frames)),
    ] {
        for pooling in [Pooling::Mean, Pooling::Last] {
            let checkpoint = checkpoint(small_classifier_config(frame_dim, pooling), 1);
            let expected = positions(&checkpoint, &small_layers(), clip);
            let expected = pooled(&expected, pooling, 1.0);
            for (weights, bound) in [
                (WeightType::F32, 2e-6),
                (WeightType::Int8, 0.05),
                (WeightType::Int4, 0.4),
            ] {
                let of =
                    |target| small_classifier_blob(frame_dim, pooling, Storage { weights, target });
                let found = after_each(&of(Target::Portable), clip, Decay::NONE);
                let error = error(&found, &expected);
                assert!(
                    error < bound,
                    "{frame_dim:?} {pooling:?} {weights:?}: {error:e}"
                );
                // the order of the weights changes no bit
                assert_eq!(after_each(&of(Target::M4), clip, Decay::NONE), found);
            }
        }
    }
}

/// A map of frames without a bias is one whose bias is zero; the embedding's factor does nothing to frames.
#[test]
fn frames_need_no_bias_and_no_factor() {
    let mut with = checkpoint(small_classifier_config(Some(FRAME), Pooling::Mean), 1);
    for (name, tensor) in &mut with.tensors {
        if name.ends_with("bias") && name != "final_norm.bias" {
            tensor.fill(0.0);
        }
    }
    let mut without = with.clone();
    without.config.bias = false;
    without.config.embed_scale = 3.0;
    let blob = |checkpoint| write(checkpoint, &small_layers(), WeightType::Int8).unwrap();
    assert_eq!(blob(&with).bytes(), blob(&without).bytes());
}

/// Calibrated on clips: without rounding the model is the network, with it answers are nearer than by nearest.
#[test]
fn weights_can_be_calibrated_on_clips() {
    let lengths = || (0..40).map(|i| 1 + i * 7 % 17);
    let tokens =
        lengths().map(|n| (0..n as u32).map(move |j| (n as u32 + 2) * (j + 1) * (j + 3) % 11));
    let tokens: Vec<Vec<u32>> = tokens.map(Iterator::collect).collect();
    let frames: Vec<_> = lengths().map(|n| clip(n, n as u64)).collect();
    let inputs = |frame_dim: Option<usize>| -> Vec<reference::Input<'_>> {
        match frame_dim {
            None => tokens
                .iter()
                .map(|clip| reference::Input::Tokens(clip))
                .collect(),
            Some(_) => frames
                .iter()
                .map(|clip| reference::Input::Frames(clip.view()))
                .collect(),
        }
    };
    for (frame_dim, pooling) in [(None, Pooling::Last), (Some(FRAME), Pooling::Mean)] {
        let checkpoint = checkpoint(small_classifier_config(frame_dim, pooling), 3);
        let operators = operators(&checkpoint).unwrap();
        let layers = convert_layers(&trained_kernels(&operators, 17), &Method::Fir { taps: 17 });
        let layers: Vec<_> = layers
            .unwrap()
            .into_iter()
            .map(|layer| layer.modal)
            .collect();
        let clips = inputs(frame_dim);
        let sample = Sample::of_clips(clips.iter().copied()).unwrap();
        let calibrated = |weights| calibrate(&checkpoint, &sample, |_| weights, |_| ()).unwrap();
        let exact = calibrated(WeightType::F32);
        assert_eq!(exact.output_sqnr.len(), 2 + 4 * 2);
        assert!(
            exact.output_sqnr.iter().all(|sqnr| *sqnr > 100.0),
            "{:?}",
            exact.output_sqnr
        );
        let weights = [
            exact.weights,
            nearest(&checkpoint, |_| WeightType::F32).unwrap(),
            calibrated(WeightType::Int4).weights,
            nearest(&checkpoint, |_| WeightType::Int4).unwrap(),
        ];
        let blobs = weights.map(|weights| {
            write_weights(&checkpoint, &layers, &weights, Target::Portable).unwrap()
        });
        let answers = blobs.each_ref().map(|blob| {
            let any = blob.any().unwrap();
            let answers = clips
                .iter()
                .map(|clip| stream::classify(any, *clip).unwrap());
            answers.flatten().collect::<Vec<f32>>()
        });
        let [exact, plain, calibrated, nearest] = answers;
        assert_eq!(exact, plain);
        let error = |answers: &[f32]| -> f32 {
            answers
                .iter()
                .zip(&exact)
                .map(|(a, b)| (a - b).powi(2))
                .sum()
        };
        let errors = [error(&calibrated), error(&nearest)];
        assert!(errors[0] < 0.8 * errors[1], "{frame_dim:?}: {errors:?}");
    }
    let other = checkpoint(small_classifier_config(Some(3), Pooling::Mean), 3);
    for (frame_dim, text) in [
        (None, "not tokens"),
        (Some(FRAME), "frames of 3 numbers, these have 7"),
    ] {
        let sample = Sample::of_clips(inputs(frame_dim)).unwrap();
        let error = calibrate(&other, &sample, |_| WeightType::Int4, |_| ()).unwrap_err();
        assert!(error.to_string().contains(text), "{error}");
    }
    let none = calibrate(
        &other,
        &Sample::of_clips([]).unwrap(),
        |_| WeightType::Int4,
        |_| (),
    );
    assert!(none.is_err());
}
