//! A recording on the host, as a microphone would hand it out: a few samples at a time.

use crate::failure::Failure;
use crate::model_meta::front_end::CONFIG;
use boards::{Escaped, File};
use toeplite_audio::wav::Header;

/// Samples at a time: as many as a hop has. The front end takes any number.
pub const CHUNK: usize = CONFIG.hop;

/// An open recording. A microphone's driver would stand here: samples by DMA into two buffers.
pub struct Microphone {
    file: File,
    /// Samples to come.
    left: u32,
}

impl Microphone {
    /// Opens a wav file of the front end's sampling rate.
    pub fn open(path: Escaped<'_>, rate: u32) -> Result<Self, Failure> {
        let file = File::open(path).ok_or(Failure::NoFile)?;
        let header = Header::read(|to| file.read(to) == to.len()).map_err(Failure::Wav)?;
        if header.rate != rate {
            return Err(Failure::Rate);
        }
        Ok(Self {
            file,
            left: header.samples,
        })
    }

    /// The next samples, in `chunk`; none at the end.
    pub fn listen<'c>(&mut self, chunk: &'c mut [i16; CHUNK]) -> &'c [i16] {
        let mut bytes = [[0; 2]; CHUNK];
        let wanted = CHUNK.min(self.left as usize);
        let part = bytes.get_mut(..wanted).unwrap_or_default();
        let read = self.file.read(part.as_flattened_mut()) / 2;
        self.left -= read as u32;
        for (sample, bytes) in chunk.iter_mut().zip(bytes) {
            *sample = i16::from_le_bytes(bytes);
        }
        chunk.get(..read).unwrap_or_default()
    }
}
