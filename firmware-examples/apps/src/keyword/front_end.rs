//! The front ends of both arithmetics, as an ear sees them.

use toeplite_audio::stored::{Stored, StoredError};
use toeplite_audio::{self as float, Config, LengthError, fixed};

/// How large a front end its memory has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// Samples of a frame.
    pub frame: usize,
    /// Bins of the spectrum.
    pub bins: usize,
    /// Bands.
    pub bands: usize,
}

/// The front end in floats, or in integers.
pub trait FrontEnd<'a>: Sized {
    /// Settings and tables.
    type Tables: Copy;
    /// Memory.
    type Buffers;

    /// Tables of an image.
    ///
    /// # Errors
    /// They are no good, or those of the other arithmetic.
    fn stored(stored: &Stored<'a>) -> Result<Self::Tables, StoredError>;

    /// What is computed.
    fn config(tables: &Self::Tables) -> Config;

    /// What `buffers` have room for.
    fn room(buffers: &Self::Buffers) -> Room;

    /// The first parts of `buffers`, as long as they must be; nothing if there is no room.
    fn cut(buffers: Self::Buffers, config: &Config) -> Option<Self::Buffers>;

    /// A front end that has heard nothing.
    ///
    /// # Errors
    /// A buffer has another length than it must have.
    fn new(tables: Self::Tables, buffers: Self::Buffers) -> Result<Self, LengthError>;

    /// What it computes.
    fn settings(&self) -> Config;

    /// Takes samples from the front of `samples` until a frame is whole, and writes it to `features` as the classifier
    /// was trained on it. `None`: all are taken.
    fn next(&mut self, samples: &mut &[i16], features: &mut [f32]) -> Option<()>;
}

impl<'a> FrontEnd<'a> for float::LogMel<'a> {
    type Tables = float::TablesRef<'a>;
    type Buffers = float::Buffers<'a>;

    fn stored(stored: &Stored<'a>) -> Result<Self::Tables, StoredError> {
        stored.float()
    }

    fn config(tables: &Self::Tables) -> Config {
        tables.config()
    }

    fn room(buffers: &Self::Buffers) -> Room {
        Room {
            frame: buffers.samples.len(),
            bins: buffers.spectrum.len(),
            bands: buffers.bands.len(),
        }
    }

    fn cut(buffers: Self::Buffers, config: &Config) -> Option<Self::Buffers> {
        Some(float::Buffers {
            samples: buffers.samples.get_mut(..config.frame)?,
            spectrum: buffers.spectrum.get_mut(..config.bins())?,
            bands: buffers.bands.get_mut(..config.bands)?,
            levels: buffers.levels.get_mut(..config.bands)?,
        })
    }

    fn new(tables: Self::Tables, buffers: Self::Buffers) -> Result<Self, LengthError> {
        float::LogMel::new(tables, buffers)
    }

    fn settings(&self) -> Config {
        self.config()
    }

    fn next(&mut self, samples: &mut &[i16], features: &mut [f32]) -> Option<()> {
        let frame = self.next(samples)?;
        for (to, from) in features.iter_mut().zip(frame) {
            *to = *from;
        }
        Some(())
    }
}

impl<'a> FrontEnd<'a> for fixed::LogMel<'a> {
    type Tables = fixed::TablesRef<'a>;
    type Buffers = fixed::Buffers<'a>;

    fn stored(stored: &Stored<'a>) -> Result<Self::Tables, StoredError> {
        stored.fixed()
    }

    fn config(tables: &Self::Tables) -> Config {
        tables.config()
    }

    fn room(buffers: &Self::Buffers) -> Room {
        Room {
            frame: buffers.samples.len(),
            bins: buffers.spectrum.len(),
            bands: buffers.energies.len(),
        }
    }

    fn cut(buffers: Self::Buffers, config: &Config) -> Option<Self::Buffers> {
        Some(fixed::Buffers {
            samples: buffers.samples.get_mut(..config.frame)?,
            spectrum: buffers.spectrum.get_mut(..config.bins())?,
            energies: buffers.energies.get_mut(..config.bands)?,
            levels: buffers.levels.get_mut(..config.bands)?,
            features: buffers.features.get_mut(..config.bands)?,
        })
    }

    fn new(tables: Self::Tables, buffers: Self::Buffers) -> Result<Self, LengthError> {
        fixed::LogMel::new(tables, buffers)
    }

    fn settings(&self) -> Config {
        self.config()
    }

    fn next(&mut self, samples: &mut &[i16], features: &mut [f32]) -> Option<()> {
        let frame = self.next(samples)?;
        for (to, from) in features.iter_mut().zip(frame) {
            // a power of two: exact
            *to = f32::from(*from) * (1.0 / fixed::ONE as f32);
        }
        Some(())
    }
}
