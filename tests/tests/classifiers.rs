//! Classifiers that stream: against the reference in f64, and what a session promises.
#![allow(missing_docs)]

use ndarray::{Array1, Array2, Axis, s};
use proptest::prelude::*;
use proptest::sample::select;
use toeplite::classifier::{Decay, Input, Model, Session};
use toeplite::profile::{Probe, Stage};
use toeplite::{DecayError, InputError, MemoryError, ModelError, SnapshotError};
use toeplite_tests::{
    CLASSES, Noise, checkpoint, modal, small_blob, small_classifier_blob, small_classifier_config,
    small_layers,
};
use toeplite_tools::blob::{
    Blob, SessionMemory, Storage, StreamError, Target, WeightType, WriteError, nearest, write,
    write_fixed, write_weights,
};
use toeplite_tools::checkpoint::config::{Norm, Pooling};
use toeplite_tools::checkpoint::{Checkpoint, Config};
use toeplite_tools::convert::network::{operators, trained_kernels};
use toeplite_tools::convert::{Method, Modal, convert_layers};
use toeplite_tools::quantize::calibrate::{Sample, calibrate};
use toeplite_tools::reference::recurrence::ModalMix;
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
    let layers: Vec<Modal> = layers.iter().map(Modal::to_f32_safe).collect();
    let mix = ModalMix::<f64>::new(&layers).unwrap();
    let logits = Network::from_checkpoint(&twin)
        .unwrap()
        .forward(&tokens, &mix);
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

#[test]
fn a_clip_on_the_host_is_a_session_from_rest() {
    let frames = clip(20, 3);
    let blob = small_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let any = blob.any().unwrap();
    assert_eq!(
        (any.outputs(), any.vocab_size(), any.window()),
        (CLASSES, 0, None)
    );
    assert_eq!(any.self_test(), Ok(()));
    let found = stream::classify_frames(&any, frames.view()).unwrap();
    let expected = after_each(&blob, Clip::Frames(&frames), Decay::NONE);
    assert_eq!(found, expected.row(19).to_vec());
    // columns of a larger array
    let wide = ndarray::concatenate(Axis(1), &[frames.view(), frames.view()]).unwrap();
    let part = wide.slice(s![.., FRAME..]);
    assert_eq!(stream::classify_frames(&any, part).unwrap(), found);
    assert_eq!(stream::recurrences(&any).len(), 2);

    let none = stream::classify_frames(&any, frames.slice(s![..0, ..]));
    assert_eq!(none, Err(ClassifyError::Empty));
    let source = InputError::FrameLength {
        expected: 7,
        found: 14,
    };
    let refused = Err(ClassifyError::Input {
        position: 0,
        source,
    });
    assert_eq!(stream::classify_frames(&any, wide.view()), refused);
    let source = InputError::TakesFrames { numbers: 7 };
    let refused = Err(ClassifyError::Input {
        position: 0,
        source,
    });
    assert_eq!(stream::classify_tokens(&any, &[1]), refused);
    assert_eq!(stream::logits(&any, &[1]), Err(StreamError::Classifier));
    let language_model = small_blob(WeightType::Int8);
    let refused = stream::classify_tokens(&language_model.model().unwrap(), &[1]);
    assert_eq!(refused, Err(ClassifyError::NoClassifier));

    let blob = small_classifier_blob(None, Pooling::Last, WeightType::Int8);
    let found = stream::classify_tokens(&blob.any().unwrap(), &[1, 10, 3]).unwrap();
    let expected = after_each(&blob, Clip::Tokens(&[1, 10, 3]), Decay::NONE);
    assert_eq!(found, expected.row(2).to_vec());
}

