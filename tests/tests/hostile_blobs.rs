//! Blobs that were cut off, damaged or made up: a typed error or a model that runs, never a panic.
#![allow(missing_docs)]

use proptest::prelude::*;
use toeplite::classifier::{self, Input};
use toeplite::format::{
    BACKWARD, Backward, CLASSIFIER, Classifier, ENTRY_BYTES, GLOBALS, Global, HEADER_BYTES,
    PER_LAYER, crc32, offset,
};
use toeplite::{MemoryError, Model, ModelError, window};
use toeplite_tests::{
    small_blob, small_classifier_blob, small_window_blob, small_window_classifier_blob,
};
use toeplite_tools::blob::{AnyModel, Blob, SessionMemory, Storage, Target, WeightType};
use toeplite_tools::checkpoint::config::Pooling;

/// Matrices as they can be stored.
fn storages() -> [Storage; 5] {
    use WeightType::{F32, Int4, Int8};
    let dual = |weights| Storage {
        weights,
        target: Target::M4,
    };
    let [f32, int8, int4] = [F32, Int8, Int4].map(Storage::from);
    [f32, int8, dual(Int8), int4, dual(Int4)]
}

/// A model that streams and one over a window, with matrices as they can be stored, and classifiers.
fn blobs() -> Vec<Blob> {
    let each = |storage| [small_blob(storage), small_window_blob(storage)];
    let [f32, .., dual_int4] = storages();
    let tokens = small_classifier_blob(None, Pooling::Last, WeightType::Int8);
    let window = small_window_classifier_blob(Some(7), Pooling::Mean, WeightType::Int8);
    let each = storages().into_iter().flat_map(each);
    let frames = [f32, dual_int4].map(frames_blob);
    each.chain([tokens, window]).chain(frames).collect()
}

/// A classifier of frames.
fn frames_blob(storage: impl Into<Storage>) -> Blob {
    small_classifier_blob(Some(7), Pooling::Mean, storage)
}

/// Header and section table of the two-layer network.
const TABLE_END: usize = HEADER_BYTES + ENTRY_BYTES * (GLOBALS + 2 * PER_LAYER);

/// Header and section table of a blob.
fn table_end(blob: &Blob) -> usize {
    match blob.any().unwrap() {
        AnyModel::Window(_) => TABLE_END + ENTRY_BYTES * 2 * BACKWARD,
        AnyModel::Classifier(_) => TABLE_END + ENTRY_BYTES * CLASSIFIER,
        AnyModel::WindowClassifier(_) => TABLE_END + ENTRY_BYTES * (2 * BACKWARD + CLASSIFIER),
        _ => TABLE_END,
    }
}

/// Makes length and checksum right again, so that the damage gets past them.
fn repair(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_BYTES {
        let length = (bytes.len() as u32).to_le_bytes();
        bytes[offset::LENGTH..][..4].copy_from_slice(&length);
        let crc = crc32(&bytes[offset::TASK..]).to_le_bytes();
        bytes[offset::CRC..][..4].copy_from_slice(&crc);
    }
}

/// Reads the bytes as a model and, if they are one, uses all of it.
fn use_all(bytes: &[u8]) -> Result<(), ModelError> {
    let blob = Blob::from_bytes(bytes);
    let model = match blob.any()? {
        AnyModel::F32(model) => model,
        AnyModel::Window(model) => {
            use_window(&model);
            return Ok(());
        }
        AnyModel::Classifier(model) => {
            // a frame lies in the memory, and its map has as many numbers a row of the residual stream
            assert!(model.memory_needed() <= 8 * bytes.len() + 4096);
            use_classifier(&model);
            return Ok(());
        }
        AnyModel::WindowClassifier(model) => {
            use_window_classifier(&model);
            return Ok(());
        }
        AnyModel::Fixed(_) | AnyModel::FixedClassifier(_) => {
            unreachable!("no changes make an integer model of one of floats")
        }
    };
    // a hostile model may ask for much memory, but not for more than a few times its own size
    assert!(model.memory_needed() <= 8 * bytes.len() + 4096);
    let mut memory = SessionMemory::for_model(&model);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let _ = session.self_test();
    let vocabulary = model.vocab_size() as u32;
    for token in 0..8 {
        session.step(token % vocabulary).unwrap();
    }
    assert!(session.step(vocabulary).is_err());
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.save(&mut snapshot).unwrap();
    // finite states: the numbers of a checked model cannot overflow in eight steps... or they can,
    // and then the snapshot is refused; neither may panic
    let _ = session.restore(&snapshot);
    Ok(())
}

