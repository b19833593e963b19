//! What front ends keep between calls.

use crate::config::Config;
use crate::{LengthError, check};

/// Memory of what a front end keeps between calls, for a `static`: `2 FRAME` bytes, and `4 LEVELS` or, in integers, `8 LEVELS`.
/// `FRAME` and `LEVELS` are [`Config::frame`] and [`Config::levels`].
#[derive(Debug)]
pub struct Memory<L, const FRAME: usize, const LEVELS: usize> {
    samples: [i16; FRAME],
    levels: [L; LEVELS],
}

impl<const FRAME: usize, const LEVELS: usize> Memory<f32, FRAME, LEVELS> {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            samples: [0; FRAME],
            levels: [0.0; LEVELS],
        }
    }
}

impl<const FRAME: usize, const LEVELS: usize> Memory<u64, FRAME, LEVELS> {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            samples: [0; FRAME],
            levels: [0; LEVELS],
        }
    }
}

impl<const FRAME: usize, const LEVELS: usize> Default for Memory<f32, FRAME, LEVELS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const FRAME: usize, const LEVELS: usize> Default for Memory<u64, FRAME, LEVELS> {
    fn default() -> Self {
        Self::new()
    }
}

impl<L, const FRAME: usize, const LEVELS: usize> Memory<L, FRAME, LEVELS> {
    /// Its parts.
    pub const fn kept(&mut self) -> Kept<'_, L> {
        Kept {
            samples: &mut self.samples,
            levels: &mut self.levels,
        }
    }
}

/// What a front end keeps between calls, wherever it lies: of a [`SharedLogMel`](crate::SharedLogMel), `L` is `f32`, of one
/// [in integers](crate::fixed::SharedLogMel) `u64`. What is in it does not matter.
#[derive(Debug)]
pub struct Kept<'m, L> {
    /// [`Config::frame`] elements.
    pub samples: &'m mut [i16],
    /// [`Config::levels`] elements.
    pub levels: &'m mut [L],
}

impl<L> Kept<'_, L> {
    /// Refuses other lengths than those of `config`.
    pub(crate) fn check(&self, config: &Config) -> Result<(), LengthError> {
        check("the buffer of samples", config.frame, self.samples.len())?;
        check("the buffer of levels", config.levels(), self.levels.len())
    }
}
