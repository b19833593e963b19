//! Bidirectional models over a window: against the dense reference, against stepping, and what is refused.
#![allow(missing_docs)]

mod masked;

use ndarray::{Array2, s};
use proptest::prelude::*;
use proptest::sample::select;
use toeplite::{MemoryError, Model, ModelError, StepError, WindowError, window};
use toeplite_tests::{
    WINDOW, checkpoint, modal, small_blob, small_config, small_masked_config, small_window_blob,
    window_blob,
};
use toeplite_tools::blob::{
    self, SessionMemory, Storage, Target, WeightType, WriteError, nearest, write, write_fixed,
    write_window,
};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::checkpoint::config::{Norm, NormPosition, Task};
use toeplite_tools::convert::network::{backward_kernels, operators, trained_kernels};
use toeplite_tools::convert::{Method, Modal, convert_layers};
use toeplite_tools::reference::mix::DenseMix;
use toeplite_tools::reference::recurrence::{ModalMix, TwoSidedMix};
use toeplite_tools::reference::{Network, evaluate::argmax};
use toeplite_tools::stream;

/// Matrices as they can be stored.
fn storages() -> impl Iterator<Item = Storage> {
    use WeightType::{F32, Int4, Int8};
    let targets = [Target::Portable, Target::M4];
    targets
        .into_iter()
        .flat_map(|target| [F32, Int8, Int4].map(|weights| Storage { weights, target }))
}

/// A recurrence whose kernel is zero.
fn nothing() -> Modal {
    Modal::from_taps(Array2::zeros((0, 10)))
}

fn window_logits(blob: &blob::Blob, tokens: &[u32]) -> Array2<f32> {
    let model = window::Model::from_bytes(blob.bytes()).unwrap();
    stream::logits(&model, tokens).unwrap()
}