fn use_window(model: &window::Model<'_>) {
    let needed = model.memory_needed();
    if needed > 1 << 20 {
        // so large a window as the header may name, on a device of any size
        let mut memory = SessionMemory::of_bytes(4096);
        let found = memory.as_mut_slice().len();
        let error = model.session(memory.as_mut_slice()).map(|_| ());
        return assert_eq!(error, Err(MemoryError::TooSmall { needed, found }));
    }
    let mut memory = SessionMemory::of_bytes(needed);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let _ = session.self_test();
    let vocabulary = model.vocab_size() as u32;
    let tokens: Vec<u32> = (0..8).map(|i| i % vocabulary).collect();
    let tokens = &tokens[..model.window().min(8)];
    session.hash_run(tokens).unwrap();
    assert!(session.run(&[vocabulary]).is_err());
}

fn use_classifier(model: &classifier::Model<'_>) {
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let _ = session.self_test();
    for i in 0..8 {
        match model.input() {
            Input::Tokens { vocabulary } => session.push(i % vocabulary as u32).unwrap(),
            Input::Frames { numbers } => session.push_frame(&vec![i as f32; numbers]).unwrap(),
        }
    }
    assert_eq!(session.logits().len(), model.classes());
    assert!(session.push(u32::MAX).is_err());
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.save(&mut snapshot).unwrap();
    let _ = session.restore(&snapshot);
}

fn use_window_classifier(model: &classifier::window::Model<'_>) {
    let needed = model.memory_needed();
    let mut memory = SessionMemory::of_bytes(needed.min(1 << 20));
    let found = memory.as_mut_slice().len();
    let mut session = match model.session(memory.as_mut_slice()) {
        Ok(session) => session,
        Err(error) => {
            assert!(found < needed);
            return assert_eq!(error, MemoryError::TooSmall { needed, found });
        }
    };
    let _ = session.self_test();
    let positions = model.window().min(8);
    let logits = match model.input() {
        Input::Tokens { .. } => session.run(&vec![0u32; positions]),
        Input::Frames { numbers } => session.run_frames(&vec![1.0; positions * numbers]),
    };
    assert_eq!(logits.unwrap().len(), model.classes());
    assert!(session.run(&[u32::MAX]).is_err());
}

#[test]
fn every_truncation_is_an_error() {
    for blob in blobs() {
        for len in 0..blob.bytes().len() {
            let cut = &blob.bytes()[..len];
            assert!(use_all(cut).is_err(), "{len}");
            let mut repaired = cut.to_vec();
            repair(&mut repaired);
            assert!(use_all(&repaired).is_err(), "{len}, repaired");
        }
    }
}

