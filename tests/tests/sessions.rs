//! What a session promises: prefill is stepping, snapshots continue, memory is exact.
#![allow(missing_docs)]

use proptest::prelude::*;
use toeplite::profile::{Probe, Stage};
use toeplite::{LogitsHash, MemoryError, Session, SnapshotError, StepError};
use toeplite_tests::{checkpoint, modal, small_blob, small_config};
use toeplite_tools::blob::{SessionMemory, WeightType, write};

fn hash(session: &mut Session<'_, '_>, tokens: &[u32]) -> u64 {
    let mut hash = LogitsHash::new();
    tokens
        .iter()
        .for_each(|t| hash.update(session.step(*t).unwrap()));
    hash.finish()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn prefill_is_stepping_bit_for_bit(tokens in prop::collection::vec(0u32..11, 1..60), quantized: bool) {
        let blob = small_blob(if quantized { WeightType::Int8 } else { WeightType::F32 });
        let model = blob.model().unwrap();
        let (mut a, mut b) = (SessionMemory::for_model(&model), SessionMemory::for_model(&model));
        let mut stepped = model.session(a.as_mut_slice()).unwrap();
        let mut filled = model.session(b.as_mut_slice()).unwrap();
        hash(&mut stepped, &tokens);
        let logits = filled.prefill(tokens.iter().copied()).unwrap().to_vec();
        prop_assert_eq!(logits.as_slice(), stepped.logits());
        prop_assert_eq!(hash(&mut filled, &[3, 1, 4]), hash(&mut stepped, &[3, 1, 4]));
    }

    #[test]
    fn a_snapshot_continues_bit_for_bit_elsewhere(before in prop::collection::vec(0u32..11, 0..40)) {
        let blob = small_blob(WeightType::Int8);
        let model = blob.model().unwrap();
        let (mut a, mut b) = (SessionMemory::for_model(&model), SessionMemory::for_model(&model));
        let mut session = model.session(a.as_mut_slice()).unwrap();
        hash(&mut session, &before);
        let mut snapshot = vec![0; session.snapshot_bytes()];
        prop_assert_eq!(session.save(&mut snapshot), Ok(snapshot.len()));
        let mut elsewhere = model.session(b.as_mut_slice()).unwrap();
        hash(&mut elsewhere, &[9, 9, 9]);
        elsewhere.restore(&snapshot).unwrap();
        prop_assert_eq!(hash(&mut elsewhere, &[1, 2, 3, 4, 5]), hash(&mut session, &[1, 2, 3, 4, 5]));
    }
}

/// Every stage is told of, in order, and listening changes no bit.
#[test]
fn a_step_with_a_probe_is_a_step() {
    struct Stages(Vec<Stage>);
    impl Probe for Stages {
        fn enter(&mut self, stage: Stage) {
            self.0.push(stage);
        }
    }
    let blob = small_blob(WeightType::Int8);
    let model = blob.model().unwrap();
    let (mut a, mut b) = (
        SessionMemory::for_model(&model),
        SessionMemory::for_model(&model),
    );
    let mut plain = model.session(a.as_mut_slice()).unwrap();
    let mut probed = model.session(b.as_mut_slice()).unwrap();
    let mut stages = Stages(Vec::new());
    for token in [1u32, 2, 3, 10] {
        stages.0.clear();
        let logits = probed.step_with(token, &mut stages).unwrap();
        assert_eq!(logits, plain.step(token).unwrap());
    }
    use Stage::{Dense, Embedding, Fir, Gates, Head, Norm, Recurrence};
    let gtu = [Norm, Dense, Gates, Fir, Recurrence, Gates, Norm, Dense];
    let layer = [&gtu[..], &[Norm, Dense, Gates, Dense, Gates, Norm]].concat();
    let expected = [&[Embedding], &layer[..], &layer, &[Norm, Head]].concat();
    assert_eq!(stages.0, expected);
    assert!(probed.step_with(11u32, &mut stages).is_err());
    assert_eq!(stages.0, expected, "a refused token has no stages");
}

