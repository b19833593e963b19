//! The front end in `f32`.

use crate::config::{Agc, Compression, Config};
use crate::framer::Framer;
use crate::math::ln;
use crate::pcen::Normalizer;
use crate::shared::Kept;
use crate::tables::TablesRef;
use crate::{LengthError, check};

/// Memory of a [`LogMel`]: `2 FRAME + 8 BINS + 8 BANDS` bytes, for a `static`.
#[derive(Debug)]
pub struct Memory<const FRAME: usize, const BINS: usize, const BANDS: usize> {
    samples: [i16; FRAME],
    spectrum: [[f32; 2]; BINS],
    bands: [f32; BANDS],
    levels: [f32; BANDS],
}

impl<const FRAME: usize, const BINS: usize, const BANDS: usize> Memory<FRAME, BINS, BANDS> {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            samples: [0; FRAME],
            spectrum: [[0.0; 2]; BINS],
            bands: [0.0; BANDS],
            levels: [0.0; BANDS],
        }
    }

    /// Its parts.
    pub const fn buffers(&mut self) -> Buffers<'_> {
        Buffers {
            samples: &mut self.samples,
            spectrum: &mut self.spectrum,
            bands: &mut self.bands,
            levels: &mut self.levels,
        }
    }
}

impl<const FRAME: usize, const BINS: usize, const BANDS: usize> Default
    for Memory<FRAME, BINS, BANDS>
{
    fn default() -> Self {
        Self::new()
    }
}

/// Memory of a [`LogMel`], wherever it lies. What is in it does not matter.
#[derive(Debug)]
pub struct Buffers<'m> {
    /// [`Config::frame`] elements.
    pub samples: &'m mut [i16],
    /// [`Config::bins`] elements, in use within a call only.
    pub spectrum: &'m mut [[f32; 2]],
    /// [`Config::bands`] elements.
    pub bands: &'m mut [f32],
    /// [`Config::bands`] elements.
    pub levels: &'m mut [f32],
}

/// Features of a stream of samples, a frame's at a time, in `f32`.
#[derive(Debug)]
pub struct LogMel<'m> {
    inner: SharedLogMel<'m>,
    spectrum: &'m mut [[f32; 2]],
    bands: &'m mut [f32],
}

/// A [`LogMel`] without the memory that is in use within a call only: the caller lends it at each call, and has it for other
/// work in between. The same bits.
#[derive(Debug)]
pub struct SharedLogMel<'m> {
    tables: TablesRef<'m>,
    framer: Framer<'m>,
    levels: &'m mut [f32],
    compressor: Compressor,
    is_first: bool,
}

#[derive(Debug)]
enum Compressor {
    Log { floor: f32 },
    Pcen(Normalizer),
    Agc(Agc),
}

impl<'m> LogMel<'m> {
    /// A front end that has heard nothing.
    ///
    /// # Errors
    /// A buffer has another length than the tables' configuration asks for.
    pub fn new(tables: TablesRef<'m>, memory: Buffers<'m>) -> Result<Self, LengthError> {
        let Buffers {
            samples,
            spectrum,
            bands,
            levels,
        } = memory;
        let config = tables.config;
        check("the buffer of the spectrum", config.bins(), spectrum.len())?;
        check("the buffer of bands", config.bands, bands.len())?;
        check("the buffer of levels", config.bands, levels.len())?;
        let levels = levels.get_mut(..config.levels()).unwrap_or_default();
        Ok(Self {
            inner: SharedLogMel::new(tables, Kept { samples, levels })?,
            spectrum,
            bands,
        })
    }

    /// What is computed.
    pub fn config(&self) -> Config {
        self.inner.config()
    }

    /// Forgets all that was heard.
    pub fn reset(&mut self) {
        self.inner.reset();
    }

    /// Takes samples from the front of `chunk` until a frame is whole, and returns its [`Config::bands`] features. `None`:
    /// all are taken. Call it until then.
    pub fn next(&mut self, chunk: &mut &[i16]) -> Option<&[f32]> {
        self.inner.advance(chunk, self.spectrum, self.bands)?;
        Some(self.bands)
    }

