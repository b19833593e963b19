//! The contract `fixed`: what its sessions promise, what hostile blobs can do to them, and how far
//! their logits are from those of floats.
#![allow(missing_docs)]

use proptest::prelude::*;
use proptest::sample::select;
use std::path::Path;
use toeplite::classifier::Input;
use toeplite::fixed::{Model, classifier};
use toeplite::format::{CLASSIFIER, ENTRY_BYTES, GLOBALS, HEADER_BYTES, PER_LAYER, crc32, offset};
use toeplite::{LogitsHash, ModelError, SnapshotError, StepError};
use toeplite_tests::{
    checkpoint, modal, small_config, small_fixed_blob, small_fixed_classifier_blob,
};
use toeplite_tools::blob::{AnyModel, Blob, SessionMemory, WeightType, WriteError};
use toeplite_tools::blob::{write, write_fixed};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::checkpoint::config::{Activation, Norm, NormPosition, Pooling};
use toeplite_tools::compare::compare;
use toeplite_tools::convert::network::{operators, trained_kernels};
use toeplite_tools::convert::{Method, convert_layers};
use toeplite_tools::reference::Network;
use toeplite_tools::stream;

const TABLE_END: usize = HEADER_BYTES + ENTRY_BYTES * (GLOBALS + 2 * PER_LAYER);

fn table_end(blob: &Blob) -> usize {
    match blob.any().unwrap().is_classifier() {
        true => TABLE_END + ENTRY_BYTES * CLASSIFIER,
        false => TABLE_END,
    }
}

/// As weights can be stored.
const STORED: [WeightType; 2] = [WeightType::Int8, WeightType::Int4];

fn model(blob: &Blob) -> Model<'_> {
    Model::from_bytes(blob.bytes()).unwrap()
}

fn memory(model: &Model<'_>) -> SessionMemory {
    SessionMemory::of_bytes(model.memory_needed())
}

fn hash(session: &mut toeplite::fixed::Session<'_, '_>, tokens: &[u32]) -> u64 {
    let mut hash = LogitsHash::new();
    tokens
        .iter()
        .for_each(|t| hash.update_fixed(session.step(*t).unwrap()));
    hash.finish()
}

fn repair(bytes: &mut [u8]) {
    if bytes.len() >= HEADER_BYTES {
        let length = (bytes.len() as u32).to_le_bytes();
        bytes[offset::LENGTH..][..4].copy_from_slice(&length);
        let crc = crc32(&bytes[offset::TASK..]).to_le_bytes();
        bytes[offset::CRC..][..4].copy_from_slice(&crc);
    }
}

/// Reads the bytes as a model and, if they are one, uses all of it. These tests have overflow checks.
fn use_all(bytes: &[u8]) -> Result<(), ModelError> {
    let blob = Blob::from_bytes(bytes);
    let model = match blob.any()? {
        AnyModel::Fixed(model) => model,
        AnyModel::FixedClassifier(model) => {
            use_classifier(&model);
            return Ok(());
        }
        _ => unreachable!("no changes make a model of floats of one of integers"),
    };
    assert!(model.memory_needed() <= 8 * bytes.len() + 4096);
    let mut memory = memory(&model);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let _ = session.self_test();
    let vocabulary = model.vocab_size() as u32;
    for token in 0..20 {
        session.step(token % vocabulary).unwrap();
    }
    assert!(session.step(vocabulary).is_err());
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.save(&mut snapshot).unwrap();
    session.restore(&snapshot).unwrap();
    Ok(())
}

fn use_classifier(model: &classifier::Model<'_>) {
    assert!(model.memory_needed() <= 8 * model.blob_bytes() + 4096);
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    let _ = session.self_test();
    for i in 0..20 {
        match model.input() {
            Input::Tokens { vocabulary } => session.push(i % vocabulary as u32).unwrap(),
            Input::Frames { numbers } => {
                let loud = [i32::MIN, i32::MAX, -999, 4096];
                let at = |k: usize| loud[(k + i as usize) % loud.len()];
                let frame: Vec<i32> = (0..numbers).map(at).collect();
                session.push_frame(&frame).unwrap();
            }
        }
        session.logits();
    }
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.save(&mut snapshot).unwrap();
    session.restore(&snapshot).unwrap();
}

/// A language model, and a classifier.
fn blobs(weights: WeightType) -> [Blob; 2] {
    let (frame, pooling) = match weights {
        WeightType::Int4 => (None, Pooling::Last),
        _ => (Some(7), Pooling::Mean),
    };
    let classifier = small_fixed_classifier_blob(frame, pooling, weights);
    [small_fixed_blob(weights), classifier]
}

#[test]
fn every_truncation_and_every_flipped_bit_is_an_error() {
    for blob in STORED.map(blobs).as_flattened() {
        truncated_and_flipped(blob);
    }
}

