//! A front end in flash, settings and tables, apart from the firmware: so a device hears as a new model was trained without
//! being built anew. `toeplite image` writes it beside the model, as the section `FRONT_END` of an
//! [image](toeplite::image).
//!
//! # Format
//! All numbers are little-endian. `F`, `B` and `K` are [`Config::frame`], [`Config::bins`] and [`Config::bands`]; the
//! numbers MUST lie at a multiple of 4, and end with the last table.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 2 | format version, 1 |
//! | 2 | 2 | arithmetic, 1 = `f32`, 2 = integers |
//! | 4 | 4 | rate |
//! | 8 | 2 each | frame, hop, bands |
//! | 14 | 2 | compression, 0 = logarithm, 1 = PCEN, 2 = gain control |
//! | 16 | 4 each | low, high |
//! | 24 | 4 each | five f32 of the compression, in the order of its fields; those that it lacks are zero |
//! | 44 | 2 each | the first bin of the first triangle, and bins from there to its peak |
//! | 48 | `2K` | bins from each triangle's peak to its end, u16, then two zero bytes if `K` is odd |
//! | | `4F + 4B` | `f32`: window, weights |
//! | | `4B + 2F + 2B` | integers: twiddles (cosine and sine i16), window, weights u16; then two zero bytes if `F + B` is odd |

mod error;
mod write;

pub use error::StoredError;
pub use write::{stored_bytes, write_fixed, write_float};

use crate::config::{Agc, Compression, Config, ConfigError, Pcen};
use crate::mel::Bins;
use crate::{fixed, tables};
use bytemuck::{AnyBitPattern, try_cast_slice};

/// The format version written and read.
pub const VERSION: u16 = 1;
/// Bytes before the tables.
pub const HEADER_BYTES: usize = 48;

/// The arithmetic of `f32`.
const FLOATS: u16 = 1;
/// That of integers.
const INTEGERS: u16 = 2;
/// Largest entry of a table of integers: 1 in 15 binary places.
const UNIT: u16 = 1 << 15;

/// A front end as it lies in flash, its settings checked.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'t> {
    config: Config,
    integers: bool,
    bins: Bins<'t>,
    tables: &'t [u8],
}

impl<'t> Stored<'t> {
    /// Checks settings and lengths. Tables are checked by [`float`](Self::float) and [`fixed`](Self::fixed).
    ///
    /// # Errors
    /// [`StoredError`] says what is wrong.
    pub fn from_bytes(bytes: &'t [u8]) -> Result<Self, StoredError> {
        let (header, rest) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(StoredError::Length)?;
        match u16_at(header, 0) {
            VERSION => {}
            found => return Err(StoredError::Version { found }),
        }
        let integers = match u16_at(header, 2) {
            FLOATS => false,
            INTEGERS => true,
            _ => return Err(StoredError::Arithmetic),
        };
        let config = config(header)?;
        config.check_numbers()?;
        if stored_bytes(&config, integers) != bytes.len() {
            return Err(StoredError::Length);
        }
        let (counts, tables) = rest
            .split_at_checked(padded(2 * config.bands))
            .ok_or(StoredError::Length)?;
        let bins = Bins {
            start: usize::from(u16_at(header, 44)),
            lead: usize::from(u16_at(header, 46)),
            counts: numbers(counts, config.bands)?,
        };
        let all = bins.counts.iter().map(|count| usize::from(*count));
        if bins.start + bins.lead + all.sum::<usize>() > config.bins() {
            return Err(StoredError::Table { what: "triangles" });
        }
        Ok(Self {
            config,
            integers,
            bins,
            tables,
        })
    }

    /// What is computed.
    pub fn config(&self) -> Config {
        self.config
    }

    /// Whether it is computed in integers.
    pub fn integers(&self) -> bool {
        self.integers
    }

