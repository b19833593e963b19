//! A file of samples on the host, as a sensor would hand them out: one at a time.

use crate::failure::Failure;
use crate::model_meta::front_end::CHANNELS;
use boards::{Escaped, File};

/// An integer for each channel.
pub type Sample = [i16; CHANNELS.len()];

/// An open file. A sensor's driver would stand here: a sample when its data-ready line says so, or several from its FIFO.
pub struct Stream(File);

impl Stream {
    /// Opens a file of 16-bit little-endian integers, sample by sample.
    pub fn open(path: Escaped<'_>) -> Result<Self, Failure> {
        File::open(path).map(Self).ok_or(Failure::NoFile)
    }

    /// The next sample; `None` at the end.
    pub fn next(&self) -> Result<Option<Sample>, Failure> {
        let mut bytes = [[0; 2]; CHANNELS.len()];
        let all = bytes.as_flattened().len();
        match self.0.read(bytes.as_flattened_mut()) {
            0 => Ok(None),
            read if read == all => Ok(Some(bytes.map(i16::from_le_bytes))),
            _ => Err(Failure::Cut),
        }
    }
}
