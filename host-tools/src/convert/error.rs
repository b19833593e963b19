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
    #[error("the kernel at lag {lag}, channel {channel} is infinite or not a number")]
    NotFinite {
        /// Lag of the first such coefficient.
        lag: usize,
        /// Its channel.
        channel: usize,
    },
    /// The recurrence would need numbers beyond f32.
    #[error("the {what} of channel {channel} reach {largest:e}, too large for a recurrence in f32")]
    TooLarge {
        /// Kernel coefficients or residues.
        what: &'static str,
        /// The largest of them.
        largest: f64,
        /// Its channel.
        channel: usize,
    },
    /// A kernel is below what f32 can hold.
    #[error(
        "the kernel reaches {largest:e} at most (channel {channel}), too small for a recurrence in f32: scale it up"
    )]
    TooSmall {
        /// The largest coefficient.
        largest: f64,
        /// Its channel.
        channel: usize,
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

/// `result`, or nothing where an iteration gave up: there is a form to go on with, which it would have improved.
///
/// # Errors
/// All others.
pub fn converged<T>(result: Result<T, ConvertError>) -> Result<Option<T>, ConvertError> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(ConvertError::NoConvergence { .. }) => Ok(None),
        Err(other) => Err(other),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_iterations_that_give_up_are_done_without() {
        let gave_up = ConvertError::NoConvergence {
            what: "the iteration",
            size: 3,
        };
        assert_eq!(converged(Ok(5)), Ok(Some(5)));
        assert_eq!(converged::<()>(Err(gave_up)), Ok(None));
        let other = ConvertError::Tolerance(0.0);
        assert_eq!(converged::<()>(Err(other.clone())), Err(other));
    }
}
