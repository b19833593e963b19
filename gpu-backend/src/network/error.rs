//! Why a network could not be built or run.

use crate::device::DeviceError;
use thiserror::Error;
use toeplite_checkpoint::ConfigError;

/// Why a network could not be built or run.
#[derive(Debug, Error)]
pub enum NetworkError {
    /// Options that can be converted and evaluated by `toeplite`, but not trained.
    #[error("training does not support: {}", problems.join(", "))]
    Unsupported {
        /// The options, with their values.
        problems: Vec<String>,
    },
    /// The configuration contradicts itself.
    #[error("the model's configuration is not valid: {0}")]
    Config(#[from] ConfigError),
    /// A batch of another size than the network is asked to take.
    #[error("{found} tokens were given for {batch} sequences of {length}")]
    Batch {
        /// Tokens given.
        found: usize,
        /// Sequences expected.
        batch: usize,
        /// Positions of each.
        length: usize,
    },
    /// A checkpoint without one of its network's parameters.
    #[error("the checkpoint has no tensor {name} of the shape that its config.json asks for")]
    Tensor {
        /// The parameter.
        name: String,
    },
    /// A saved state of another network.
    #[error("the saved state has {found} numbers, this network {expected}")]
    State {
        /// Numbers in the state.
        found: usize,
        /// Numbers expected.
        expected: usize,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
