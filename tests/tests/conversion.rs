//! What conversions of the bundled checkpoints must reach, and what imports must reproduce.
#![allow(missing_docs)]

use ndarray::Array2;
use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use toeplite_tools::blob::{Blob, Target, WeightType, WriteError, nearest, write, write_weights};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::compare::{LengthComparison, compare};
use toeplite_tools::convert::network::{operators, trained_kernels};
use toeplite_tools::convert::{LayerConversion, Method, Warning, convert_layers};
use toeplite_tools::quantize::{MatrixName, calibrate::calibrate, sampled::sampled};
use toeplite_tools::reference::{Network, recurrence::ModalMix};
use toeplite_tools::stream;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn bundled(name: &str) -> Checkpoint {
    Checkpoint::open(&repository("firmware-examples/checkpoints").join(name)).unwrap()
}

fn converted(checkpoint: &Checkpoint, method: &Method) -> Vec<LayerConversion> {
    let operators = operators(checkpoint).unwrap();
    convert_layers(
        &trained_kernels(&operators, checkpoint.config.train_len),
        method,
    )
    .unwrap()
}

fn blob(checkpoint: &Checkpoint, layers: &[LayerConversion], weights: WeightType) -> Blob {
    let recurrences: Vec<_> = layers.iter().map(|l| l.modal.clone()).collect();
    write(checkpoint, &recurrences, weights).unwrap()
}

/// Compares on the first `bytes` bytes of the validation text.
fn compared(checkpoint: &Checkpoint, blob: &Blob, bytes: usize, length: usize) -> LengthComparison {
    let text = repository("firmware-examples/checkpoints/shakespeare-64x9/val.txt");
    let tokens: Vec<u32> = std::fs::read(text).unwrap()[..bytes]
        .iter()
        .map(|b| u32::from(*b))
        .collect();
    let network = Network::<f32>::from_checkpoint(checkpoint).unwrap();
    compare(&network, &blob.model().unwrap(), &tokens, length, |_| ()).unwrap()
}

/// The bars: .05% bits per byte unquantized, .3% with int8, at most 4 taps and 20 states, and 10
/// numbers a channel and layer on average.
#[test]
fn default_conversion_keeps_the_bits_per_byte() {
    for name in ["shakespeare-64x9", "shakespeare-32x2"] {
        let checkpoint = bundled(name);
        let layers = converted(&checkpoint, &Method::default());
        for layer in &layers {
            assert!(
                layer.modal.fir_len() <= 4 && layer.modal.order() <= 20,
                "{name}: {layer:?}"
            );
        }
        let states = layers.iter().map(|l| l.modal.states_per_channel());
        assert!(states.sum::<usize>() <= 10 * layers.len(), "{name}");
        let int8 = blob(&checkpoint, &layers, WeightType::Int8);
        // length, then bytes of text: short windows need fewer to be told apart
        for (length, bytes) in [(512, 4097), (2048, 4097), (8192, 8193)] {
            let c = compared(&checkpoint, &int8, bytes, length);
            let bits = c.bits_per_byte.unwrap();
            assert!(
                (bits.recurrence / bits.fft - 1.0).abs() < 5e-4,
                "{name}: {c:?}"
            );
            assert!((bits.blob / bits.fft - 1.0).abs() < 3e-3, "{name}: {c:?}");
            assert!(c.argmax_agreement.recurrence > 0.99, "{name}: {c:?}");
        }
    }
}

/// The bits per byte with int4, calibrated on what the model itself writes: a quarter of what `convert` has it
/// write, so that luck decides a few tenths of a percent. The distributions of the next token, which know no luck,
/// are a quarter nearer than by rounding to nearest.
#[test]
fn calibrated_int4_keeps_the_bits_per_byte() {
    let checkpoint = bundled("shakespeare-64x9");
    let layers = converted(&checkpoint, &Method::default());
    let recurrences: Vec<_> = layers.iter().map(|l| l.modal.clone()).collect();
    let int8 = blob(&checkpoint, &layers, WeightType::Int8);
    let text = sampled(&int8.model().unwrap(), 256, 4096);
    assert_eq!(text, sampled(&int8.model().unwrap(), 256, 4096));
    let weights = calibrate(&checkpoint, &text, |_| WeightType::Int4, |_| ())
        .unwrap()
        .weights;
    let calibrated = write_weights(&checkpoint, &recurrences, &weights, Target::M4).unwrap();
    let nearest = blob(&checkpoint, &layers, WeightType::Int4);
    let [calibrated, nearest] =
        [calibrated, nearest].map(|blob| compared(&checkpoint, &blob, 16_385, 512));
    let bits = calibrated.bits_per_byte.unwrap();
    assert!(bits.blob / bits.fft < 1.015, "{calibrated:?}");
    let divergence = [calibrated.divergence.blob, nearest.divergence.blob];
    assert!(divergence[0] < 0.75 * divergence[1], "{divergence:?}");
}