fn sizes() -> impl Strategy<Value = [[usize; 3]; 2]> {
    let size = || [0usize..5, 0usize..4, 0usize..4];
    [size(), size()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 40, ..Default::default() })]

    #[test]
    fn without_a_backward_recurrence_a_window_is_stepping_bit_for_bit(
        sizes in sizes(),
        decay: bool,
        seed: u64,
        tokens in prop::collection::vec(0u32..11, 1..=30),
    ) {
        let forward = [1, 2].map(|i| modal(10, sizes[i - 1], decay, seed ^ i as u64));
        let backward = [nothing(), nothing()];
        for storage in storages() {
            let masked = checkpoint(small_masked_config(), seed);
            let windowed = window_blob(&masked, [&forward, &backward], 30, storage);
            let causal = checkpoint(small_config(), seed);
            let stepped = write(&causal, &forward, storage).unwrap();
            let stepped = stream::logits(&stepped.model().unwrap(), &tokens).unwrap();
            let bits = |logits: Array2<f32>| logits.mapv(f32::to_bits);
            prop_assert_eq!(bits(window_logits(&windowed, &tokens)), bits(stepped));
        }
    }

    /// A backward recurrence is a forward one over the reversed window that begins a lag later.
    #[test]
    fn without_a_forward_recurrence_a_window_is_stepping_from_its_end(
        sizes in sizes(),
        decay: bool,
        seed: u64,
        tokens in prop::collection::vec(0u32..11, 1..=30),
    ) {
        let backward = [1, 2].map(|i| modal(10, sizes[i - 1], decay, seed ^ i as u64));
        let forward = [nothing(), nothing()];
        let later = backward.clone().map(|mut modal| {
            let mut taps = Array2::zeros((modal.fir_len() + 1, 10));
            taps.slice_mut(s![1.., ..]).assign(&modal.taps);
            modal.taps = taps;
            modal
        });
        let reversed: Vec<u32> = tokens.iter().rev().copied().collect();
        for storage in storages() {
            let masked = checkpoint(small_masked_config(), seed);
            let windowed = window_blob(&masked, [&forward, &backward], 30, storage);
            let causal = checkpoint(small_config(), seed);
            let stepped = write(&causal, &later, storage).unwrap();
            let stepped = stream::logits(&stepped.model().unwrap(), &reversed).unwrap();
            prop_assert_eq!(window_logits(&windowed, &tokens), stepped.slice(s![..;-1, ..]));
        }
    }

    #[test]
    fn both_recurrences_are_the_reference_in_f64(
        norm in select(vec![Norm::SimpleRmsNorm, Norm::GatedRmsNorm, Norm::LayerNorm, Norm::ScaleNorm]),
        position in select(vec![NormPosition::Pre, NormPosition::PostBranch, NormPosition::PostResidual]),
        (gtu_norm, tied, decay) in (any::<bool>(), any::<bool>(), any::<bool>()),
        (forward, backward) in (sizes(), sizes()),
        seed: u64,
        tokens in prop::collection::vec(0u32..11, 1..=40),
    ) {
        let mut config = small_masked_config();
        (config.norm, config.norm_position) = (norm, Some(position));
        (config.gtu_norm, config.tie_embeddings) = (gtu_norm, tied);
        let checkpoint = checkpoint(config, seed);
        let recurrence = |size, i| modal(10, size, decay, seed ^ i).to_f32_safe();
        let forward = [recurrence(forward[0], 1), recurrence(forward[1], 2)];
        let backward = [recurrence(backward[0], 3), recurrence(backward[1], 4)];
        let mix = |layers: &[Modal]| ModalMix::<f64>::new(layers).unwrap();
        let mix = TwoSidedMix::new(mix(&forward), mix(&backward)).unwrap();
        let network = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
        let expected = network.forward(&tokens, &mix).unwrap();
        let scale = expected.iter().fold(1f64, |m, x| m.max(x.abs()));
        let blob = window_blob(&checkpoint, [&forward, &backward], 40, WeightType::F32);
        let found = window_logits(&blob, &tokens);
        for (a, b) in found.iter().zip(&expected) {
            prop_assert!((f64::from(*a) - b).abs() < 1e-3 * scale, "{a} {b} of {scale}");
        }
    }
}

/// Both directions of a bidirectional checkpoint, converted.
fn converted(checkpoint: &Checkpoint, window: usize, method: &Method) -> [Vec<Modal>; 2] {
    let operators = operators(checkpoint).unwrap();
    let sides = [
        trained_kernels(&operators, window),
        backward_kernels(&operators, window),
    ];
    sides.map(|kernels| {
        let layers = convert_layers(&kernels, method).unwrap();
        layers.into_iter().map(|layer| layer.modal).collect()
    })
}

/// Logits of the trained network, its kernels applied term by term.
fn dense(checkpoint: &Checkpoint, tokens: &[u32]) -> Array2<f64> {
    let network = Network::<f64>::from_checkpoint(checkpoint).unwrap();
    let mix = DenseMix::new(network.kernels());
    network.forward(tokens, &mix).unwrap()
}

/// Largest difference, relative to the largest logit.
fn error(found: &Array2<f32>, expected: &Array2<f64>) -> f64 {
    assert_eq!(found.dim(), expected.dim());
    let size = |m: f64, x: f64| m.max(x.abs());
    let differences = found.iter().zip(expected).map(|(a, b)| f64::from(*a) - b);
    differences.fold(0.0, size) / expected.iter().copied().fold(0.0, size)
}

