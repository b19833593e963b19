//! Why a device could not do what it was asked.

use thiserror::Error;

/// Why a device could not do what it was asked.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// No such device here.
    #[error("device {device} cannot be used: {reason}; `--device cpu` runs everywhere")]
    Unavailable {
        /// What was asked for, for example `cuda:0`.
        device: String,
        /// What is missing.
        reason: String,
    },
    /// The device's memory is full.
    #[error(
        "out of memory on {device}: {bytes} more bytes were asked for with {allocated} in use; a \
         smaller batch (with more gradient accumulation) needs less"
    )]
    OutOfMemory {
        /// Name of the device.
        device: String,
        /// Bytes of the allocation that failed.
        bytes: usize,
        /// Bytes allocated before it.
        allocated: usize,
    },
    /// A token that the vocabulary does not have.
    #[error("token {token} at position {position}: the vocabulary has {vocabulary} tokens")]
    UnknownToken {
        /// The token.
        token: u32,
        /// Its index in the batch.
        position: usize,
        /// Size of the vocabulary.
        vocabulary: usize,
    },
    /// A shape that the device has no kernel for.
    #[error("{operation}: {reason}")]
    Unsupported {
        /// The operation.
        operation: &'static str,
        /// What it cannot do, and what it can.
        reason: String,
    },
    /// A library of the device failed.
    #[error("{operation} failed on {device}: {reason}")]
    Failed {
        /// The operation.
        operation: &'static str,
        /// Name of the device.
        device: String,
        /// What the library said.
        reason: String,
    },
}