#[test]
fn every_flipped_bit_is_an_error() {
    let window = |weights| small_window_classifier_blob(None, Pooling::Mean, weights);
    let each = [small_blob, small_window_blob, frames_blob, window];
    for blob in each.map(|blob| blob(WeightType::Int8)) {
        for bit in 0..8 * blob.bytes().len() {
            let mut bytes = blob.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let error = use_all(&bytes).unwrap_err();
            assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn every_flipped_bit_behind_a_right_checksum_is_an_error_or_runs() {
    for blob in blobs() {
        let (mut refused, end) = (0, table_end(&blob));
        for bit in 8 * offset::TASK..8 * end {
            let mut bytes = blob.bytes().to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            repair(&mut bytes);
            refused += usize::from(use_all(&bytes).is_err());
        }
        // what is left: other options of the same size, the embedding's factor, the training length, the window
        assert!(
            refused > 7 * 8 * (end - offset::TASK) / 8 - 200,
            "{refused}"
        );
    }
}

#[test]
fn errors_name_what_is_wrong() {
    let good = small_blob(WeightType::Int8);
    let change = |at: usize, byte: u8, repaired: bool| {
        let mut bytes = good.bytes().to_vec();
        bytes[at] = byte;
        if repaired {
            repair(&mut bytes);
        }
        Blob::from_bytes(&bytes).model().map(|_| ()).unwrap_err()
    };
    assert!(matches!(
        change(0, b'X', false),
        ModelError::BadMagic { .. }
    ));
    assert_eq!(
        change(offset::VERSION, 9, false),
        ModelError::UnsupportedVersion { found: 9 }
    );
    assert_eq!(
        change(offset::CONTRACT, 7, false),
        ModelError::UnsupportedContract {
            found: 7,
            expected: 1
        }
    );
    assert_eq!(
        change(offset::TASK, 5, true),
        ModelError::UnsupportedTask {
            found: 5,
            expected: 1
        }
    );
    assert_eq!(
        change(offset::ORDER, 3, true),
        ModelError::UnsupportedOrder { found: 3 }
    );
    assert_eq!(
        change(offset::NORM, 77, true),
        ModelError::BadField {
            offset: offset::NORM
        }
    );
    assert_eq!(
        change(HEADER_BYTES + 8, 1, true),
        ModelError::BadSection { index: 0 }
    );
    assert!(matches!(
        change(TABLE_END, 1, false),
        ModelError::Corrupt { .. }
    ));
    let mut shifted = vec![0; good.bytes().len() + 8];
    shifted[8..].copy_from_slice(good.bytes());
    let shifted = Blob::from_bytes(&shifted);
    let error = Model::from_bytes(&shifted.bytes()[8..])
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error, ModelError::Misaligned { remainder: 8 });
}

/// A task, a window and a number of sections that do not belong together.
#[test]
fn tasks_need_their_own_fields() {
    let change = |blob: &Blob, changes: &[(usize, u8)]| {
        let mut bytes = blob.bytes().to_vec();
        changes.iter().for_each(|(at, byte)| bytes[*at] = *byte);
        repair(&mut bytes);
        use_all(&bytes).unwrap_err()
    };
    let bad = |offset| ModelError::BadField { offset };
    let (causal, windowed) = (
        small_blob(WeightType::Int8),
        small_window_blob(WeightType::Int8),
    );
    let (task, window) = (offset::TASK, offset::WINDOW);
    assert_eq!(change(&causal, &[(window, 9)]), bad(window));
    assert_eq!(change(&causal, &[(task, 2)]), bad(window));
    assert_eq!(
        change(&causal, &[(task, 2), (window, 9)]),
        bad(offset::SECTIONS)
    );
    assert_eq!(change(&windowed, &[(window, 0)]), bad(window));
    assert_eq!(change(&windowed, &[(window + 3, 2)]), bad(window));
    assert_eq!(change(&windowed, &[(task, 1)]), bad(window));
    assert_eq!(
        change(&windowed, &[(task, 1), (window, 0)]),
        bad(offset::SECTIONS)
    );
    // the known-answer test has sixteen tokens
    let index = Global::SelfTest as usize;
    assert_eq!(
        change(&windowed, &[(window, 15)]),
        ModelError::BadSection { index }
    );
}

/// Options of a classifier that do not belong together, or are none.
#[test]
fn classifiers_need_their_own_sections() {
    let change = |blob: &Blob, at: usize, byte: u8| {
        let mut bytes = blob.bytes().to_vec();
        bytes[at] = byte;
        repair(&mut bytes);
        use_all(&bytes).unwrap_err()
    };
    let frames = frames_blob(WeightType::Int8);
    let tokens = small_classifier_blob(None, Pooling::Last, WeightType::F32);
    let section = GLOBALS + 2 * PER_LAYER;
    let entry = HEADER_BYTES + ENTRY_BYTES * section;
    let [kind, bias] = [Classifier::Options, Classifier::FramesBias].map(|kind| kind as u8);
    assert_eq!(frames.bytes()[entry + 8], kind);
    assert_eq!(frames.bytes()[entry + ENTRY_BYTES + 8], bias);
    let options = u32::from_le_bytes(*frames.bytes()[entry..].first_chunk().unwrap()) as usize;
    let bad = |offset| ModelError::BadField { offset };
    let number = |element| ModelError::BadNumber { section, element };
    let size = |index| ModelError::BadSection { index };
    assert_eq!(change(&frames, options, 0), number(0));
    assert_eq!(change(&frames, options + 3, 2), number(0));
    assert_eq!(change(&frames, options, 4), size(Global::Head as usize));
    assert_eq!(change(&frames, options + 4, 2), number(1));
    assert_eq!(change(&frames, options + 8, 6), size(0));
    assert_eq!(change(&frames, options + 8, 0), bad(offset::VOCABULARY));
    assert_eq!(change(&frames, options + 11, 1), number(2));
    assert_eq!(change(&frames, options + 12, 1), number(3));
    assert_eq!(change(&frames, entry + 12, 1), size(section));
    assert_eq!(
        change(&frames, offset::VOCABULARY, 1),
        bad(offset::VOCABULARY)
    );
    assert_eq!(change(&frames, offset::TIED, 1), bad(offset::TIED));
    let scale = offset::EMBED_SCALE;
    assert_eq!(change(&frames, scale, 1), bad(scale));
    assert_eq!(
        change(&tokens, offset::VOCABULARY, 0),
        bad(offset::VOCABULARY)
    );
    assert_eq!(change(&tokens, offset::TASK, 1), bad(offset::SECTIONS));
    let causal = small_blob(WeightType::Int8);
    assert_eq!(change(&causal, offset::TASK, 3), bad(offset::SECTIONS));
}

/// A pole outside the unit circle would let the state grow for ever.
#[test]
fn unstable_poles_are_refused() {
    let good = small_blob(WeightType::F32);
    let model = good.model().unwrap();
    let pole = model.layer(0).recurrence.modes.poles[0].to_le_bytes();
    let at = good.bytes().windows(4).position(|w| w == pole).unwrap();
    for bad in [1.000_001f32, -1.5, f32::NAN, f32::INFINITY] {
        let mut bytes = good.bytes().to_vec();
        bytes[at..at + 4].copy_from_slice(&bad.to_le_bytes());
        repair(&mut bytes);
        assert!(
            matches!(
                use_all(&bytes),
                Err(ModelError::BadNumber { element: 0, .. })
            ),
            "{bad}"
        );
    }
}

#[test]
fn unstable_backward_poles_are_refused() {
    let good = small_window_blob(WeightType::F32);
    let model = window::Model::from_bytes(good.bytes()).unwrap();
    let pole = model.backward(0).modes.poles[1].to_le_bytes();
    let at = good.bytes().windows(4).position(|w| w == pole).unwrap();
    let mut bytes = good.bytes().to_vec();
    bytes[at..at + 4].copy_from_slice(&1.000_001f32.to_le_bytes());
    repair(&mut bytes);
    let section = GLOBALS + 2 * PER_LAYER + Backward::Poles as usize - PER_LAYER;
    let element = 1;
    assert_eq!(
        use_all(&bytes),
        Err(ModelError::BadNumber { section, element })
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..Default::default() })]

    #[test]
    fn random_bytes_are_no_model(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(use_all(&bytes).is_err());
    }

    #[test]
    fn random_bytes_after_a_good_header_never_panic(tail in prop::collection::vec(any::<u8>(), 0..2000), keep in 0..TABLE_END) {
        let mut bytes = small_blob(WeightType::Int8).bytes()[..keep.max(HEADER_BYTES)].to_vec();
        bytes.extend(tail);
        repair(&mut bytes);
        prop_assert!(use_all(&bytes).is_err());
    }

    #[test]
    fn several_changes_behind_a_right_checksum_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        in_table: bool,
        blob in prop::sample::select(blobs()),
    ) {
        let mut bytes = blob.bytes().to_vec();
        let end = if in_table { table_end(&blob) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[at.index(end)] = byte;
        }
        bytes[..8].copy_from_slice(&blob.bytes()[..8]);
        repair(&mut bytes);
        let _ = use_all(&bytes);
    }
}