#[test]
fn converted_windows_give_the_logits_of_the_dense_network() {
    let all: Vec<u32> = (0..24).map(|i| i * i % 11).collect();
    for norm in [
        Norm::SimpleRmsNorm,
        Norm::RmsNorm,
        Norm::LayerNorm,
        Norm::None,
    ] {
        let config = toeplite_tools::checkpoint::Config {
            norm,
            ..small_masked_config()
        };
        let checkpoint = checkpoint(config, 7);
        // all lags that there are, then the few states that the tolerance needs
        for (method, bound) in [(Method::Fir { taps: 24 }, 2e-5), (Method::default(), 2e-2)] {
            let [forward, backward] = converted(&checkpoint, 24, &method);
            let blob = window_blob(&checkpoint, [&forward, &backward], 24, WeightType::F32);
            for tokens in [1, 2, 3, 7, 24].map(|n| &all[..n]) {
                let expected = dense(&checkpoint, tokens);
                let error = error(&window_logits(&blob, tokens), &expected);
                assert!(
                    error < bound,
                    "{norm:?} {method:?} {}: {error:e}",
                    tokens.len()
                );
            }
        }
    }
}

#[test]
fn integer_weights_stay_near_the_dense_network() {
    let checkpoint = checkpoint(small_masked_config(), 7);
    let [forward, backward] = converted(&checkpoint, 24, &Method::default());
    let tokens: Vec<u32> = (0..24).map(|i| i * i % 11).collect();
    let expected = dense(&checkpoint, &tokens);
    for (weights, bound) in [(WeightType::Int8, 0.05), (WeightType::Int4, 0.4)] {
        let blob = window_blob(&checkpoint, [&forward, &backward], 24, weights);
        let found = window_logits(&blob, &tokens);
        let error = error(&found, &expected);
        assert!(error < bound, "{weights:?}: {error:e}");
        let best = |row: ndarray::ArrayView1<f32>| argmax(row);
        let rows = found.rows().into_iter().zip(expected.rows());
        let agreeing = rows.filter(|(a, b)| best(*a) == best(b.mapv(|x| x as f32).view()));
        assert!(agreeing.count() >= 18, "{weights:?}");
    }
}

#[test]
fn a_run_forgets_what_was_run_before_it() {
    let blob = small_window_blob(WeightType::Int8);
    let model = window::Model::from_bytes(blob.bytes()).unwrap();
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    memory.as_mut_slice().fill(0xA5);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    session.self_test().unwrap();
    assert_eq!(session.tokens(), 0);
    let tokens: Vec<u32> = (0..WINDOW as u32).map(|i| i * 7 % 11).collect();
    let hashes = |session: &mut window::Session<'_, '_>| {
        [1, 2, 3, 7, WINDOW].map(|n| session.hash_run(&tokens[..n]).unwrap())
    };
    let first = hashes(&mut session);
    assert_eq!(session.tokens(), WINDOW);
    assert_eq!(hashes(&mut session), first);
    // positions in any order, a position twice
    let at = |session: &mut window::Session<'_, '_>, i| session.logits(i).unwrap().to_vec();
    let last = at(&mut session, WINDOW - 1);
    assert_ne!(at(&mut session, 0), last);
    assert_eq!(at(&mut session, WINDOW - 1), last);
}

#[test]
fn memory_is_what_the_docs_say() {
    let bytes = |window| {
        let checkpoint = checkpoint(small_masked_config(), 1);
        let recurrences = [modal(10, [3, 1, 2], true, 2), nothing()];
        let both = [&recurrences[..], &recurrences[..]];
        let blob = window_blob(&checkpoint, both, window, WeightType::F32);
        let model = window::Model::from_bytes(blob.bytes()).unwrap();
        model.memory_needed()
    };
    // residual stream, u, v and a column's place
    assert_eq!(bytes(30) - bytes(10), 20 * 4 * (6 + 2 * 10 + 16));
    // two tokens' branch and work, in which the larger of u, v, y and the halves of the GLU; states of 16 channels
    assert_eq!(bytes(1), 4 * (42 + 2 * (6 + 30) + 16 * 8));
}