fn truncated_and_flipped(blob: &Blob) {
    for len in 0..blob.bytes().len() {
        let mut cut = blob.bytes()[..len].to_vec();
        assert!(use_all(&cut).is_err(), "{len}");
        repair(&mut cut);
        assert!(use_all(&cut).is_err(), "{len}, repaired");
    }
    for bit in 0..8 * blob.bytes().len() {
        let mut bytes = blob.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(use_all(&bytes).is_err());
    }
}

#[test]
fn every_flipped_bit_behind_a_right_checksum_is_an_error_or_runs() {
    for blob in STORED.map(blobs).as_flattened() {
        flipped_behind_a_right_checksum(blob);
    }
}

fn flipped_behind_a_right_checksum(blob: &Blob) {
    let mut refused = 0;
    for bit in 8 * offset::TASK..8 * blob.bytes().len() {
        let mut bytes = blob.bytes().to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        repair(&mut bytes);
        let error = use_all(&bytes).is_err();
        refused += usize::from(error && bit < 8 * TABLE_END);
    }
    assert!(
        refused > 7 * 8 * (TABLE_END - offset::TASK) / 8 - 200,
        "{refused}"
    );
}

#[test]
fn the_contracts_are_told_apart_by_name() {
    let fixed = small_fixed_blob(WeightType::Int8);
    let error = toeplite::Model::from_bytes(fixed.bytes())
        .map(|_| ())
        .unwrap_err();
    let (found, expected) = (2, 1);
    assert_eq!(error, ModelError::UnsupportedContract { found, expected });
    assert!(error.to_string().contains("toeplite::fixed::Model"));
    let floats = toeplite_tests::small_blob(WeightType::Int8);
    let error = Model::from_bytes(floats.bytes()).map(|_| ()).unwrap_err();
    let (found, expected) = (1, 2);
    assert_eq!(error, ModelError::UnsupportedContract { found, expected });
    assert_eq!(fixed.any().unwrap().contract(), "fixed");
    assert_eq!(floats.any().unwrap().contract(), "f32");
}

/// A pole outside the unit circle, or one whose states could leave their 31 bits.
#[test]
fn unstable_poles_are_refused() {
    let good = small_fixed_blob(WeightType::Int8);
    let mode = model(&good).layer(0).recurrence.mode(0).unwrap();
    let record: Vec<u8> = [mode.re, mode.im, mode.low as i32, mode.down as i32]
        .iter()
        .flat_map(|x| (*x as i16).to_le_bytes())
        .collect();
    let at = good.bytes().windows(8).position(|w| w == record).unwrap();
    for (field, value) in [
        (0, 1i16),
        (0, -32_768),
        (1, 1),
        (2, 31),
        (3, -1),
        (4, 15),
        (5, 0),
    ] {
        let mut bytes = good.bytes().to_vec();
        bytes[at + 2 * field..][..2].copy_from_slice(&value.to_le_bytes());
        repair(&mut bytes);
        assert!(
            matches!(use_all(&bytes), Err(ModelError::BadNumber { .. })),
            "{field} {value}"
        );
    }
}

#[test]
fn damaged_snapshots_are_refused_and_change_nothing() {
    let blob = small_fixed_blob(WeightType::Int8);
    let model = model(&blob);
    let (mut a, mut b) = (memory(&model), memory(&model));
    let mut session = model.session(a.as_mut_slice()).unwrap();
    let mut twin = model.session(b.as_mut_slice()).unwrap();
    assert_eq!(hash(&mut session, &[1, 2, 3]), hash(&mut twin, &[1, 2, 3]));
    let mut snapshot = vec![0; session.snapshot_bytes()];
    session.save(&mut snapshot).unwrap();
    for bit in 0..8 * snapshot.len() {
        let mut damaged = snapshot.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(session.restore(&damaged).is_err(), "{bit}");
    }
    // a right checksum over states that no session can reach, and a row that the ring does not have
    for (word, value) in [(4, i32::MAX), (4, i32::MIN), (0, 3), (1, 9)] {
        let mut hostile = snapshot.clone();
        hostile[16 + 4 * word..][..4].copy_from_slice(&value.to_le_bytes());
        let crc = crc32(&hostile[16..]).to_le_bytes();
        hostile[12..16].copy_from_slice(&crc);
        assert_eq!(session.restore(&hostile), Err(SnapshotError::Corrupt));
    }
    assert_eq!(hash(&mut session, &[4, 5]), hash(&mut twin, &[4, 5]));
}

