//! Writing, on the host.

use super::{FLOATS, HEADER_BYTES, INTEGERS, VERSION, padded, parameters};
use crate::config::Config;
use crate::mel::Bins;
use crate::{fixed, tables};

/// Bytes of a stored front end.
pub const fn stored_bytes(config: &Config, integers: bool) -> usize {
    let (frame, bins) = (config.frame, config.bins());
    let tables = match integers {
        true => 4 * bins + padded(2 * frame + 2 * bins),
        false => 4 * frame + 4 * bins,
    };
    HEADER_BYTES + padded(2 * config.bands) + tables
}

/// Writes the front end of these tables to `to`, whose length is that of [`stored_bytes`]; nothing if it is not.
pub fn write_float(tables: &tables::TablesRef<'_>, to: &mut [u8]) -> Option<()> {
    let mut writer = Writer::new(&tables.config, false, &tables.bins, to)?;
    for number in tables.window.iter().chain(tables.weights) {
        writer.put(&number.to_le_bytes())?;
    }
    Some(())
}

/// [`write_float`] for the front end in integers.
pub fn write_fixed(tables: &fixed::TablesRef<'_>, to: &mut [u8]) -> Option<()> {
    let (config, bins) = (tables.config(), tables.bins);
    let mut writer = Writer::new(&config, true, &bins, to)?;
    for number in tables.twiddles.as_flattened() {
        writer.put(&number.to_le_bytes())?;
    }
    for number in tables.window.iter().chain(tables.weights) {
        writer.put(&number.to_le_bytes())?;
    }
    Some(())
}

/// What is still to be written.
struct Writer<'w>(&'w mut [u8]);

impl<'w> Writer<'w> {
    /// Writes settings and triangles; what is left is for tables.
    fn new(config: &Config, integers: bool, bins: &Bins<'_>, to: &'w mut [u8]) -> Option<Self> {
        if to.len() != stored_bytes(config, integers) {
            return None;
        }
        to.fill(0);
        let mut writer = Self(to);
        let (kind, numbers) = parameters(&config.compression);
        let arithmetic = if integers { INTEGERS } else { FLOATS };
        writer.put(&VERSION.to_le_bytes())?;
        writer.put(&arithmetic.to_le_bytes())?;
        writer.put(&config.rate.to_le_bytes())?;
        for number in [config.frame, config.hop, config.bands] {
            writer.put(&u16::try_from(number).ok()?.to_le_bytes())?;
        }
        writer.put(&kind.to_le_bytes())?;
        writer.put(&config.low.to_le_bytes())?;
        writer.put(&config.high.to_le_bytes())?;
        for number in numbers {
            writer.put(&number.to_le_bytes())?;
        }
        for number in [bins.start, bins.lead] {
            writer.put(&u16::try_from(number).ok()?.to_le_bytes())?;
        }
        for count in bins.counts {
            writer.put(&count.to_le_bytes())?;
        }
        let padding = padded(2 * config.bands) - 2 * config.bands;
        writer.put([0; 2].get(..padding)?)?;
        Some(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let (first, rest) = core::mem::take(&mut self.0).split_at_mut_checked(bytes.len())?;
        first.copy_from_slice(bytes);
        self.0 = rest;
        Some(())
    }
}
