//! A model is the same whatever it is packed for.

use clap::ValueEnum;
use std::path::PathBuf;
use toeplite_tools::blob::{Blob, SessionMemory, Storage, Target, WeightType, write};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::convert::fir::fir;
use toeplite_tools::reference::Network;

fn blobs(weights: WeightType) -> Vec<(Target, Blob)> {
    let folder = env!("CARGO_MANIFEST_DIR");
    let bundled = [
        folder,
        "..",
        "firmware-examples/checkpoints/shakespeare-32x2",
    ];
    let checkpoint = Checkpoint::open(&bundled.iter().collect::<PathBuf>()).unwrap();
    let network = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
    let taps = network.layers().iter();
    let taps = taps.map(|l| fir(l.toeplitz().kernel(0..4, 4).view(), 4));
    let taps: Vec<_> = taps.collect();
    let pack = |target: &Target| {
        let storage = Storage {
            weights,
            target: *target,
        };
        (*target, write(&checkpoint, &taps, storage).unwrap())
    };
    Target::value_variants().iter().map(pack).collect()
}

fn hash(blob: &Blob) -> u64 {
    let model = blob.model().unwrap();
    let mut memory = SessionMemory::for_model(&model);
    let mut session = model.session(memory.as_mut_slice()).unwrap();
    session.self_test().unwrap();
    session.hash_steps(0..100u32)
}

#[test]
fn every_target_has_the_same_logits() {
    for weights in WeightType::value_variants() {
        let blobs = blobs(*weights);
        let (_, portable) = &blobs[0];
        let expected = hash(portable);
        for (target, blob) in &blobs {
            assert_eq!(hash(blob), expected, "{weights:?} for {target:?}");
            let order = blob.model().unwrap().shape().weight_order;
            assert_eq!(order, target.order());
            if order == Target::Portable.order() {
                assert!(blob == portable, "{target:?} reads the portable order");
            }
        }
    }
}