#[test]
fn unknown_tokens_leave_the_session_as_it_was() {
    let blob = small_fixed_blob(WeightType::Int8);
    let model = model(&blob);
    let (mut a, mut b) = (memory(&model), memory(&model));
    let mut session = model.session(a.as_mut_slice()).unwrap();
    let mut twin = model.session(b.as_mut_slice()).unwrap();
    let (token, vocabulary) = (11, 11);
    let unknown = StepError::UnknownToken { token, vocabulary };
    assert_eq!(session.step(11u32).map(|_| ()), Err(unknown));
    assert_eq!(
        session.prefill([0u8; 0]).map(|_| ()),
        Err(StepError::NoTokens)
    );
    assert_eq!(hash(&mut session, &[1, 2]), hash(&mut twin, &[1, 2]));
    session.reset();
    assert_eq!(session.self_test(), Ok(()));
}

#[test]
fn what_the_contract_lacks_is_named() {
    let layers = [
        modal(10, [1, 1, 0], false, 2),
        modal(10, [2, 0, 0], false, 3),
    ];
    let refusal = |change: &dyn Fn(&mut toeplite_tools::checkpoint::Config)| {
        let mut config = small_config();
        change(&mut config);
        let refused = write_fixed(&checkpoint(config, 1), &layers, |_| WeightType::Int8);
        let error = refused.map(|_| ()).unwrap_err();
        assert!(matches!(error, WriteError::NotInFixed { .. }), "{error}");
        error.to_string()
    };
    assert!(refusal(&|c| c.gtu_act = Activation::Exp).contains("activation Exp"));
    assert!(refusal(&|c| c.glu_act = Activation::Gelu).contains("activation Gelu"));
    assert!(refusal(&|c| c.glu_final_act = Activation::Silu).contains("GLU's output"));
    assert!(refusal(&|c| c.norm = Norm::GatedRmsNorm).contains("GatedRMSNorm"));
    let position = |c: &mut toeplite_tools::checkpoint::Config| {
        c.norm_position = Some(NormPosition::PostResidual)
    };
    assert!(refusal(&position).contains("--contract f32"));
    let floats = write_fixed(&checkpoint(small_config(), 1), &layers, |_| WeightType::F32);
    let error = floats.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("not quantized"), "{error}");
    let decaying = [
        modal(10, [1, 1, 0], true, 2),
        modal(10, [2, 0, 0], false, 3),
    ];
    let error = write_fixed(&checkpoint(small_config(), 1), &decaying, |_| {
        WeightType::Int4
    });
    assert!(
        error
            .map(|_| ())
            .unwrap_err()
            .to_string()
            .contains("layer 0")
    );
}

fn bundled(name: &str) -> Checkpoint {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../firmware-examples/checkpoints");
    Checkpoint::open(&folder.join(name)).unwrap()
}

/// The bar is .5% bits per byte, the aim .2%.
#[test]
fn bundled_checkpoints_keep_their_bits_per_byte() {
    for name in ["shakespeare-64x9", "shakespeare-32x2"] {
        let checkpoint = bundled(name);
        let operators = operators(&checkpoint).unwrap();
        let kernels = trained_kernels(&operators, checkpoint.config.train_len);
        let layers = convert_layers(&kernels, &Method::default()).unwrap();
        let layers: Vec<_> = layers.into_iter().map(|layer| layer.modal).collect();
        let blobs = STORED.map(|weights| write_fixed(&checkpoint, &layers, |_| weights).unwrap());
        let floats = write(&checkpoint, &layers, WeightType::Int4).unwrap();
        let text = "../firmware-examples/checkpoints/shakespeare-64x9/val.txt";
        let text = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(text)).unwrap();
        let tokens: Vec<u32> = text[..16_385].iter().map(|b| u32::from(*b)).collect();
        let network = Network::<f32>::from_checkpoint(&checkpoint).unwrap();
        let bits = |blob: &Blob| {
            let model = blob.any().unwrap();
            let compared = compare(&network, model, &tokens, 512, |_| ()).unwrap();
            compared.bits_per_byte.unwrap()
        };
        let [int8, int4] = blobs.each_ref().map(bits);
        assert!(int8.blob / int8.fft < 1.003, "{name}: {int8:?}");
        assert!(
            (int8.recurrence / int8.fft - 1.0).abs() < 0.002,
            "{name}: {int8:?}"
        );
        // four bits cost what they cost in floats
        let floats = bits(&floats).blob;
        assert!(
            (int4.blob / floats - 1.0).abs() < 0.005,
            "{name}: {int4:?} {floats}"
        );
    }
}

