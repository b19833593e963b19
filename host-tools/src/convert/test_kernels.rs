//! The kernels of the bundled checkpoints, evaluated independently of the reference network.

use super::source::KernelSource;
use ndarray::{Array1, Array2, Axis};
use safetensors::{Dtype, SafeTensors};
use std::ops::Range;

/// `gamma^i * out(relu(norm(hidden(relu(norm(pos_proj(i)))))))` with any number of hidden layers.
pub struct Rpe {
    /// Weight `[out, in]` and bias of each linear map, `pos_proj` first.
    maps: Vec<(Array2<f64>, Array1<f64>)>,
    pub gamma: Vec<f64>,
}

impl KernelSource for Rpe {
    fn channels(&self) -> usize {
        self.gamma.len()
    }

    fn kernel(&self, lags: Range<usize>) -> Array2<f64> {
        let start = lags.start;
        let mut x = Array2::from_shape_fn((lags.len(), 1), |(i, _)| (start + i) as f64);
        for (index, (weight, bias)) in self.maps.iter().enumerate() {
            if index > 0 {
                for mut row in x.axis_iter_mut(Axis(0)) {
                    let norm = (row.dot(&row) / row.len() as f64).sqrt() + 1e-8;
                    row.mapv_inplace(|v| (v / norm).max(0.0));
                }
            }
            x = x.dot(&weight.t()) + bias;
        }
        let uniform = self.gamma.iter().all(|g| *g == self.gamma[0]);
        assert!(uniform, "the bundled checkpoints have one gamma a layer");
        for (i, mut row) in x.axis_iter_mut(Axis(0)).enumerate() {
            row *= self.gamma[0].powf((start + i) as f64);
        }
        x
    }

    fn decay(&self) -> Option<Vec<f64>> {
        Some(self.gamma.clone())
    }

    /// Normalized, then cut off below zero, a hidden row is at most as long as the root of its width.
    fn tail_bound(&self, from: usize) -> Option<Vec<f64>> {
        let (weight, bias) = self.maps.last()?;
        let bound = |(c, gamma): (usize, &f64)| {
            let row = weight.row(c);
            let largest = (row.dot(&row) * row.len() as f64).sqrt() + bias[c].abs();
            (*gamma < 1.0).then(|| largest * gamma.powf(from as f64) / (1.0 - gamma))
        };
        self.gamma.iter().enumerate().map(bound).collect()
    }
}

/// The layers of the checkpoint in `folder`.
pub fn layers_of(folder: &str) -> Vec<Rpe> {
    let bytes = std::fs::read(format!("{folder}/model.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let flat = |name: &str| -> Option<(Vec<usize>, Vec<f64>)> {
        let view = file.tensor(name).ok()?;
        let values = match view.dtype() {
            Dtype::F32 => view
                .data()
                .chunks_exact(4)
                .map(|b| f64::from(f32::from_le_bytes(b.try_into().unwrap())))
                .collect(),
            Dtype::F16 => view
                .data()
                .chunks_exact(2)
                .map(|b| half::f16::from_le_bytes(b.try_into().unwrap()).to_f64())
                .collect(),
            other => panic!("unexpected {other:?}"),
        };
        Some((view.shape().to_vec(), values))
    };
    let map = |prefix: &str| {
        let (shape, weight) = flat(&format!("{prefix}.weight"))?;
        let (_, bias) = flat(&format!("{prefix}.bias"))?;
        let weight = Array2::from_shape_vec((shape[0], shape[1]), weight).unwrap();
        Some((weight, Array1::from_vec(bias)))
    };
    let layer = |index: usize| {
        let toep = format!("layers.{index}.token_mixer.toep");
        let mut maps = vec![map(&format!("{toep}.rpe.pos_proj"))?];
        maps.extend((0..).map_while(|k| map(&format!("{toep}.rpe.layers.{k}.2"))));
        maps.push(map(&format!("{toep}.rpe.out.2"))?);
        let gamma = flat(&format!("{toep}.gamma"))?.1;
        Some(Rpe { maps, gamma })
    };
    (0..).map_while(layer).collect()
}

/// The layers of a bundled checkpoint.
pub fn bundled(name: &str) -> Vec<Rpe> {
    let layers = layers_of(&format!(
        "{}/../firmware-examples/checkpoints/{name}",
        env!("CARGO_MANIFEST_DIR")
    ));
    assert!(!layers.is_empty());
    layers
}