    /// The tables for a [`LogMel`](crate::LogMel).
    ///
    /// # Errors
    /// They are those of integers, or out of range.
    pub fn float(&self) -> Result<tables::TablesRef<'t>, StoredError> {
        if self.integers {
            return Err(StoredError::OtherArithmetic { integers: true });
        }
        let Config { frame, .. } = self.config;
        let bins = self.config.bins();
        let (window, weights) = split(self.tables, 4 * frame)?;
        let (window, weights) = (numbers(window, frame)?, numbers(weights, bins)?);
        let within = |x: &f32| (0.0..=1.0).contains(x);
        if !window.iter().all(within) {
            return Err(StoredError::Table { what: "window" });
        }
        if !weights.iter().all(within) {
            return Err(StoredError::Table { what: "weights" });
        }
        Ok(tables::TablesRef {
            config: self.config,
            window,
            weights,
            bins: self.bins,
            fft: tables::fft(self.config.points()),
        })
    }

    /// The tables for a [`fixed::LogMel`].
    ///
    /// # Errors
    /// They are those of `f32`, or out of range.
    pub fn fixed(&self) -> Result<fixed::TablesRef<'t>, StoredError> {
        if !self.integers {
            return Err(StoredError::OtherArithmetic { integers: false });
        }
        let Config { frame, .. } = self.config;
        let bins = self.config.bins();
        let (twiddles, rest) = split(self.tables, 4 * bins)?;
        let (window, weights) = split(rest, 2 * frame)?;
        let twiddles = numbers(twiddles, bins)?;
        let (window, weights) = (numbers(window, frame)?, numbers(weights, bins)?);
        // longer ones could make the transform overflow; what is added is for the rounding of both
        let longest = i32::from(UNIT) + 2;
        let within = |[re, im]: &[i16; 2]| {
            let (re, im) = (i32::from(*re), i32::from(*im));
            re * re + im * im <= longest * longest
        };
        if !twiddles.iter().all(within) {
            return Err(StoredError::Table { what: "twiddles" });
        }
        if !window.iter().all(|x| *x <= UNIT) {
            return Err(StoredError::Table { what: "window" });
        }
        if !weights.iter().all(|x| *x <= UNIT) {
            return Err(StoredError::Table { what: "weights" });
        }
        Ok(fixed::TablesRef::stored(
            self.config,
            window,
            twiddles,
            weights,
            self.bins,
        ))
    }
}

/// The settings in a header; whether they can be computed is not looked at.
fn config(header: &[u8; HEADER_BYTES]) -> Result<Config, StoredError> {
    let u32_at = |at| u32::from_le_bytes(four(header, at));
    let f32_at = |index: usize| f32::from_le_bytes(four(header, 24 + 4 * index));
    let [a, b, c, d, e] = [0, 1, 2, 3, 4].map(f32_at);
    let compression = match u16_at(header, 14) {
        0 => Compression::Log { floor: a },
        1 => Compression::Pcen(Pcen {
            smoothing: a,
            gain: b,
            bias: c,
            power: d,
            epsilon: e,
        }),
        2 => Compression::Agc(Agc {
            smoothing: a,
            floor: b,
            epsilon: c,
        }),
        _ => return Err(StoredError::Config(ConfigError::Compression)),
    };
    Ok(Config {
        rate: u32_at(4),
        frame: usize::from(u16_at(header, 8)),
        hop: usize::from(u16_at(header, 10)),
        bands: usize::from(u16_at(header, 12)),
        low: u32_at(16),
        high: u32_at(20),
        compression,
    })
}

/// Kind and numbers of a compression, as they are stored.
fn parameters(compression: &Compression) -> (u16, [f32; 5]) {
    match *compression {
        Compression::Log { floor } => (0, [floor, 0.0, 0.0, 0.0, 0.0]),
        Compression::Pcen(Pcen {
            smoothing,
            gain,
            bias,
            power,
            epsilon,
        }) => (1, [smoothing, gain, bias, power, epsilon]),
        Compression::Agc(Agc {
            smoothing,
            floor,
            epsilon,
        }) => (2, [smoothing, floor, epsilon, 0.0, 0.0]),
    }
}

fn split(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), StoredError> {
    bytes.split_at_checked(at).ok_or(StoredError::Length)
}

/// The first `count` numbers of `bytes`, read in place.
fn numbers<T: AnyBitPattern>(bytes: &[u8], count: usize) -> Result<&[T], StoredError> {
    let bytes = bytes.get(..count * size_of::<T>());
    try_cast_slice(bytes.ok_or(StoredError::Length)?).map_err(|_| StoredError::Misaligned)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.map_or(0, |bytes| u16::from_le_bytes(*bytes))
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    let bytes = bytes.get(at..).and_then(|bytes| bytes.first_chunk());
    bytes.copied().unwrap_or_default()
}

/// Up to the next multiple of 4.
const fn padded(bytes: usize) -> usize {
    bytes.next_multiple_of(4)
}

#[cfg(test)]
mod tests;
