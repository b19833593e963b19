//! Prefill in blocks is stepping, bit for bit: logits and state, in both contracts and for all weights.
#![allow(missing_docs)]

use proptest::prelude::*;
use toeplite::{MemoryError, PrefillError, StepError, fixed};
use toeplite_tests::{small_blob, small_fixed_blob};
use toeplite_tools::blob::{SessionMemory, Storage, Target, WeightType};

/// Most tokens of a block in these tests.
const MOST: usize = 9;

/// Steps through the tokens of one session and prefills another, in blocks of so many, after as many
/// steps as `$before` has. Logits and snapshots must be the same.
macro_rules! assert_same {
    ($model:expr, $before:expr, $tokens:expr, $block:expr) => {{
        let model = $model;
        let memory = || SessionMemory::of_bytes(model.memory_needed());
        let (mut a, mut b) = (memory(), memory());
        let mut stepped = model.session(a.as_mut_slice()).unwrap();
        let mut filled = model.session(b.as_mut_slice()).unwrap();
        for token in $before {
            stepped.step(*token).unwrap();
            filled.step(*token).unwrap();
        }
        for token in $tokens {
            stepped.step(*token).unwrap();
        }
        let mut workspace = SessionMemory::of_bytes(model.prefill_memory_needed($block));
        workspace.as_mut_slice().fill(0xA5);
        let logits = filled
            .prefill_in_blocks($tokens, workspace.as_mut_slice())
            .unwrap();
        assert_eq!(logits, stepped.logits());
        let snapshot = |session: &dyn Fn(&mut [u8])| {
            let mut bytes = vec![0; stepped.snapshot_bytes()];
            session(&mut bytes);
            bytes
        };
        let expected = snapshot(&|out| assert!(stepped.save(out).is_ok()));
        assert_eq!(snapshot(&|out| assert!(filled.save(out).is_ok())), expected);
        assert_eq!(filled.step(3u32), stepped.step(3u32));
    }};
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 40, ..Default::default() })]

    #[test]
    fn blocks_are_steps_bit_for_bit(
        before in prop::collection::vec(0u32..11, 0..5),
        tokens in prop::collection::vec(0u32..11, 1..30),
        block in 2..=MOST,
    ) {
        for weights in [WeightType::F32, WeightType::Int8, WeightType::Int4] {
            for target in [Target::Portable, Target::M4] {
                let blob = small_blob(Storage { weights, target });
                assert_same!(blob.model().unwrap(), &before, &tokens, block);
            }
        }
        for weights in [WeightType::Int8, WeightType::Int4] {
            let blob = small_fixed_blob(weights);
            assert_same!(fixed::Model::from_bytes(blob.bytes()).unwrap(), &before, &tokens, block);
        }
    }
}

/// At every length up to two blocks and one more: the last block has one token, an odd number, all.
#[test]
fn every_length_ends_in_the_same_state() {
    let tokens: Vec<u32> = (0..2 * MOST as u32 + 1).map(|i| i * 7 % 11).collect();
    let blob = small_blob(WeightType::Int8);
    for length in 1..=tokens.len() {
        for block in 2..=MOST {
            assert_same!(blob.model().unwrap(), &[5u32; 2], &tokens[..length], block);
        }
    }
}

#[test]
fn faults_are_those_of_prefill_or_name_the_workspace() {
    let blob = small_blob(WeightType::Int8);
    let model = blob.model().unwrap();
    let memory = || SessionMemory::for_model(&model);
    let (mut a, mut b) = (memory(), memory());
    let mut session = model.session(a.as_mut_slice()).unwrap();
    let mut twin = model.session(b.as_mut_slice()).unwrap();
    let needed = model.prefill_memory_needed(2);
    assert_eq!(needed, model.prefill_memory_needed(1));
    assert_eq!(
        model.prefill_memory_needed(5) - needed,
        3 * 4 * model.shape().dim
    );
    let mut words = vec![0u128; needed.div_ceil(16) + 1];
    let bytes = bytemuck::cast_slice_mut::<u128, u8>(&mut words);

    let found = needed - 1;
    let error = session
        .prefill_in_blocks(b"\x01\x02", &mut bytes[..found])
        .unwrap_err();
    let too_small = MemoryError::TooSmall { needed, found };
    assert_eq!(error, PrefillError::Workspace(too_small));
    assert!(error.to_string().contains(&needed.to_string()));
    let error = session.prefill_in_blocks(b"\x01\x02", &mut bytes[4..needed + 4]);
    let misaligned = MemoryError::Misaligned { remainder: 4 };
    assert_eq!(error, Err(PrefillError::Workspace(misaligned)));
    let error = session.prefill_in_blocks::<u8>(&[], bytes);
    assert_eq!(error, Err(PrefillError::Step(StepError::NoTokens)));
    assert_eq!(session.step(1u8), twin.step(1u8), "nothing has changed");

    // the tokens before the unknown one are taken, in this block and in those before
    for unknown in [0, 1, 2, 3, 6] {
        let mut tokens = [1u32, 2, 3, 4, 5, 6, 7];
        tokens[unknown] = 11;
        let expected = twin.prefill(tokens).map(|_| ()).unwrap_err();
        let error = session.prefill_in_blocks(&tokens, bytes).map(|_| ());
        assert_eq!(error, Err(PrefillError::Step(expected)));
        assert!(session.logits().iter().all(|x| *x == 0.0));
        assert_eq!(session.step(1u8), twin.step(1u8));
    }
}