    /// Takes all samples of `chunk`, and gives the features of every frame that becomes whole to `each`.
    pub fn push(&mut self, mut chunk: &[i16], mut each: impl FnMut(&[f32])) {
        while let Some(features) = self.next(&mut chunk) {
            each(features);
        }
    }
}

impl<'m> SharedLogMel<'m> {
    /// A front end that has heard nothing.
    ///
    /// # Errors
    /// A buffer has another length than the tables' configuration asks for.
    pub fn new(tables: TablesRef<'m>, memory: Kept<'m, f32>) -> Result<Self, LengthError> {
        let config = tables.config;
        memory.check(&config)?;
        Ok(Self {
            tables,
            framer: Framer::new(memory.samples, config.hop),
            levels: memory.levels,
            compressor: match config.compression {
                Compression::Log { floor } => Compressor::Log { floor },
                Compression::Pcen(pcen) => Compressor::Pcen(Normalizer::new(pcen)),
                Compression::Agc(agc) => Compressor::Agc(agc),
            },
            is_first: true,
        })
    }

    /// What is computed.
    pub fn config(&self) -> Config {
        self.tables.config
    }

    /// Forgets all that was heard.
    pub fn reset(&mut self) {
        self.framer.reset();
        self.is_first = true;
    }

    /// Words of `work` that [`Self::next`] needs.
    pub const fn work_words(config: &Config) -> usize {
        2 * config.bins()
    }

    /// Takes samples from the front of `chunk` until a frame is whole, and writes it to the [`Config::bands`] `features`.
    /// Whether there was one; if not, all samples are taken. Call it until then.
    ///
    /// `work` is [`Self::work_words`] or more, whatever is in it; what is left there means nothing.
    ///
    /// # Errors
    /// `work` is too short, or `features` has another length; no samples were taken.
    pub fn next(
        &mut self,
        chunk: &mut &[i16],
        work: &mut [u32],
        features: &mut [f32],
    ) -> Result<bool, LengthError> {
        let config = &self.tables.config;
        let (needed, found) = (Self::work_words(config), work.len());
        check("the buffer of features", config.bands, features.len())?;
        let spectrum = work.get_mut(..needed);
        let spectrum = spectrum.and_then(|words| bytemuck::try_cast_slice_mut(words).ok());
        let what = "the memory for work";
        let spectrum = spectrum.ok_or(LengthError {
            what,
            needed,
            found,
        })?;
        Ok(self.advance(chunk, spectrum, features).is_some())
    }

    /// [`Self::next`] with memory of the right lengths.
    fn advance(
        &mut self,
        chunk: &mut &[i16],
        spectrum: &mut [[f32; 2]],
        bands: &mut [f32],
    ) -> Option<()> {
        let frame = self.framer.take(chunk)?;
        analyze(&self.tables, frame, spectrum, bands);
        self.framer.advance();
        match &self.compressor {
            Compressor::Log { floor } => {
                bands.iter_mut().for_each(|e| *e = ln(*e + *floor));
            }
            Compressor::Pcen(normalizer) => {
                normalizer.apply(self.is_first, bands, self.levels);
            }
            Compressor::Agc(agc) => {
                // one level, as the configuration asks for
                let level = self.levels.first_mut()?;
                agc.apply(self.is_first, bands, level);
            }
        }
        self.is_first = false;
        Some(())
    }
}

/// The energies of a frame's bands.
#[inline(never)]
fn analyze(tables: &TablesRef<'_>, frame: &[i16], spectrum: &mut [[f32; 2]], bands: &mut [f32]) {
    let points = spectrum.as_flattened_mut();
    let mut slots = points.iter_mut();
    for ((sample, window), slot) in frame.iter().zip(tables.window).zip(slots.by_ref()) {
        *slot = f32::from(*sample) * *window;
    }
    slots.for_each(|slot| *slot = 0.0);
    (tables.fft)(points);
    tables
        .bins
        .sum(spectrum, tables.weights, bands, |[re, im], weight| {
            let power = re * re + im * im;
            let rising = power * weight;
            (rising, power - rising)
        });
}