#[test]
fn faults_are_typed_and_leave_no_logits() {
    let blob = small_window_blob(WeightType::Int8);
    let model = window::Model::from_bytes(blob.bytes()).unwrap();
    let needed = model.memory_needed();
    let mut memory = SessionMemory::of_bytes(needed + 16);
    let found = needed - 1;
    let error = model.session(&mut memory.as_mut_slice()[..found]);
    let too_small = MemoryError::TooSmall { needed, found };
    assert_eq!(error.map(|_| ()), Err(too_small));
    let error = model.session(&mut memory.as_mut_slice()[4..]);
    let misaligned = MemoryError::Misaligned { remainder: 4 };
    assert_eq!(error.map(|_| ()), Err(misaligned));

    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let none = |tokens| WindowError::NoPosition {
        position: 0,
        tokens,
    };
    assert_eq!(session.logits(0), Err(none(0)));
    let too_long = WindowError::TooLong {
        tokens: WINDOW + 1,
        window: WINDOW,
    };
    let unknown = StepError::UnknownToken {
        token: 11,
        vocabulary: 11,
    };
    for (tokens, error) in [
        (Vec::<u32>::new(), StepError::NoTokens.into()),
        (vec![1; WINDOW + 1], too_long),
        (vec![1, 2, 11], unknown.into()),
    ] {
        session.run(&[1u32, 2]).unwrap();
        assert!(session.logits(1).is_ok());
        assert_eq!(session.run(&tokens), Err(error));
        assert!(!error.to_string().is_empty());
        assert_eq!(session.logits(0), Err(none(0)));
    }
    session.run(&[1u32, 2]).unwrap();
    let past = WindowError::NoPosition {
        position: 2,
        tokens: 2,
    };
    assert_eq!(session.logits(2), Err(past));
}

#[test]
fn each_kind_of_model_refuses_the_other() {
    let (causal, windowed) = (
        small_blob(WeightType::Int8),
        small_window_blob(WeightType::Int8),
    );
    let error = Model::from_bytes(windowed.bytes()).map(|_| ()).unwrap_err();
    let (found, expected) = (2, 1);
    assert_eq!(error, ModelError::UnsupportedTask { found, expected });
    assert!(error.to_string().contains("toeplite::window::Model"));
    let error = window::Model::from_bytes(causal.bytes());
    let (found, expected) = (1, 2);
    let refused = ModelError::UnsupportedTask { found, expected };
    assert_eq!(error.map(|_| ()), Err(refused));
}

#[test]
fn what_cannot_be_written_is_named() {
    let (masked, causal) = (
        checkpoint(small_masked_config(), 1),
        checkpoint(small_config(), 1),
    );
    let layers = [nothing(), nothing()];
    let write_window = |checkpoint: &Checkpoint, backward: &[Modal], window| {
        let weights = nearest(checkpoint, |_| WeightType::Int8).unwrap();
        let both = [&layers[..], backward];
        write_window(checkpoint, both, window, &weights, Target::Portable)
    };
    let refused = |result: Result<blob::Blob, WriteError>| result.unwrap_err();
    assert!(matches!(
        refused(write(&masked, &layers, WeightType::Int8)),
        WriteError::NotCausal
    ));
    assert!(matches!(
        refused(write_window(&causal, &layers, 4)),
        WriteError::Causal
    ));
    assert!(matches!(
        refused(write_window(&masked, &layers[..1], 4)),
        WriteError::Recurrences { .. }
    ));
    for window in [0, toeplite::format::MAX_DIMENSION + 1] {
        let error = refused(write_window(&masked, &layers, window));
        assert!(matches!(error, WriteError::Window { .. }), "{error}");
    }
    let error = refused(write_fixed(&masked, &layers, |_| WeightType::Int8)).to_string();
    assert!(
        error.contains("backward recurrence") && error.contains("--contract f32"),
        "{error}"
    );
    let mut odd = small_config();
    odd.task = Task::MaskedLm;
    let odd = checkpoint(odd, 1);
    assert!(matches!(
        refused(write(&odd, &layers, WeightType::Int8)),
        WriteError::Task { .. }
    ));
}