/// A blob says of every matrix what type it has: types may differ.
#[test]
fn types_may_differ_by_matrix() {
    let checkpoint = bundled("shakespeare-32x2");
    let layers = converted(&checkpoint, &Method::default());
    let recurrences: Vec<_> = layers.iter().map(|l| l.modal.clone()).collect();
    let types = [WeightType::Int4, WeightType::Int8, WeightType::F32];
    let mixed = |name| match name {
        MatrixName::Layer(layer, place) => types[(layer + place as usize) % 3],
        MatrixName::Embedding | MatrixName::Head => WeightType::Int8,
    };
    let weights = nearest(&checkpoint, mixed).unwrap();
    let bits = [Target::Portable, Target::M4].map(|target| {
        let blob = write_weights(&checkpoint, &recurrences, &weights, target).unwrap();
        compared(&checkpoint, &blob, 2049, 512)
            .bits_per_byte
            .unwrap()
    });
    assert_eq!(bits[0], bits[1], "the order of weights changes no logit");
    assert!((bits[0].blob / bits[0].fft - 1.0).abs() < 0.1, "{bits:?}");
    let other = nearest(&bundled("shakespeare-64x9"), mixed).unwrap();
    let error = write_weights(&checkpoint, &recurrences, &other, Target::Portable).unwrap_err();
    assert!(matches!(error, WriteError::OtherWeights));
}

#[test]
fn f32_blobs_stream_what_the_recurrence_computes() {
    let checkpoint = bundled("shakespeare-32x2");
    let layers = converted(&checkpoint, &Method::default());
    let c = compared(
        &checkpoint,
        &blob(&checkpoint, &layers, WeightType::F32),
        2049,
        2048,
    );
    let bits = c.bits_per_byte.unwrap();
    assert!((bits.blob / bits.recurrence - 1.0).abs() < 1e-6, "{c:?}");
}

/// The closed form: exact below the training length, and a warning with the size of the error past it.
#[test]
fn closed_form_is_exact_up_to_the_training_length_and_warns_past_it() {
    let checkpoint = bundled("shakespeare-64x9");
    let train_len = checkpoint.config.train_len;
    for layer in converted(&checkpoint, &Method::Etsc { lags: train_len }) {
        assert!(layer.kernel_error.max < 1e-5, "{:?}", layer.kernel_error);
        assert_eq!((layer.modal.fir_len(), layer.modal.order()), (0, train_len));
        let past = |w: &Warning| matches!(w, Warning::WrongPastEnd { error, .. } if *error > 1e-4);
        assert!(layer.warnings.iter().any(past), "{:?}", layer.warnings);
    }
}

/// Logits of the official fairseq code, from its own checkpoint file.
#[test]
fn fairseq_checkpoint_gives_fairseqs_logits() {
    let folder = repository("tests/fixtures/fairseq-small");
    let checkpoint = Checkpoint::open(&folder.join("checkpoint.pt")).unwrap();
    let file = std::fs::read(folder.join("golden.safetensors")).unwrap();
    let golden = SafeTensors::deserialize(&file).unwrap();
    let words = |name| {
        golden
            .tensor(name)
            .unwrap()
            .data()
            .as_chunks::<4>()
            .0
            .to_vec()
    };
    let tokens: Vec<u32> = words("tokens")
        .into_iter()
        .map(u32::from_le_bytes)
        .collect();
    let logits: Vec<f32> = words("logits")
        .into_iter()
        .map(f32::from_le_bytes)
        .collect();
    let expected = Array2::from_shape_vec((tokens.len(), 992), logits).unwrap();
    let network = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
    let found = network.forward(&tokens, &network.trained_mix()).unwrap();
    // Logits in f32, as fairseq has them; it computed in f32 too, so most of this is its own rounding.
    let found = found.mapv(|x| f64::from(x as f32));
    assert!(largest_difference(&found, &expected) < 1.5e-6);
    // and it streams what its recurrence computes
    let layers = converted(&checkpoint, &Method::default());
    let blob = blob(&checkpoint, &layers, WeightType::F32);
    let model = blob.model().unwrap();
    let mix = ModalMix::new(&stream::recurrences(&model)).unwrap();
    let recurrence = network.forward(&tokens, &mix).unwrap();
    let streamed = stream::logits(&model, &tokens).unwrap();
    assert!(largest_difference(&recurrence, &streamed) < 1e-5);
    assert!(largest_difference(&recurrence, &expected) < 0.05);
}

fn largest_difference(a: &Array2<f64>, b: &Array2<f32>) -> f64 {
    assert_eq!(a.dim(), b.dim());
    let differences = a.iter().zip(b).map(|(a, b)| (a - f64::from(*b)).abs());
    differences.fold(0.0, f64::max)
}