#[test]
fn damaged_snapshots_are_refused_and_change_nothing() {
    let blob = small_blob(WeightType::Int8);
    let model = blob.model().unwrap();
    let (mut a, mut b) = (
        SessionMemory::for_model(&model),
        SessionMemory::for_model(&model),
    );
    let mut session = model.session(a.as_mut_slice()).unwrap();
    let mut twin = model.session(b.as_mut_slice()).unwrap();
    hash(&mut session, &[1, 2, 3]);
    hash(&mut twin, &[1, 2, 3]);
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.save(&mut snapshot).unwrap();
    for bit in 0..8 * snapshot.len() {
        let mut damaged = snapshot.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(session.restore(&damaged).is_err(), "{bit}");
    }
    let needed = snapshot.len();
    let short = SnapshotError::WrongLength {
        needed,
        found: needed - 1,
    };
    assert_eq!(session.restore(&snapshot[1..]), Err(short));
    assert_eq!(session.save(&mut snapshot[1..]), Err(short));
    assert_eq!(hash(&mut session, &[4, 5]), hash(&mut twin, &[4, 5]));

    let other = checkpoint(small_config(), 99);
    let layers = [
        modal(10, [3, 1, 2], true, 2),
        modal(10, [2, 0, 0], false, 3),
    ];
    let other = write(&other, &layers, WeightType::Int8).unwrap();
    let other = other.model().unwrap();
    let mut memory = SessionMemory::for_model(&other);
    let error = other
        .session(memory.as_mut_slice())
        .unwrap()
        .restore(&snapshot)
        .unwrap_err();
    let expected = other.identity();
    assert_eq!(
        error,
        SnapshotError::OtherModel {
            expected,
            found: model.identity()
        }
    );
}

#[test]
fn memory_is_exact_and_its_faults_are_named() {
    let blob = small_blob(WeightType::Int8);
    let model = blob.model().unwrap();
    let needed = model.memory_needed();
    let mut words = vec![0u128; needed.div_ceil(16) + 1];
    let bytes = bytemuck::cast_slice_mut::<u128, u8>(&mut words);
    assert!(model.session(&mut bytes[..needed]).is_ok());
    let found = needed - 1;
    let error = model.session(&mut bytes[..found]).map(|_| ()).unwrap_err();
    assert_eq!(error, MemoryError::TooSmall { needed, found });
    let error = model
        .session(&mut bytes[4..needed + 4])
        .map(|_| ())
        .unwrap_err();
    assert_eq!(error, MemoryError::Misaligned { remainder: 4 });
}

#[test]
fn unknown_tokens_leave_the_session_as_it_was() {
    let blob = small_blob(WeightType::F32);
    let model = blob.model().unwrap();
    let (mut a, mut b) = (
        SessionMemory::for_model(&model),
        SessionMemory::for_model(&model),
    );
    let mut session = model.session(a.as_mut_slice()).unwrap();
    let mut twin = model.session(b.as_mut_slice()).unwrap();
    let unknown = StepError::UnknownToken {
        token: 11,
        vocabulary: 11,
    };
    assert_eq!(session.step(11u32).map(|_| ()), Err(unknown));
    assert_eq!(
        session.prefill([0u8; 0]).map(|_| ()),
        Err(StepError::NoTokens)
    );
    assert_eq!(hash(&mut session, &[1, 2]), hash(&mut twin, &[1, 2]));
    assert_eq!(
        session.prefill([1u8, 2, 77]).map(|_| ()),
        Err(StepError::UnknownToken {
            token: 77,
            vocabulary: 11
        })
    );
    assert!(session.logits().iter().all(|x| *x == 0.0));
    session.reset();
    assert_eq!(session.self_test(), Ok(()));
}
