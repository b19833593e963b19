//! Fixtures for the tests of this module.

use crate::checkpoint::Checkpoint;
use crate::checkpoint::config::{Activation, Norm, RpeInput, ToeplitzConfig, ToeplitzKind};
use ndarray::ArrayD;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// The folder of the operator, GTU and layer cases.
pub(super) fn cases() -> PathBuf {
    Path::new(ROOT).join("tests/fixtures/tno")
}

/// A trained checkpoint's folder.
pub(crate) fn checkpoint_folder(name: &str) -> PathBuf {
    Path::new(ROOT)
        .join("firmware-examples/checkpoints")
        .join(name)
}

/// An operator of lags with nothing besides its RPE of 16, which has one hidden layer.
pub(super) fn toeplitz() -> ToeplitzConfig {
    ToeplitzConfig {
        kind: ToeplitzKind::Tno,
        rpe_dim: 16,
        rpe_layers: 1,
        rpe_act: Activation::Relu,
        rpe_norm: Norm::SimpleRmsNorm,
        rpe_input: RpeInput::Lag,
        bins: None,
        rank: None,
        taps: None,
        warp: None,
        image: None,
        decay: false,
        learned_decay: false,
        decay_floor: 0.0,
        act: Activation::None,
        residual: false,
        normalize: false,
    }
}

/// Every tensor of a safetensors file, as f32.
pub(super) fn tensors(path: &Path) -> BTreeMap<String, ArrayD<f32>> {
    let bytes = std::fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    file.iter()
        .map(|(name, view)| (name.to_owned(), to_f32(&view)))
        .collect()
}

fn to_f32(view: &TensorView) -> ArrayD<f32> {
    let data = view.data();
    let values = match view.dtype() {
        Dtype::F32 => numbers(data, f32::from_le_bytes),
        Dtype::I32 => numbers(data, |b| i32::from_le_bytes(b) as f32),
        Dtype::F64 => numbers(data, |b| f64::from_le_bytes(b) as f32),
        other => panic!("no fixture stores {other:?}"),
    };
    ArrayD::from_shape_vec(view.shape().to_vec(), values).unwrap()
}

fn numbers<const BYTES: usize>(data: &[u8], read: impl Fn([u8; BYTES]) -> f32) -> Vec<f32> {
    let (chunks, rest) = data.as_chunks();
    assert!(rest.is_empty());
    chunks.iter().map(|&chunk| read(chunk)).collect()
}

/// A trained checkpoint.
pub(crate) fn checkpoint(name: &str) -> Checkpoint {
    Checkpoint::open(&checkpoint_folder(name)).unwrap()
}
