//! A recording on the host, as a microphone would hand it out: a few samples at a time.

use crate::failure::Failure;
use boards::{Escaped, File};
use toeplite_audio::wav::Header;

/// Samples at a time. The front end takes any number; more of them take memory.
pub const CHUNK: usize = 32;

/// An open recording. A microphone's driver would stand here: samples by DMA into two buffers.
pub struct Microphone {
    file: File,
    rate: u32,
    /// Samples to come.
    left: u32,
}

impl Microphone {
    /// Opens a wav file.
    pub fn open(path: Escaped<'_>) -> Result<Self, Failure> {
        let file = File::open(path).ok_or(Failure::NoFile)?;
        let header = Header::read(|to| file.read(to) == to.len()).map_err(Failure::Wav)?;
        Ok(Self {
            file,
            rate: header.rate,
            left: header.samples,
        })
    }

    /// Samples a second.
    pub fn rate(&self) -> u32 {
        self.rate
    }

    /// The next samples, in `chunk`; none at the end.
    #[inline(never)]
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
