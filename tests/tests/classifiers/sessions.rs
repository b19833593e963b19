//! What a session promises: exact memory, named faults, snapshots, a self test that sees all.

use super::*;

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
    let found = stream::classify_frames(any, frames.view()).unwrap();
    let expected = after_each(&blob, Clip::Frames(&frames), Decay::NONE);
    assert_eq!(found, expected.row(19).to_vec());
    // columns of a larger array
    let wide = ndarray::concatenate(Axis(1), &[frames.view(), frames.view()]).unwrap();
    let part = wide.slice(s![.., FRAME..]);
    assert_eq!(stream::classify_frames(any, part).unwrap(), found);
    assert_eq!(stream::recurrences(any).len(), 2);

    let none = stream::classify_frames(any, frames.slice(s![..0, ..]));
    assert_eq!(none, Err(ClassifyError::Clip(ClipError::Empty)));
    let source = InputError::FrameLength {
        expected: 7,
        found: 14,
    };
    let refused = Err(ClassifyError::Clip(ClipError::Input {
        position: 0,
        source,
    }));
    assert_eq!(stream::classify_frames(any, wide.view()), refused);
    let source = InputError::TakesFrames { numbers: 7 };
    let refused = Err(ClassifyError::Clip(ClipError::Input {
        position: 0,
        source,
    }));
    assert_eq!(stream::classify_tokens(any, &[1]), refused);
    assert_eq!(stream::logits(any, &[1]), Err(StreamError::Classifier));
    let language_model = small_blob(WeightType::Int8);
    let refused = stream::classify_tokens(&language_model.model().unwrap(), &[1]);
    assert_eq!(refused, Err(ClassifyError::NoClassifier));

    let blob = small_classifier_blob(None, Pooling::Last, WeightType::Int8);
    let found = stream::classify_tokens(blob.any().unwrap(), &[1, 10, 3]).unwrap();
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

/// Between calls the scratch is the caller's: whatever it leaves there changes no bit.
#[test]
fn what_is_left_in_the_scratch_changes_nothing() {
    let frames = clip(30, 4);
    for (weights, pooling, more) in [
        (WeightType::F32, Pooling::Mean, 0),
        (WeightType::Int8, Pooling::Last, 100),
        (WeightType::Int4, Pooling::Mean, 4),
    ] {
        let blob = small_classifier_blob(Some(FRAME), pooling, weights);
        let model = Model::from_bytes(blob.bytes()).unwrap();
        let expected = after_each(&blob, Clip::Frames(&frames), Decay::NONE);
        let mut memory = SessionMemory::of_bytes(model.memory_needed() + more);
        let mut session = model.session(memory.as_mut_slice()).unwrap();
        assert_eq!(4 * session.scratch().len(), model.scratch_bytes() + more);
        for (i, expected) in expected.rows().into_iter().enumerate() {
            let junk = [f32::NAN.to_bits(), u32::MAX, 0x7F7F_7F7F][i % 3];
            session.scratch().fill(junk);
            push(&mut session, Clip::Frames(&frames), i);
            session.scratch().fill(!junk);
            assert_eq!(session.logits(), expected.to_vec(), "{weights:?}, {i}");
        }
        session.scratch().fill(u32::MAX);
        assert_eq!(session.self_test(), Ok(()), "{weights:?}");
    }
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
    config.causal = false;
    let error = write(
        &checkpoint(config.clone(), 1),
        &small_layers(),
        WeightType::Int8,
    );
    assert!(matches!(error, Err(WriteError::NotCausal)), "{error:?}");
    config.toeplitz.image = Some([4, 4]);
    config.validate().unwrap();
    let error = can_convert(&config).unwrap_err();
    assert!(error.to_string().contains("toeplitz.image"), "{error}");
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
