//! Trained checkpoints, as training wrote them.

pub mod config;

pub use config::Config;

use ndarray::ArrayD;
use std::collections::BTreeMap;

/// A trained network: its configuration and its parameters, all in f32, named as in `design.md`
/// of the checkpoint format (`layers.{i}.token_mixer.u_proj.weight`, ...).
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// What the tensors mean.
    pub config: Config,
    /// Parameters by name, row-major.
    pub tensors: BTreeMap<String, ArrayD<f32>>,
}
