//! Classifiers of windows.

use super::*;

/// A window of a bidirectional classifier, whichever recurrences it has.
#[test]
fn windows_are_the_reference_in_f64() {
    let (frames, tokens) = (
        clip(WINDOW, 9),
        (0..WINDOW as u32).map(|i| i * i % 11).collect::<Vec<_>>(),
    );
    let [forward, backward] = small_window_layers();
    let mix = TwoSidedMix::new(mix(&forward), mix(&backward)).unwrap();
    for (frame_dim, pooling) in [
        (None, Pooling::Mean),
        (Some(FRAME), Pooling::Mean),
        (Some(FRAME), Pooling::Last),
    ] {
        let config = Config {
            causal: false,
            ..small_classifier_config(frame_dim, pooling)
        };
        let checkpoint = checkpoint(config, 1);
        for (weights, bound) in [
            (WeightType::F32, 2e-6),
            (WeightType::Int8, 0.05),
            (WeightType::Int4, 0.4),
        ] {
            let of = |target| {
                small_window_classifier_blob(frame_dim, pooling, Storage { weights, target })
            };
            let (blob, packed) = (of(Target::Portable), of(Target::M4));
            let (any, packed) = (blob.any().unwrap(), packed.any().unwrap());
            assert_eq!((any.window(), any.self_test()), (Some(WINDOW), Ok(())));
            assert_eq!(stream::backward_recurrences(any).len(), 2);
            for n in [WINDOW, 1, 7] {
                let part = frames.slice(s![..n, ..]).to_owned();
                let (clip, input) = match frame_dim {
                    None => (
                        Clip::Tokens(&tokens[..n]),
                        reference::Input::Tokens(&tokens[..n]),
                    ),
                    Some(_) => (Clip::Frames(&part), reference::Input::Frames(part.view())),
                };
                let expected = pooled(&mixed_positions(&checkpoint, &mix, clip), pooling, 1.0);
                let expected = expected.slice(s![n - 1.., ..]).to_owned();
                let found = stream::classify(any, input).unwrap();
                assert_eq!(found, stream::classify(packed, input).unwrap());
                let found = Array2::from_shape_vec((1, CLASSES), found).unwrap();
                let error = error(&found, &expected);
                assert!(
                    error < bound,
                    "{frame_dim:?} {pooling:?} {weights:?} {n}: {error:e}"
                );
            }
        }
    }
}

#[test]
fn clips_that_no_window_takes_are_named() {
    let blob = small_window_classifier_blob(Some(FRAME), Pooling::Mean, WeightType::Int8);
    let model = window::Model::from_bytes(blob.bytes()).unwrap();
    let needed = model.memory_needed();
    let mut memory = SessionMemory::of_bytes(needed);
    let found = needed - 1;
    let error = model
        .session(&mut memory.as_mut_slice()[..found])
        .map(|_| ());
    assert_eq!(error, Err(MemoryError::TooSmall { needed, found }));
    memory.as_mut_slice().fill(0xA5);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    assert_eq!(session.run_frames(&[]), Err(ClipError::Empty));
    let (positions, window) = (WINDOW + 1, WINDOW);
    let too_long = ClipError::TooLong { positions, window };
    assert_eq!(
        session.run_frames(&[0.0; FRAME * (WINDOW + 1)]),
        Err(too_long)
    );
    let input = |position, source| Err(ClipError::Input { position, source });
    let (expected, found) = (FRAME, 1);
    let length = InputError::FrameLength { expected, found };
    assert_eq!(session.run_frames(&[0.0; FRAME + 1]), input(1, length));
    let mut bad = [0.0; 3 * FRAME];
    bad[2 * FRAME + 4] = f32::NAN;
    assert_eq!(
        session.run_frames(&bad),
        input(2, InputError::FrameNumber { element: 4 })
    );
    let takes_frames = InputError::TakesFrames { numbers: FRAME };
    assert_eq!(session.run(&[1u32]), input(0, takes_frames));
    assert_eq!(session.self_test(), Ok(()));
    let wide = stream::classify(
        &model,
        reference::Input::Frames(clip(2, 1).slice(s![.., ..2])),
    );
    let (expected, found) = (FRAME, 2);
    let source = InputError::FrameLength { expected, found };
    assert_eq!(
        wide,
        Err(ClipError::Input {
            position: 0,
            source
        }
        .into())
    );

    let blob = small_window_classifier_blob(None, Pooling::Last, WeightType::Int8);
    let model = window::Model::from_bytes(blob.bytes()).unwrap();
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let (token, vocabulary) = (11, 11);
    let unknown = InputError::UnknownToken { token, vocabulary };
    assert_eq!(session.run(&[1u32, 11]), input(1, unknown));
    assert_eq!(
        session.run_frames(&[0.0; 3]),
        input(0, InputError::TakesTokens)
    );
    let error = Model::from_bytes(blob.bytes()).map(|_| ()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("toeplite::classifier::window::Model")
    );
}