#[test]
fn memory_is_what_the_docs_say_whatever_the_length() {
    let needed = |pooling| {
        let blob = small_classifier_blob(Some(FRAME), pooling, WeightType::Int8);
        Model::from_bytes(blob.bytes()).unwrap().memory_needed()
    };
    let language_model = small_blob(WeightType::Int8);
    let streaming = language_model.model().unwrap().memory_needed();
    assert_eq!(needed(Pooling::Last), streaming + 4 * 6);
    assert_eq!(needed(Pooling::Mean), streaming + 8 * 7);

    let blob = small_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let model = Model::from_bytes(blob.bytes()).unwrap();
    let needed = model.memory_needed();
    let mut memory = SessionMemory::of_bytes(needed + 16);
    memory.as_mut_slice().fill(0xA5);
    let (mine, beyond) = memory.as_mut_slice().split_at_mut(needed);
    let found = needed - 1;
    let error = model.session(&mut mine[..found]).map(|_| ());
    assert_eq!(error, Err(MemoryError::TooSmall { needed, found }));
    let mut session = model.session(mine).unwrap();
    assert_eq!(session.logits(), [0.0; CLASSES], "nothing was heard");
    let frames = clip(50, 1);
    let all = |session: &mut Session<'_, '_>| {
        (0..50).for_each(|i| push(session, Clip::Frames(&frames), i));
        session.logits().to_vec()
    };
    let first = all(&mut session);
    assert_eq!(session.logits(), first, "asked for twice");
    session.reset();
    assert_eq!(session.logits(), [0.0; CLASSES]);
    assert_eq!(all(&mut session), first);
    assert!(beyond.iter().all(|b| *b == 0xA5));
}

#[test]
fn inputs_that_do_not_fit_are_named_and_change_nothing() {
    let blob = small_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::F32);
    let model = Model::from_bytes(blob.bytes()).unwrap();
    assert_eq!(model.input(), Input::Frames { numbers: FRAME });
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    session.push_frame(&[1.0; FRAME]).unwrap();
    let before = session.logits().to_vec();
    let takes_frames = InputError::TakesFrames { numbers: FRAME };
    assert_eq!(session.push(1u32), Err(takes_frames));
    let (expected, found) = (FRAME, FRAME - 1);
    let length = InputError::FrameLength { expected, found };
    assert_eq!(session.push_frame(&[1.0; FRAME - 1]), Err(length));
    for bad in [f32::NAN, f32::INFINITY, -1.1e15] {
        let frame = [1.0, 1.0, 1.0, bad, 1.0, 1.0, 1.0];
        let error = session.push_frame(&frame).unwrap_err();
        assert_eq!(error, InputError::FrameNumber { element: 3 });
        assert!(error.to_string().contains("number 3"));
    }
    assert_eq!(session.logits(), before);

    let blob = small_classifier_blob(None, Pooling::Last, WeightType::F32);
    let model = Model::from_bytes(blob.bytes()).unwrap();
    assert_eq!(model.input(), Input::Tokens { vocabulary: 11 });
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let (token, vocabulary) = (11, 11);
    let unknown = InputError::UnknownToken { token, vocabulary };
    assert_eq!(session.push(11u32), Err(unknown));
    assert_eq!(
        session.push_frame(&[1.0; FRAME]),
        Err(InputError::TakesTokens)
    );
    assert_eq!(session.logits(), [0.0; CLASSES]);
    let decay = Decay::new(0.5).unwrap();
    assert_eq!(session.set_decay(decay), Err(DecayError::LastPosition));
    assert_eq!(session.set_decay(Decay::NONE), Ok(()));
}

#[test]
fn damaged_snapshots_are_refused_and_change_nothing() {
    let blob = small_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let model = Model::from_bytes(blob.bytes()).unwrap();
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    session.push_frame(&[1.0; FRAME]).unwrap();
    let before = session.logits().to_vec();
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.save(&mut snapshot).unwrap();
    for bit in 0..8 * snapshot.len() {
        let mut damaged = snapshot.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(session.restore(&damaged).is_err(), "{bit}");
    }
    // a decay that is none, a block that is none, a sum that is no number: each behind a right checksum
    for (at, word) in [
        (20, 2f32.to_bits()),
        (16, 3),
        (snapshot.len() - 4, f32::NAN.to_bits()),
    ] {
        let mut damaged = snapshot.clone();
        damaged[at..at + 4].copy_from_slice(&word.to_le_bytes());
        let crc = toeplite::format::crc32(&damaged[16..]);
        damaged[12..16].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(session.restore(&damaged), Err(SnapshotError::Corrupt));
    }
    assert_eq!(session.logits(), before);
    assert_eq!(session.restore(&snapshot), Ok(()));
}

