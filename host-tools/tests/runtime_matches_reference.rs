//! The runtime, fed a blob, against the reference network with the blob's recurrences, and both
//! against the official code's logits.

use ndarray::Array2;
use std::path::PathBuf;
use toeplite_tools::blob::{WeightType, write};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::convert::{fir::fir, modal::Modal};
use toeplite_tools::reference::{Network, recurrence::ModalMix};
use toeplite_tools::stream;

fn bundled(name: &str) -> PathBuf {
    [
        env!("CARGO_MANIFEST_DIR"),
        "..",
        "firmware-examples",
        "checkpoints",
        name,
    ]
    .iter()
    .collect()
}

/// Every lag that the sequences here can see, as taps.
fn all_taps(network: &Network<f64>, lags: usize) -> Vec<Modal> {
    let kernel = |layer: &toeplite_tools::reference::layer::Layer<f64>| {
        fir(layer.toeplitz().kernel(0..lags as i64, lags).view(), lags)
    };
    network.layers().iter().map(kernel).collect()
}

fn largest_difference(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
    assert_eq!(a.dim(), b.dim());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn taps_at_every_lag_give_the_official_logits() {
    for name in ["shakespeare-32x2", "shakespeare-64x9"] {
        let checkpoint = Checkpoint::open(&bundled(name)).unwrap();
        let file = std::fs::read(bundled(name).join("golden.safetensors")).unwrap();
        let golden = safetensors::SafeTensors::deserialize(&file).unwrap();
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
            .take(200)
            .collect();
        let logits: Vec<f32> = words("logits")
            .into_iter()
            .map(f32::from_le_bytes)
            .collect();
        let golden = Array2::from_shape_vec((200, 256), logits[..200 * 256].to_vec()).unwrap();

        let network = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
        let blob = write(&checkpoint, &all_taps(&network, 200), WeightType::F32).unwrap();
        let model = blob.model().unwrap();
        let streamed = stream::logits(&model, &tokens).unwrap();
        let difference = largest_difference(&streamed, &golden);
        assert!(difference < 2e-4, "{name}: {difference:e}");

        let mix = ModalMix::new(&stream::recurrences(&model)).unwrap();
        let reference = Network::<f32>::from_checkpoint(&checkpoint)
            .unwrap()
            .forward(&tokens, &mix)
            .unwrap();
        let difference = largest_difference(&streamed, &reference);
        assert!(difference < 2e-4, "{name}: {difference:e}");
    }
}
