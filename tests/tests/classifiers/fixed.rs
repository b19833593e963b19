//! The same in integers: near the floats, and what a session promises.

use super::*;
use toeplite::classifier::{FrameModel, FrameSession};
use toeplite::fixed::classifier::{Decay as Forget, Model as Integers};
use toeplite::fixed::{FRAME_BITS, LOGIT_BITS};
use toeplite::format::crc32;
use toeplite_tests::small_fixed_classifier_blob;
use toeplite_tools::listen::Listener;

fn memory(model: &Integers<'_>) -> SessionMemory {
    SessionMemory::of_bytes(model.memory_needed())
}

fn frame(row: ndarray::ArrayView1<'_, f32>) -> Vec<i32> {
    let unit = (FRAME_BITS as f32).exp2();
    row.iter().map(|x| (x * unit).round() as i32).collect()
}

/// The logits after each frame or token of a clip, which half-lives of so many thousandths make forget.
fn logits(blob: &Blob, clip: Clip<'_>, half_life: Option<u32>) -> Array2<f32> {
    let any = blob.any().unwrap();
    let mut memory = SessionMemory::of_bytes(any.memory_needed());
    let mut session = Listener::new(&any, memory.as_mut_slice()).unwrap();
    if let Some(half_life) = half_life {
        session.set_half_life(half_life as f32 / 1000.0).unwrap();
    }
    let rows = match clip {
        Clip::Tokens(tokens) => tokens.len(),
        Clip::Frames(frames) => frames.nrows(),
    };
    let each = |i| {
        match clip {
            Clip::Tokens(tokens) => session.push(tokens[i]).unwrap(),
            Clip::Frames(frames) => session.push_frame(&frames.row(i).to_vec()).unwrap(),
        }
        session.logits()
    };
    Array2::from_shape_vec((rows, CLASSES), (0..rows).flat_map(each).collect()).unwrap()
}

/// The share of the power of `floats` that is missing or wrong in `found`.
fn lost(floats: &Array2<f32>, found: &Array2<f32>) -> f64 {
    let power = |x: &f32| f64::from(*x) * f64::from(*x);
    let error: f64 = (floats - found).iter().map(power).sum();
    error / floats.iter().map(power).sum::<f64>()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// The f32 contract's int8 weights and activations are as coarse: what integers add must not show.
    #[test]
    fn logits_are_near_those_of_floats(
        norm in select(vec![Norm::SimpleRmsNorm, Norm::RmsNorm, Norm::ScaleNorm, Norm::LayerNorm]),
        final_norm in select(vec![Norm::SimpleRmsNorm, Norm::RmsNorm, Norm::ScaleNorm, Norm::LayerNorm]),
        (frames, bias) in (any::<bool>(), any::<bool>()),
        half_life in prop::option::of(200u32..60_000),
        pooling in select(vec![Pooling::Mean, Pooling::Last]),
        seed: u64,
        length in 1usize..60,
    ) {
        let frames = frames.then_some(FRAME);
        let mut config = small_classifier_config(frames, pooling);
        (config.norm, config.final_norm, config.bias) = (norm, final_norm, bias);
        let checkpoint = checkpoint(config, seed);
        let layers = [modal(10, [3, 1, 2], false, seed ^ 1), modal(10, [2, 0, 0], false, seed ^ 2)];
        let layers = layers.map(|layer| layer.to_f32_safe());
        let blobs = [
            write(&checkpoint, &layers, WeightType::F32).unwrap(),
            write_fixed(&checkpoint, &layers, |_| WeightType::Int8).unwrap(),
        ];
        let clip_of_frames = clip(length, seed);
        let mut noise = Noise::new(seed);
        let tokens: Vec<u32> = (0..length).map(|_| (noise.draw().abs() * 10.9) as u32).collect();
        let clip = match frames {
            Some(_) => Clip::Frames(&clip_of_frames),
            None => Clip::Tokens(&tokens),
        };
        let half_life = half_life.filter(|_| pooling == Pooling::Mean);
        let [floats, found] = blobs.each_ref().map(|blob| logits(blob, clip, half_life));
        let lost = lost(&floats, &found);
        prop_assert!(lost < 0.01, "{}", lost);
    }

    #[test]
    fn a_snapshot_continues_bit_for_bit_elsewhere(before in 0usize..40, half_life in 100u32..50_000) {
        let blob = small_fixed_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
        let model = Integers::from_bytes(blob.bytes()).unwrap();
        let frames = clip(before + 5, 3);
        let frames: Vec<_> = frames.rows().into_iter().map(frame).collect();
        let (mut a, mut b) = (memory(&model), memory(&model));
        let mut session = model.session(a.as_mut_slice()).unwrap();
        session.set_decay(Forget::half_life(half_life).unwrap()).unwrap();
        frames[..before].iter().for_each(|frame| session.push_frame(frame).unwrap());
        let mut snapshot = vec![0; session.snapshot_bytes()];
        prop_assert_eq!(session.save(&mut snapshot), Ok(snapshot.len()));
        let mut elsewhere = model.session(b.as_mut_slice()).unwrap();
        elsewhere.push_frame(&frames[0]).unwrap();
        elsewhere.restore(&snapshot).unwrap();
        prop_assert_eq!(elsewhere.decay(), session.decay());
        for frame in &frames[before..] {
            session.push_frame(frame).unwrap();
            elsewhere.push_frame(frame).unwrap();
            prop_assert_eq!(elsewhere.logits(), session.logits());
        }
    }
}

