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
    /// A batch that is no whole number of sequences.
    #[error("{positions} positions with {targets} targets are no sequences of {length}")]
    Batch {
        /// Positions given.
        positions: usize,
        /// Targets given.
        targets: usize,
        /// Positions of a sequence.
        length: usize,
    },
    /// Tokens for a network of frames, or frames that do not fit.
    #[error("the batch has frames of {found} numbers, the network takes {frame_dim} (0: tokens)")]
    Frames {
        /// Numbers of a frame given; 0 where tokens were.
        found: usize,
        /// Numbers of a frame; 0 where the network takes tokens.
        frame_dim: usize,
    },
    /// Sequences that are not the images of the network.
    #[error(
        "sequences of {length} positions are no images of {rows} rows of {columns} pixels (toeplitz.image)"
    )]
    Image {
        /// Positions of a sequence.
        length: usize,
        /// Rows of the network's images.
        rows: usize,
        /// Pixels of a row.
        columns: usize,
    },
    /// A sequence that goes on after its padding began.
    #[error("sequence {sequence} has a token at position {position}, after its padding began")]
    Padding {
        /// Which sequence.
        sequence: usize,
        /// Where in it.
        position: usize,
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
