//! `training.safetensors`: what a run needs, besides the parameters, to go on bit for bit.

use super::{OptimiserState, StepReport, Sums, TrainError};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, View, serialize};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Name of the file in a checkpoint's folder.
pub const TRAINING: &str = "training.safetensors";

/// Key of the file's metadata that holds the [`Progress`] as JSON.
const PROGRESS: &str = "toeplite-train";

/// Where a run stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Updates done.
    pub step: u64,
    /// Seed of the run.
    pub seed: u64,
    /// Seconds spent on steps so far, all processes together.
    pub seconds: f64,
    /// Smallest validation loss so far.
    pub best: Option<f64>,
    /// Step that it was measured after; states of the first version do not have it.
    #[serde(default)]
    pub best_step: Option<u64>,
    /// Step that was evaluated last.
    pub evaluated: Option<u64>,
    /// What has been measured since the last line of the metrics, as bits: JSON has no NaN.
    pub(super) pending: Pending,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pending {
    loss_bits: u64,
    targets: u64,
    correct: u64,
    gradient_norm_bits: u32,
}

impl Progress {
    /// Measured since the last line of the metrics.
    pub fn pending(&self) -> StepReport {
        StepReport {
            sums: Sums {
                loss: f64::from_bits(self.pending.loss_bits),
                targets: self.pending.targets,
                correct: self.pending.correct,
            },
            gradient_norm: f32::from_bits(self.pending.gradient_norm_bits),
        }
    }

    /// Sets what has been measured since the last line of the metrics.
    pub fn set_pending(&mut self, report: StepReport) {
        self.pending = Pending {
            loss_bits: report.sums.loss.to_bits(),
            targets: report.sums.targets,
            correct: report.sums.correct,
            gradient_norm_bits: report.gradient_norm.to_bits(),
        };
    }
}

/// The contents of a `training.safetensors`.
pub(super) fn to_bytes(
    path: &Path,
    progress: &Progress,
    state: &OptimiserState,
) -> Result<Vec<u8>, TrainError> {
    let json = serde_json::to_string(progress).expect("plain numbers serialize");
    let metadata = HashMap::from([(PROGRESS.to_owned(), json)]);
    let views = state
        .tensors
        .iter()
        .map(|(n, t)| (n.as_str(), Flat(t, t.len())));
    serialize(views, Some(metadata)).map_err(|e| TrainError::State {
        path: path.to_owned(),
        problem: e.to_string(),
    })
}

/// Reads the contents of a `training.safetensors`; `path` is named in errors.
pub(super) fn from_bytes(
    path: &Path,
    bytes: &[u8],
) -> Result<(Progress, OptimiserState), TrainError> {
    let wrong = |problem: String| TrainError::State {
        path: path.to_owned(),
        problem,
    };
    let damaged =
        |e: safetensors::SafeTensorError| wrong(format!("no valid safetensors file: {e}"));
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(damaged)?;
    let file = SafeTensors::deserialize(bytes).map_err(damaged)?;
    let entries = metadata.metadata().as_ref();
    let json = entries
        .and_then(|m| m.get(PROGRESS))
        .ok_or_else(|| wrong("it does not say which step it belongs to".to_owned()))?;
    let progress: Progress = serde_json::from_str(json)
        .map_err(|e| wrong(format!("its progress cannot be understood: {e}")))?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 || view.shape().len() != 1 {
            return Err(wrong(format!("tensor {name:?} is no flat f32 tensor")));
        }
        let elements = view.data().chunks_exact(4);
        let numbers = elements.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        tensors.insert(name.to_owned(), numbers.collect());
    }
    Ok((progress, OptimiserState { tensors }))
}

/// A tensor of one dimension, and its length.
struct Flat<'a>(&'a [f32], usize);

impl View for Flat<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        std::slice::from_ref(&self.1)
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Owned(self.0.iter().flat_map(|v| v.to_le_bytes()).collect())
    }

    fn data_len(&self) -> usize {
        self.0.len() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> (Progress, OptimiserState) {
        let mut progress = Progress {
            step: 12,
            seed: 5,
            seconds: 1.5,
            best: Some(0.1),
            best_step: Some(9),
            evaluated: None,
            ..Progress::default()
        };
        progress.set_pending(StepReport {
            sums: Sums {
                loss: 1.0 / 3.0,
                targets: 7,
                correct: 2,
            },
            gradient_norm: f32::NAN,
        });
        let first = vec![1.0, -0.0, f32::MIN_POSITIVE / 2.0];
        let tensors = BTreeMap::from([("first".to_owned(), first), ("second".to_owned(), vec![])]);
        (progress, OptimiserState { tensors })
    }

    #[test]
    fn every_bit_comes_back() {
        let (progress, state) = example();
        let path = Path::new("t");
        let bytes = to_bytes(path, &progress, &state).unwrap();
        let (again, tensors) = from_bytes(path, &bytes).unwrap();
        assert_eq!(again, progress);
        assert_eq!(again.pending().sums, progress.pending().sums);
        assert_eq!(tensors.tensors["first"][1].to_bits(), (-0.0f32).to_bits());
        assert_eq!(tensors, state);
    }

    #[test]
    fn state_without_the_best_step_is_read() {
        let (progress, _) = example();
        let mut json = serde_json::to_value(&progress).unwrap();
        json.as_object_mut().unwrap().remove("best_step").unwrap();
        let again: Progress = serde_json::from_value(json).unwrap();
        let best_step = None;
        assert_eq!(
            again,
            Progress {
                best_step,
                ..progress
            }
        );
    }

    #[test]
    fn hostile_files_are_refused() {
        let (progress, state) = example();
        let path = Path::new("x/training.safetensors");
        let bytes = to_bytes(path, &progress, &state).unwrap();
        for cut in 0..bytes.len() {
            let error = from_bytes(path, &bytes[..cut]).unwrap_err().to_string();
            assert!(error.contains("x/training.safetensors"), "{error}");
        }
        let none: [(&str, Flat); 0] = [];
        let other = serialize(none, None).unwrap();
        assert!(
            from_bytes(path, &other)
                .unwrap_err()
                .to_string()
                .contains("which step")
        );
    }

    proptest! {
        #[test]
        fn damage_is_noticed_or_harmless(at in 0usize..300, byte: u8) {
            let (progress, state) = example();
            let mut bytes = to_bytes(Path::new("t"), &progress, &state).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = from_bytes(Path::new("t"), &bytes);
        }
    }
}