/// The known-answer test covers what only classifiers have: the map of frames, its bias, the pooling.
#[test]
fn the_self_test_sees_every_part() {
    let blob = small_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::F32);
    let sections = toeplite::format::sections(2, toeplite::format::TASK_CLASSIFIER);
    let start = |index: usize| {
        let entry = &blob.bytes()[toeplite::format::HEADER_BYTES + 16 * index..];
        u32::from_le_bytes(*entry.first_chunk().unwrap()) as usize
    };
    let (options, bias) = (start(sections - 2), start(sections - 1));
    // the low bits of a weight and of a bias; the pooling; a weight of the head
    for (at, bits) in [
        (start(0) + 1, 0x40),
        (bias + 1, 0x40),
        (options + 4, 1),
        (start(3) + 1, 0x40),
    ] {
        let mut bytes = blob.bytes().to_vec();
        bytes[at] ^= bits;
        let crc = toeplite::format::crc32(&bytes[16..]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let changed = Blob::from_bytes(&bytes);
        assert!(changed.any().unwrap().self_test().is_err(), "{at}");
    }
    assert_eq!(blob.any().unwrap().self_test(), Ok(()));
}

#[test]
fn each_kind_of_model_refuses_the_other() {
    let classifier = small_classifier_blob(None, Pooling::Mean, WeightType::Int8);
    let error = toeplite::Model::from_bytes(classifier.bytes())
        .map(|_| ())
        .unwrap_err();
    let (found, expected) = (3, 1);
    assert_eq!(error, ModelError::UnsupportedTask { found, expected });
    assert!(error.to_string().contains("toeplite::classifier::Model"));
    let error = Model::from_bytes(small_blob(WeightType::Int8).bytes()).map(|_| ());
    let (found, expected) = (1, 3);
    assert_eq!(error, Err(ModelError::UnsupportedTask { found, expected }));
}

#[test]
fn what_cannot_be_written_is_named() {
    let mut config = small_classifier_config(None, Pooling::Mean);
    let fixed = write_fixed(&checkpoint(config.clone(), 1), &small_layers(), |_| {
        WeightType::Int8
    });
    let error = fixed.unwrap_err().to_string();
    assert!(
        error.contains("classifier") && error.contains("--contract f32"),
        "{error}"
    );
    config.causal = false;
    let error = write(&checkpoint(config, 1), &small_layers(), WeightType::Int8).unwrap_err();
    assert!(matches!(error, WriteError::NotCausal), "{error}");
    let mut config = small_classifier_config(None, Pooling::Mean);
    config.causal = false;
    let error = toeplite_tools::blob::can_convert(&config).unwrap_err();
    assert!(error.to_string().contains("\"causal\": true"), "{error}");
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
                .map(|clip| stream::classify(&any, *clip).unwrap());
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

/// Every stage is told of, and listening changes no bit.
#[test]
fn a_push_with_a_probe_is_a_push() {
    struct Stages(Vec<Stage>);
    impl Probe for Stages {
        fn enter(&mut self, stage: Stage) {
            self.0.push(stage);
        }
    }
    use Stage::{Dense, Embedding, Fir, Gates, Norm, Recurrence};
    let gtu = [Norm, Dense, Gates, Fir, Recurrence, Gates, Norm, Dense];
    let layer = [&gtu[..], &[Norm, Dense, Gates, Dense, Gates, Norm]].concat();
    let expected = [&[Embedding], &layer[..], &layer, &[Norm]].concat();
    for frame_dim in [None, Some(FRAME)] {
        let blob = small_classifier_blob(frame_dim, Pooling::Mean, WeightType::Int8);
        let model = Model::from_bytes(blob.bytes()).unwrap();
        let [mut a, mut b] = [0, 1].map(|_| SessionMemory::of_bytes(model.memory_needed()));
        let mut plain = model.session(a.as_mut_slice()).unwrap();
        let mut probed = model.session(b.as_mut_slice()).unwrap();
        let mut stages = Stages(Vec::new());
        let [told, taken] = match frame_dim {
            None => [probed.push_with(3u32, &mut stages), plain.push(3u32)],
            Some(_) => {
                let frame = [0.5; FRAME];
                [
                    probed.push_frame_with(&frame, &mut stages),
                    plain.push_frame(&frame),
                ]
            }
        };
        assert_eq!([told, taken], [Ok(()), Ok(())]);
        assert_eq!(stages.0, expected);
        assert_eq!(probed.logits(), plain.logits());
    }
}