#[test]
fn a_session_of_integers_keeps_its_promises() {
    let blob = small_fixed_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let model = Integers::from_bytes(blob.bytes()).unwrap();
    assert_eq!(model.input(), Input::Frames { numbers: FRAME });
    let any = blob.any().unwrap();
    assert_eq!((any.contract(), any.outputs()), ("fixed", CLASSES));
    let mut memory = memory(&model);
    let short = memory.as_mut_slice().len() - 4;
    let refused = model.session(&mut memory.as_mut_slice()[..short]);
    assert!(matches!(refused, Err(MemoryError::TooSmall { .. })));
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    assert_eq!(session.logits(), [0; CLASSES]);
    assert_eq!(session.self_test(), Ok(()));
    assert_eq!(
        session.push(1u32),
        Err(InputError::TakesFrames { numbers: FRAME })
    );
    let (expected, found) = (FRAME, 2);
    assert_eq!(
        session.push_frame(&[1, 2]),
        Err(InputError::FrameLength { expected, found })
    );
    // as a clip from rest, whatever was heard before
    let frames = clip(9, 5);
    let expected = stream::classify_frames(any, frames.view()).unwrap();
    for row in frames.rows() {
        session.push_frame(&frame(row)).unwrap();
    }
    session.reset();
    for row in frames.rows() {
        session.push_frame(&frame(row)).unwrap();
    }
    let unit = (-LOGIT_BITS as f32).exp2();
    let found: Vec<f32> = session.logits().iter().map(|x| *x as f32 * unit).collect();
    assert_eq!(found, expected);
    // as loud as can be
    for loudest in [i32::MAX, i32::MIN, 0] {
        session.push_frame(&[loudest; FRAME]).unwrap();
        session.logits();
    }
}

/// Between calls the scratch is the caller's: whatever it leaves there changes no bit.
#[test]
fn what_is_left_in_the_scratch_of_integers_changes_nothing() {
    let frames = clip(20, 4);
    for (pooling, weights, more) in [
        (Pooling::Mean, WeightType::Int8, 100),
        (Pooling::Last, WeightType::Int4, 0),
    ] {
        let blob = small_fixed_classifier_blob(Some(FRAME), pooling, weights);
        let model = Integers::from_bytes(blob.bytes()).unwrap();
        let [mut a, mut b] =
            [0, more].map(|more| SessionMemory::of_bytes(model.memory_needed() + more));
        let mut plain = model.session(a.as_mut_slice()).unwrap();
        let mut lent = model.session(b.as_mut_slice()).unwrap();
        assert_eq!(4 * lent.scratch().len(), model.scratch_bytes() + more);
        for (i, row) in frames.rows().into_iter().enumerate() {
            let junk = [0, u32::MAX, 0x7F7F_7F7F][i % 3];
            let frame = frame(row);
            plain.push_frame(&frame).unwrap();
            lent.scratch().fill(junk);
            lent.push_frame(&frame).unwrap();
            lent.scratch().fill(!junk);
            assert_eq!(lent.logits(), plain.logits(), "{weights:?}, {i}");
        }
        lent.scratch().fill(u32::MAX);
        assert_eq!(lent.self_test(), Ok(()), "{weights:?}");
    }
}