fn settings(cases: u32) -> ProptestConfig {
    ProptestConfig {
        cases,
        failure_persistence: None,
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(settings(256))]

    #[test]
    fn prefill_is_stepping_bit_for_bit(weights in select(STORED.to_vec()), tokens in prop::collection::vec(0u32..11, 1..60)) {
        let blob = small_fixed_blob(weights);
        let model = model(&blob);
        let (mut a, mut b) = (memory(&model), memory(&model));
        let mut stepped = model.session(a.as_mut_slice()).unwrap();
        let mut filled = model.session(b.as_mut_slice()).unwrap();
        hash(&mut stepped, &tokens);
        let logits = filled.prefill(tokens.iter().copied()).unwrap().to_vec();
        prop_assert_eq!(logits.as_slice(), stepped.logits());
        prop_assert_eq!(hash(&mut filled, &[3, 1, 4]), hash(&mut stepped, &[3, 1, 4]));
    }

    #[test]
    fn a_snapshot_continues_bit_for_bit_elsewhere(weights in select(STORED.to_vec()), before in prop::collection::vec(0u32..11, 0..40)) {
        let blob = small_fixed_blob(weights);
        let model = model(&blob);
        let (mut a, mut b) = (memory(&model), memory(&model));
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

proptest! {
    #![proptest_config(settings(2000))]

    #[test]
    fn several_changes_behind_a_right_checksum_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12),
        weights in select(STORED.to_vec()),
        (in_table, classifies) in (any::<bool>(), any::<bool>()),
    ) {
        let [language_model, listener] = blobs(weights);
        let good = if classifies { listener } else { language_model };
        let mut bytes = good.bytes().to_vec();
        let end = if in_table { table_end(&good) } else { bytes.len() };
        for (at, byte) in changes {
            bytes[at.index(end)] = byte;
        }
        bytes[..8].copy_from_slice(&good.bytes()[..8]);
        repair(&mut bytes);
        let _ = use_all(&bytes);
    }

    /// Weights, multipliers and biases at their extremes: overflow checks are on.
    #[test]
    fn extreme_weights_do_not_overflow(weights in select(STORED.to_vec()), classifies: bool, start in any::<prop::sample::Index>(), length in 1usize..600, byte in select(vec![0x7Fu8, 0xFF, 0x81, 0x00])) {
        let [language_model, listener] = blobs(weights);
        let good = if classifies { listener } else { language_model };
        let mut bytes = good.bytes().to_vec();
        let table = table_end(&good);
        let start = table + start.index(bytes.len() - table);
        let end = (start + length).min(bytes.len());
        bytes[start..end].fill(byte);
        repair(&mut bytes);
        let _ = use_all(&bytes);
    }
}

fn norms() -> impl Strategy<Value = Norm> {
    use Norm::*;
    select(vec![SimpleRmsNorm, RmsNorm, ScaleNorm, LayerNorm])
}

fn activations() -> impl Strategy<Value = Activation> {
    use Activation::*;
    select(vec![
        Silu, Relu, Elu, Sigmoid, LeakyRelu, OnePlusElu, TwoPlusElu, None,
    ])
}

proptest! {
    #![proptest_config(settings(200))]

    /// The f32 contract's int8 weights and activations are as coarse: what fixed adds must not show.
    #[test]
    fn logits_are_near_those_of_floats(
        (norm, final_norm) in (norms(), norms()),
        (gtu_act, glu_act) in (activations(), activations()),
        (gtu_norm, bias, tied) in (any::<bool>(), any::<bool>(), any::<bool>()),
        sizes in ([0usize..5, 0usize..4, 0usize..4], [0usize..5, 0usize..4, 0usize..4]),
        seed: u64,
        tokens in prop::collection::vec(0u32..11, 1..40),
    ) {
        let mut config = small_config();
        (config.norm, config.final_norm) = (norm, final_norm);
        (config.gtu_act, config.glu_act) = (gtu_act, glu_act);
        (config.gtu_norm, config.bias, config.tie_embeddings) = (gtu_norm, bias, tied);
        let checkpoint = checkpoint(config, seed);
        let layers = [
            modal(10, sizes.0, false, seed ^ 1).to_f32_safe(),
            modal(10, sizes.1, false, seed ^ 2).to_f32_safe(),
        ];
        let floats = write(&checkpoint, &layers, WeightType::F32).unwrap();
        let floats = stream::logits(&floats.model().unwrap(), &tokens).unwrap();
        let fixed = write_fixed(&checkpoint, &layers, |_| WeightType::Int8).unwrap();
        let any: AnyModel<'_> = fixed.any().unwrap();
        let fixed = stream::logits(any, &tokens).unwrap();
        let square = |x: f64| x * x;
        let power: f64 = floats.iter().map(|x| square((*x).into())).sum();
        let error: f64 = floats.iter().zip(&fixed).map(|(a, b)| square(f64::from(a - b))).sum();
        prop_assert!(error < 0.01 * power, "{} of {}", error.sqrt(), power.sqrt());
    }
}
