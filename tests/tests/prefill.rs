//! Prefill in blocks is stepping, bit for bit: logits and state, in both contracts and for all weights.
#![allow(missing_docs)]

use proptest::prelude::*;
use toeplite::{MemoryError, PrefillError, StepError, fixed};
use toeplite_tests::{checkpoint, modal, small_blob, small_config, small_fixed_blob};
use toeplite_tools::blob::{Blob, SessionMemory, Storage, Target, WeightType, write};

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

/// Three layers: long taps, a bit of everything, and longer taps, of which FFTs of two sizes are made.
fn long_blob(weights: WeightType) -> Blob {
    let mut config = small_config();
    config.layers = 3;
    let layers = [[130, 0, 0], [3, 1, 2], [300, 0, 0]];
    let layers = layers.map(|counts| modal(10, counts, false, counts[0] as u64));
    write(&checkpoint(config, 1), &layers, weights).unwrap()
}

/// The largest difference of two vectors, in units of the largest number of one.
fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = b.iter().fold(0.0, |most: f32, x| most.max(x.abs()));
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, f32::max) / largest
}

/// The largest difference of logits between steps and FFTs: after the prompt and after each of some more steps.
fn difference_by_fft(weights: WeightType, tokens: usize, block: usize) -> f32 {
    let blob = long_blob(weights);
    let model = blob.model().unwrap();
    let memory = || SessionMemory::for_model(&model);
    let (mut a, mut b) = (memory(), memory());
    let mut stepped = model.session(a.as_mut_slice()).unwrap();
    let mut filled = model.session(b.as_mut_slice()).unwrap();
    let prompt: Vec<u32> = (0..tokens as u32).map(|i| i * i % 37 % 11).collect();
    for before in [1u32, 9, 4] {
        stepped.step(before).unwrap();
        filled.step(before).unwrap();
    }
    let mut workspace = SessionMemory::of_bytes(model.prefill_by_fft_memory_needed(block));
    workspace.as_mut_slice().fill(0xA5);
    let logits = filled
        .prefill_by_fft(&prompt, workspace.as_mut_slice())
        .unwrap();
    let mut most = difference(logits, stepped.prefill(prompt).unwrap());
    // no FFT comes before the inputs of the first layer: the block that is visited next, and those inputs
    let [filled_state, stepped_state] = [&filled, &stepped].map(|session| {
        let mut snapshot = vec![0; session.snapshot_bytes()];
        session.save(&mut snapshot).unwrap();
        let words = (130 + 8 + 300) * 4 * 3;
        let start = snapshot.len() - 4 * (words + 1);
        snapshot[start..][..4 * (1 + 130 * 4 * 3)].to_vec()
    });
    assert_eq!(filled_state, stepped_state);
    for i in 0..400u32 {
        let token = i * 5 % 11;
        let step = difference(filled.step(token).unwrap(), stepped.step(token).unwrap());
        most = most.max(step);
    }
    most
}

#[test]
fn ffts_give_the_logits_of_steps_within_rounding() {
    // blocks whose last tokens are again enough for FFTs, and too few
    for (tokens, block) in [(700, 700), (700, 320), (333, 200), (128, 128)] {
        let found = difference_by_fft(WeightType::F32, tokens, block);
        assert!(0.0 < found && found < 1e-4, "{tokens} {block}: {found:e}");
        eprintln!(
            "{tokens} {block} {found:e} {:e}",
            difference_by_fft(WeightType::Int8, tokens, block)
        );
    }
}

#[test]
fn without_long_kernels_or_tokens_enough_ffts_are_not_taken() {
    let same = |blob: Blob, tokens: usize| {
        let model = blob.model().unwrap();
        let memory = || SessionMemory::for_model(&model);
        let (mut a, mut b) = (memory(), memory());
        let mut by_fft = model.session(a.as_mut_slice()).unwrap();
        let mut in_blocks = model.session(b.as_mut_slice()).unwrap();
        let prompt: Vec<u32> = (0..tokens as u32).map(|i| i % 11).collect();
        let mut workspace = SessionMemory::of_bytes(model.prefill_by_fft_memory_needed(tokens));
        let workspace = workspace.as_mut_slice();
        let logits = by_fft.prefill_by_fft(&prompt, workspace).unwrap();
        let expected = in_blocks.prefill_in_blocks(&prompt, workspace).unwrap();
        assert_eq!(logits, expected);
        assert_eq!(by_fft.step(3u32), in_blocks.step(3u32));
    };
    same(small_blob(WeightType::Int8), 300);
    same(long_blob(WeightType::F32), 60);
}

#[test]
fn faults_of_ffts_are_those_of_blocks() {
    let blob = long_blob(WeightType::F32);
    let model = blob.model().unwrap();
    let mut memory = SessionMemory::for_model(&model);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let needed = model.prefill_by_fft_memory_needed(2);
    let shape = model.shape();
    assert_eq!(
        model.prefill_by_fft_memory_needed(200) - needed,
        198 * 4 * (shape.dim + 2 * shape.channels + 2)
    );
    let mut words = vec![0u128; needed.div_ceil(16)];
    let bytes = bytemuck::cast_slice_mut::<u128, u8>(&mut words);
    let found = needed - 1;
    let error = session.prefill_by_fft(b"\x01\x02", &mut bytes[..found]);
    let too_small = MemoryError::TooSmall { needed, found };
    assert_eq!(error, Err(PrefillError::Workspace(too_small)));
    assert!(too_small.to_string().contains(&needed.to_string()));
    let error = session.prefill_by_fft::<u8>(&[], bytes);
    assert_eq!(error, Err(PrefillError::Step(StepError::NoTokens)));
    let error = session.prefill_by_fft(&[1u32, 2, 3, 11], bytes);
    let (token, vocabulary) = (11, 11);
    let unknown = StepError::UnknownToken { token, vocabulary };
    assert_eq!(error, Err(PrefillError::Step(unknown)));
}