/// By the trait, frames that do not fit are refused alike by both contracts.
#[test]
fn contracts_refuse_the_same_frames() {
    fn refusals<'a>(model: impl FrameModel<'a>) -> Vec<InputError> {
        let mut memory = SessionMemory::of_bytes(model.memory_needed());
        let mut session = model.session(memory.as_mut_slice()).unwrap();
        let mut refused = |frame: &[f32]| session.push_floats(frame).unwrap_err();
        let mut bad = [0.5; FRAME];
        bad[3] = f32::NAN;
        vec![refused(&[f32::NAN; 2]), refused(&bad)]
    }
    let integers = small_fixed_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let floats = small_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let refused = refusals(Integers::from_bytes(integers.bytes()).unwrap());
    assert_eq!(
        refused,
        refusals(Model::from_bytes(floats.bytes()).unwrap())
    );
    assert!(matches!(
        refused[..],
        [
            InputError::FrameLength { .. },
            InputError::FrameNumber { element: 3 }
        ]
    ));
}

#[test]
fn numbers_and_half_lives_that_integers_have_not_are_named() {
    let blob = small_fixed_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let mut frames = clip(3, 5);
    frames[[1, 4]] = 40_000.0;
    let refused = stream::classify_frames(blob.any().unwrap(), frames.view());
    let source = InputError::FrameNumber { element: 4 };
    let expected = ClassifyError::Clip(ClipError::Input {
        position: 1,
        source,
    });
    assert_eq!(refused, Err(expected));
    assert!(
        expected
            .to_string()
            .contains("with the contract fixed 32768")
    );
    let last = small_fixed_classifier_blob(Some(FRAME), Pooling::Last, WeightType::Int8);
    let model = Integers::from_bytes(last.bytes()).unwrap();
    let mut memory = memory(&model);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let decay = Forget::half_life(5_000).unwrap();
    assert_eq!(session.set_decay(decay), Err(DecayError::LastPosition));
    assert_eq!(session.set_decay(Forget::NONE), Ok(()));
}

#[test]
fn damaged_snapshots_of_integers_are_refused_and_change_nothing() {
    let blob = small_fixed_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let model = Integers::from_bytes(blob.bytes()).unwrap();
    let mut memory = memory(&model);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    for row in clip(3, 5).rows() {
        session.push_frame(&frame(row)).unwrap();
    }
    let before = session.logits().to_vec();
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.save(&mut snapshot).unwrap();
    for bit in 0..8 * snapshot.len() {
        let mut damaged = snapshot.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(session.restore(&damaged).is_err(), "{bit}");
    }
    // sums that are larger than the weights, a weight below zero, a row that the ring does not have
    let weight = 1 + 2 * model.shape().dim;
    for (word, value) in [(2, i32::MAX), (weight + 1, -1), (weight + 2, 9)] {
        let mut hostile = snapshot.clone();
        hostile[16 + 4 * word..][..4].copy_from_slice(&value.to_le_bytes());
        let crc = crc32(&hostile[16..]).to_le_bytes();
        hostile[12..16].copy_from_slice(&crc);
        assert_eq!(
            session.restore(&hostile),
            Err(SnapshotError::Corrupt),
            "{word}"
        );
    }
    assert_eq!(session.logits(), before);
    assert_eq!(session.restore(&snapshot), Ok(()));
}

/// Models of each contract and task are refused by the others, with the name of the module that reads them.
#[test]
fn contracts_and_tasks_are_told_apart_by_name() {
    let classifier = small_fixed_classifier_blob(None, Pooling::Mean, WeightType::Int8);
    let error = toeplite::fixed::Model::from_bytes(classifier.bytes()).map(|_| ());
    let (found, expected) = (3, 1);
    assert_eq!(error, Err(ModelError::UnsupportedTask { found, expected }));
    let error = Model::from_bytes(classifier.bytes())
        .map(|_| ())
        .unwrap_err();
    let (found, expected) = (2, 1);
    assert_eq!(error, ModelError::UnsupportedContract { found, expected });
    assert!(error.to_string().contains("toeplite::fixed"), "{error}");
    let floats = small_classifier_blob(None, Pooling::Mean, WeightType::Int8);
    let error = Integers::from_bytes(floats.bytes())
        .map(|_| ())
        .unwrap_err();
    let (found, expected) = (1, 2);
    assert_eq!(error, ModelError::UnsupportedContract { found, expected });
    let unnormed = Config {
        final_norm: Norm::None,
        ..small_classifier_config(None, Pooling::Mean)
    };
    let error = write_fixed(&checkpoint(unnormed, 1), &small_layers(), |_| {
        WeightType::Int8
    });
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("final norm") && error.contains("--contract f32"),
        "{error}"
    );
}
