//! What can go wrong in a conversion.

use super::modal::ModalError;
use thiserror::Error;

/// Why a layer could not be converted.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ConvertError {
    /// The source has no channel or no lag.
    #[error("the kernel has {lags} lags and {channels} channels; at least one of each is needed")]
    Empty {
        /// Lags that were evaluated.
        lags: usize,
        /// Channels of the source.
        channels: usize,
    },
    /// A kernel coefficient is infinite or not a number.
    #[error("the kernel is not finite at lag {lag}, channel {channel}: check the checkpoint's RPE")]
    NotFinite {
        /// Lag of the first such coefficient.
        lag: usize,
        /// Its channel.
        channel: usize,
    },
    /// The recurrence would need numbers beyond f32.
    #[error("the {what} reach {largest:e}, too large for a recurrence in f32")]
    TooLarge {
        /// Kernel coefficients or residues.
        what: &'static str,
        /// The largest of them.
        largest: f64,
    },
    /// The closed form and plain truncation need to know how many lags to keep.
    #[error("{lags} lags are asked for, the kernel is known at {known}")]
    TooFewLags {
        /// Lags asked for.
        lags: usize,
        /// Lags known.
        known: usize,
    },
    /// A tolerance that no error can be compared with.
    #[error("tolerance {0} is not a positive number")]
    Tolerance(f64),
    /// An iterative routine gave up.
    #[error("{what} did not converge for {size} states; try another order or number of taps")]
    NoConvergence {
        /// The routine.
        what: &'static str,
        /// Rows of its matrix.
        size: usize,
    },
    /// The form found is not usable: a defect of the conversion, caught before it reaches a device.
    #[error(transparent)]
    Modal(#[from] ModalError),
}

/// A [`ConvertError`] and the layer it happened in.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("layer {layer}: {source}")]
pub struct LayerError {
    /// Index of the layer.
    pub layer: usize,
    /// What went wrong there.
    pub source: ConvertError,
}
