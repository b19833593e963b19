//! The bundled checkpoints on the CPU: logits and bits per byte of the public code.
#![allow(missing_docs)]

use safetensors::SafeTensors;
use std::path::{Path, PathBuf};
use toeplite_checkpoint::Checkpoint;
use toeplite_train::data::{Batch, Inputs};
use toeplite_train::device::cpu::Cpu;
use toeplite_train::network::Network;

fn bundled(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../firmware-examples/checkpoints")
        .join(name)
}

fn network(name: &str) -> Network<Cpu> {
    let checkpoint = Checkpoint::open(&bundled(name)).unwrap();
    Network::from_checkpoint(Cpu::new(), &checkpoint).unwrap()
}

/// 2e-4 absolute is what the fixtures' README calls fair for another f32 implementation.
#[test]
fn logits_are_those_of_the_public_code() {
    for name in ["shakespeare-32x2", "shakespeare-64x9"] {
        let file = std::fs::read(bundled(name).join("golden.safetensors")).unwrap();
        let golden = SafeTensors::deserialize(&file).unwrap();
        let bytes = |name: &str| golden.tensor(name).unwrap().data().to_vec();
        let word = |b: &[u8]| [b[0], b[1], b[2], b[3]];
        let tokens = bytes("tokens");
        let tokens: Vec<_> = tokens
            .chunks(4)
            .map(|b| u32::from_le_bytes(word(b)))
            .collect();
        let logits = bytes("logits");
        let logits: Vec<_> = logits
            .chunks(4)
            .map(|b| f32::from_le_bytes(word(b)))
            .collect();
        let found = network(name).logits(&tokens, 0..tokens.len()).unwrap();
        assert_eq!(found.len(), logits.len());
        let error = found
            .iter()
            .zip(&logits)
            .fold(0f32, |m, (a, b)| m.max((a - b).abs()));
        assert!(error < 2e-4, "{name}: {error}");
    }
}

/// Windows of 8192 bytes as metrics.json defines them.
#[test]
fn bits_per_byte_of_the_small_model_are_those_recorded() {
    let mut network = network("shakespeare-32x2");
    let text = std::fs::read(bundled("shakespeare-32x2").join("val.txt")).unwrap();
    let text: Vec<u32> = text.into_iter().map(u32::from).collect();
    let last = text.len() - 1;
    for start in (0..last).step_by(8192) {
        let end = (start + 8192).min(last);
        let batch = Batch {
            sequences: 1,
            length: end - start,
            inputs: Inputs::Tokens(text[start..end].to_vec()),
            targets: text[start + 1..end + 1].to_vec(),
        };
        network.evaluate(&batch).unwrap();
    }
    let sums = network.take_sums().unwrap();
    assert_eq!(sums.targets, last as f64);
    let bits = sums.loss / sums.targets / std::f64::consts::LN_2;
    assert!((bits - 2.56877).abs() < 2e-5, "{bits}");
}
