//! What commands need of the networks and their devices.

use super::bench::{NetworkBench, OperatorBench};
use super::gradcheck::{Checked, GradientCheck};
use crate::bench::{NetworkResult, OperatorResult};
use crate::config::{DeviceChoice, Precision, RunConfig};
use crate::group::{Meeting, Member};
use crate::train::{ModelError, Trainable};
use serde::{Deserialize, Serialize};
use toeplite_checkpoint::Checkpoint;

/// Where to compute, and in what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args, Serialize, Deserialize)]
pub struct Placement {
    /// Where to compute.
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda[:i]")]
    pub device: DeviceChoice,
    /// What activations are computed in.
    #[arg(long, value_enum, default_value = "auto")]
    pub precision: Precision,
}

/// Makes networks on devices, and measures them.
pub trait Backend {
    /// Where `processes` processes that train together compute: on so many GPUs from the given one
    /// on, or all on the CPU.
    ///
    /// # Errors
    /// There are not as many, or they cannot sum.
    fn meet(&self, placement: Placement, processes: usize) -> Result<Meeting, ModelError>;

    /// A network with fresh parameters from the run's seed, ready to train, alone or as one of
    /// several processes; then it returns when all have joined.
    ///
    /// # Errors
    /// There is no such device, or it cannot compute this network.
    fn create(
        &self,
        config: &RunConfig,
        member: Option<Member>,
    ) -> Result<Box<dyn Trainable>, ModelError>;

    /// A trained network, to be evaluated and sampled from.
    ///
    /// # Errors
    /// As [`Backend::create`].
    fn load(
        &self,
        checkpoint: &Checkpoint,
        placement: Placement,
    ) -> Result<Box<dyn Trainable>, ModelError>;

    /// Times training steps of a preset, alone or as one of several processes; then the tokens of
    /// the result are those of all.
    ///
    /// # Errors
    /// As [`Backend::create`].
    fn bench_network(
        &self,
        bench: &NetworkBench,
        member: Option<Member>,
    ) -> Result<NetworkResult, ModelError>;

    /// Times one operator, forward and backward.
    ///
    /// # Errors
    /// As [`Backend::create`].
    fn bench_operator(&self, bench: &OperatorBench) -> Result<OperatorResult, ModelError>;

    /// Compares gradients with differences of the loss.
    ///
    /// # Errors
    /// As [`Backend::create`].
    fn check_gradients(
        &self,
        check: &GradientCheck,
        report: &mut dyn FnMut(Checked),
    ) -> Result<(), ModelError>;
}
