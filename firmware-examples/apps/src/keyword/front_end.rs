//! The front ends of both arithmetics, as an ear sees them.

use toeplite::classifier::FrameModel;
use toeplite_audio::stored::{Stored, StoredError};
use toeplite_audio::{self as float, Config, Kept, LengthError, fixed};

/// How large a front end its memory has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Samples of a frame.
    pub frame: usize,
    /// Levels.
    pub levels: usize,
}

/// The front end in floats, or in integers, for classifiers of the contract with the same arithmetic. It works in the memory that the classifier's session lends.
pub trait FrontEnd<'a>: Sized {
    /// Settings and tables.
    type Tables: Copy;
    /// Element of levels.
    type Level;
    /// A classifier's blob.
    type Model: FrameModel<'a>;

    /// Tables of an image.
    ///
    /// # Errors
    /// They are no good, or those of the other arithmetic.
    fn stored(stored: &Stored<'a>) -> Result<Self::Tables, StoredError>;

    /// What is computed.
    fn config(tables: &Self::Tables) -> Config;

    /// Words of memory that it works in.
    fn work_words(config: &Config) -> usize;

    /// What `kept` has room for.
    fn room(kept: &Kept<'a, Self::Level>) -> Room {
        Room {
            frame: kept.samples.len(),
            levels: kept.levels.len(),
        }
    }

    /// A front end that has heard nothing, in the first parts of `kept`.
    ///
    /// # Errors
    /// There is no room.
    fn new(tables: Self::Tables, kept: Kept<'a, Self::Level>) -> Result<Self, LengthError>;

    /// What it computes.
    fn settings(&self) -> Config;

    /// Takes samples from the front of `samples` until a frame is whole, and writes it to `features` as the classifier
    /// was trained on it. Whether there was one; if not, all are taken.
    ///
    /// # Errors
    /// `work` is too short.
    fn next(
        &mut self,
        samples: &mut &[i16],
        work: &mut [u32],
        features: &mut [f32],
    ) -> Result<bool, LengthError>;
}

/// The first parts of `kept`, as long as they must be, or as long as they are.
fn cut<'a, L>(kept: Kept<'a, L>, config: &Config) -> Kept<'a, L> {
    let (frame, levels) = (kept.samples.len(), kept.levels.len());
    let samples = kept.samples.get_mut(..config.frame.min(frame));
    let levels = kept.levels.get_mut(..config.levels().min(levels));
    Kept {
        samples: samples.unwrap_or_default(),
        levels: levels.unwrap_or_default(),
    }
}

/// The same calls, of types of the same names.
macro_rules! front_end {
    ($arithmetic:ident, $level:ty, $model:ty) => {
        impl<'a> FrontEnd<'a> for $arithmetic::SharedLogMel<'a> {
            type Tables = $arithmetic::TablesRef<'a>;
            type Level = $level;
            type Model = $model;

            fn stored(stored: &Stored<'a>) -> Result<Self::Tables, StoredError> {
                stored.$arithmetic()
            }

            fn config(tables: &Self::Tables) -> Config {
                tables.config()
            }

            fn work_words(config: &Config) -> usize {
                Self::work_words(config)
            }

            fn new(tables: Self::Tables, kept: Kept<'a, $level>) -> Result<Self, LengthError> {
                Self::new(tables, cut(kept, &tables.config()))
            }

            fn settings(&self) -> Config {
                self.config()
            }

            fn next(
                &mut self,
                samples: &mut &[i16],
                work: &mut [u32],
                features: &mut [f32],
            ) -> Result<bool, LengthError> {
                self.next(samples, work, features)
            }
        }
    };
}

front_end!(float, f32, toeplite::classifier::Model<'a>);
front_end!(fixed, u64, toeplite::fixed::classifier::Model<'a>);
