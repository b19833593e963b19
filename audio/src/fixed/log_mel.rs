//! The front end in integers.

use super::agc::Control;
use super::fft::{load, real};
use super::functions::{LN_2, LOG_PLACES, ln_of};
use super::pcen::Normalizer;
use super::tables::TablesRef;
use super::{ONE, PLACES};
use crate::config::{Compression, Config};
use crate::framer::Framer;
use crate::shared::Kept;
use crate::{LengthError, check};

/// Binary places of energies: 30 of the squares of samples, 15 of weights.
pub(super) const ENERGY_PLACES: u32 = 45;

/// Binary places of samples behind the window.
const SAMPLE_PLACES: u32 = 4;

/// Memory of a [`LogMel`]: `2 FRAME + 8 BINS + 18 BANDS` bytes, for a `static`.
#[derive(Debug)]
pub struct Memory<const FRAME: usize, const BINS: usize, const BANDS: usize> {
    samples: [i16; FRAME],
    spectrum: [[i32; 2]; BINS],
    energies: [u64; BANDS],
    levels: [u64; BANDS],
    features: [i16; BANDS],
}

impl<const FRAME: usize, const BINS: usize, const BANDS: usize> Memory<FRAME, BINS, BANDS> {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            samples: [0; FRAME],
            spectrum: [[0; 2]; BINS],
            energies: [0; BANDS],
            levels: [0; BANDS],
            features: [0; BANDS],
        }
    }

    /// Its parts.
    pub const fn buffers(&mut self) -> Buffers<'_> {
        Buffers {
            samples: &mut self.samples,
            spectrum: &mut self.spectrum,
            energies: &mut self.energies,
            levels: &mut self.levels,
            features: &mut self.features,
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
    pub spectrum: &'m mut [[i32; 2]],
    /// [`Config::bands`] elements, in use within a call only.
    pub energies: &'m mut [u64],
    /// [`Config::bands`] elements.
    pub levels: &'m mut [u64],
    /// [`Config::bands`] elements.
    pub features: &'m mut [i16],
}

/// Features of a stream of samples, a frame's at a time, in integers.
#[derive(Debug)]
pub struct LogMel<'m> {
    inner: SharedLogMel<'m>,
    spectrum: &'m mut [[i32; 2]],
    energies: &'m mut [u64],
    features: &'m mut [i16],
}

/// A [`LogMel`] without the memory that is in use within a call only: the caller lends it at each call, and has it for other
/// work in between. Its features are the same numbers, as `f32`, which they are exactly.
#[derive(Debug)]
pub struct SharedLogMel<'m> {
    tables: TablesRef<'m>,
    framer: Framer<'m>,
    levels: &'m mut [u64],
    compressor: Compressor,
    is_first: bool,
}

