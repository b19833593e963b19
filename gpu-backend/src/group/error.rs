//! Why processes could not train together.

use std::io;
use thiserror::Error;

/// Why processes could not train together.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum GroupError {
    /// There is not a GPU for each process.
    #[error(
        "{processes} processes need the GPUs {first} to {}, and this machine has {found} (counted \
         from 0): give fewer --processes, or another --device", first + processes - 1
    )]
    TooFewGpus {
        /// Processes asked for.
        processes: usize,
        /// GPU of the first one.
        first: usize,
        /// GPUs there are.
        found: usize,
    },
    /// Another process could not be started.
    #[error("the process for {device} could not be started: {reason}")]
    Start {
        /// Where it should compute.
        device: String,
        /// What the operating system said.
        reason: String,
    },
    /// Another process failed.
    #[error(
        "the process on {device} failed: {reason}. All processes are ended; a run goes on from its \
         last checkpoint with --resume"
    )]
    Worker {
        /// Where it computed.
        device: String,
        /// Its error, or how it ended.
        reason: String,
    },
    /// The processes' networks are not the same any more.
    #[error(
        "the process on {device} has gradients of norm {theirs} where the first one's are {ours}: the \
         sums over processes are wrong; please report this with the versions of NCCL and the driver"
    )]
    Drift {
        /// Where the other process computes.
        device: String,
        /// Norm of the first process.
        ours: f32,
        /// Norm of the other.
        theirs: f32,
    },
    /// A worker was started by hand.
    #[error("`worker` is started by `toeplite-train train --processes N`, not by hand ({reason})")]
    ByHand {
        /// What is missing.
        reason: String,
    },
}

impl GroupError {
    pub(super) fn start(device: impl ToString) -> impl FnOnce(io::Error) -> Self {
        let device = device.to_string();
        move |cause| Self::Start {
            device,
            reason: cause.to_string(),
        }
    }
}