#[derive(Debug)]
enum Compressor {
    Log { floor: u64 },
    Pcen(Normalizer),
    Agc(Control),
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
            energies,
            levels,
            features,
        } = memory;
        let config = tables.config;
        check("the buffer of the spectrum", config.bins(), spectrum.len())?;
        check("the buffer of energies", config.bands, energies.len())?;
        check("the buffer of levels", config.bands, levels.len())?;
        check("the buffer of features", config.bands, features.len())?;
        let levels = levels.get_mut(..config.levels()).unwrap_or_default();
        Ok(Self {
            inner: SharedLogMel::new(tables, Kept { samples, levels })?,
            spectrum,
            energies,
            features,
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

    /// Takes samples from the front of `chunk` until a frame is whole, and returns its [`Config::bands`] features in units
    /// of 1 / [`ONE`]. `None`: all are taken. Call it until then.
    pub fn next(&mut self, chunk: &mut &[i16]) -> Option<&[i16]> {
        let Self {
            inner,
            spectrum,
            energies,
            features,
        } = self;
        inner.advance(chunk, spectrum, energies, features)?;
        Some(features)
    }

    /// Takes all samples of `chunk`, and gives the features of every frame that becomes whole to `each`.
    pub fn push(&mut self, mut chunk: &[i16], mut each: impl FnMut(&[i16])) {
        while let Some(features) = self.next(&mut chunk) {
            each(features);
        }
    }
}

/// A feature, in units of 1 / [`ONE`] or as the number that it is.
pub(super) trait Feature {
    /// Of these units.
    fn of(units: i16) -> Self;
}

impl Feature for i16 {
    fn of(units: i16) -> Self {
        units
    }
}

impl Feature for f32 {
    fn of(units: i16) -> Self {
        // a power of two: exact
        Self::from(units) * (1.0 / Self::from(ONE))
    }
}

impl<'m> SharedLogMel<'m> {
    /// A front end that has heard nothing.
    ///
    /// # Errors
    /// A buffer has another length than the tables' configuration asks for.
    pub fn new(tables: TablesRef<'m>, memory: Kept<'m, u64>) -> Result<Self, LengthError> {
        let config = tables.config;
        memory.check(&config)?;
        Ok(Self {
            tables,
            framer: Framer::new(memory.samples, config.hop),
            levels: memory.levels,
            compressor: match config.compression {
                Compression::Log { floor } => Compressor::Log {
                    floor: energy(floor),
                },
                Compression::Pcen(pcen) => Compressor::Pcen(Normalizer::new(pcen)),
                Compression::Agc(agc) => Compressor::Agc(Control::new(agc)),
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

    /// Words of `work` that [`Self::next`] needs: spectrum, energies, and one to align them by.
    pub const fn work_words(config: &Config) -> usize {
        2 * (config.bins() + config.bands) + 1
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
        check("the buffer of features", config.bands, features.len())?;
        let (needed, found) = (Self::work_words(config), work.len());
        let what = "the memory for work";
        let too_short = LengthError {
            what,
            needed,
            found,
        };
        if found < needed {
            return Err(too_short);
        }
        let (_, pairs, _) = bytemuck::pod_align_to_mut::<u32, u64>(work);
        let parts = pairs.split_at_mut_checked(config.bands);
        let (energies, spectrum) = parts.ok_or(too_short)?;
        let spectrum = spectrum.get_mut(..config.bins());
        let spectrum = spectrum.and_then(|pairs| bytemuck::try_cast_slice_mut(pairs).ok());
        let spectrum = spectrum.ok_or(too_short)?;
        Ok(self.advance(chunk, spectrum, energies, features).is_some())
    }

    /// [`Self::next`] with memory of the right lengths.
    fn advance(
        &mut self,
        chunk: &mut &[i16],
        spectrum: &mut [[i32; 2]],
        energies: &mut [u64],
        features: &mut [impl Feature],
    ) -> Option<()> {
        let frame = self.framer.take(chunk)?;
        analyze(&self.tables, frame, spectrum, energies);
        self.framer.advance();
        self.compress(energies, features)?;
        self.is_first = false;
        Some(())
    }

    fn compress<T: Feature>(&mut self, energies: &[u64], features: &mut [T]) -> Option<()> {
        let pairs = features.iter_mut().zip(energies);
        match &self.compressor {
            Compressor::Log { floor } => {
                let one = ENERGY_PLACES as i32 * LN_2;
                pairs.for_each(|(to, energy)| *to = T::of(feature(ln_of(*energy + *floor) - one)));
            }
            Compressor::Pcen(normalizer) => {
                for ((to, energy), level) in pairs.zip(self.levels.iter_mut()) {
                    *to = T::of(normalizer.feature(self.is_first, *energy, level));
                }
            }
            Compressor::Agc(control) => {
                // one level, as the configuration asks for
                let level = self.levels.first_mut()?;
                control.apply(self.is_first, energies, level, features);
            }
        }
        Some(())
    }
}

/// A number as energies are.
pub(super) fn energy(x: f32) -> u64 {
    (x * (1u64 << ENERGY_PLACES) as f32) as u64
}

/// A logarithm as features are.
pub(super) fn feature(natural: i32) -> i16 {
    let shift = LOG_PLACES - PLACES;
    let rounded = (natural + (1 << (shift - 1))) >> shift;
    rounded.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}

/// The energies of a frame's bands, below 2^63.
#[inline(never)]
fn analyze(tables: &TablesRef<'_>, frame: &[i16], spectrum: &mut [[i32; 2]], energies: &mut [u64]) {
    const SHIFT: u32 = 15 - SAMPLE_PLACES;
    let windowed = frame.iter().zip(tables.window).map(|(sample, window)| {
        let product = i32::from(*sample) * i32::from(*window);
        (product + (1 << (SHIFT - 1))) >> SHIFT
    });
    load(windowed, spectrum);
    real(spectrum, tables.twiddles);
    tables
        .bins
        .sum(spectrum, tables.weights, energies, |[re, im], weight| {
            // the spectrum is twice what it should be, and has the places of samples
            let power = power(*re, *im) >> (2 * (SAMPLE_PLACES + 1));
            let rising = times(power, *weight);
            (rising, (power << 15) - rising)
        });
}

/// `re^2 + im^2` of numbers up to 2^29, by products of 32 bits: small cores have no others.
#[inline(always)]
fn power(re: i32, im: i32) -> u64 {
    let halves = |x: i32| (x.unsigned_abs() >> 16, x.unsigned_abs() & 0xFFFF);
    let ((a, b), (c, d)) = (halves(re), halves(im));
    let (high, middle) = (a * a + c * c, a * b + c * d);
    (u64::from(high) << 32) + (u64::from(middle) << 17) + u64::from(b * b) + u64::from(d * d)
}

/// `x weight` of numbers up to 2^47, by products of 32 bits.
#[inline(always)]
fn times(x: u64, weight: u16) -> u64 {
    let weight = u32::from(weight);
    let (high, low) = ((x >> 32) as u32, x as u32);
    let (middle, low) = ((low >> 16) * weight, (low & 0xFFFF) * weight);
    (u64::from(high * weight) << 32) + (u64::from(middle) << 16) + u64::from(low)
}

#[cfg(test)]
mod tests {
    use super::{power, times};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_in_parts_are_exact(re in -(1 << 29)..=1 << 29, im in -(1 << 29)..=1 << 29, x in 0u64..1 << 47, weight in 0u16..=1 << 15) {
            let square = |x: i32| (i64::from(x) * i64::from(x)) as u64;
            prop_assert_eq!(power(re, im), square(re) + square(im));
            prop_assert_eq!(times(x, weight), x * u64::from(weight));
        }
    }
}
