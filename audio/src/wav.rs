//! The header of a wav file, read from a stream without a buffer: for recordings on a card, or from a host.
//!
//! ```
//! let mut file: &[u8] = b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\x04\0\0\0\x01\0\xff\xff";
//! let header = toeplite_audio::wav::Header::read(|to| {
//!     let Some((bytes, rest)) = file.split_at_checked(to.len()) else { return false };
//!     to.copy_from_slice(bytes);
//!     file = rest;
//!     true
//! })?;
//! assert_eq!((header.rate, header.samples), (8000, 2));
//! assert_eq!(file, [1, 0, 255, 255]);                     // i16, little-endian
//! # Ok::<(), toeplite_audio::wav::Error>(())
//! ```

use core::fmt;

/// What a file of one channel and samples of 16 bits says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Samples a second.
    pub rate: u32,
    /// Samples that follow. Programs that wrote to a pipe did not know: then it is more than there are.
    pub samples: u32,
}

/// Plain integers, and the format whose true name comes later.
const PCM: u16 = 1;
const EXTENSIBLE: u16 = 0xFFFE;
/// Bytes of a format that are looked at: as far as an extensible one's true name.
const FORMAT_BYTES: usize = 26;

impl Header {
    /// Reads up to the first sample. `fill` takes the next bytes of the file, as many as the slice has; it returns `false` if
    /// there are no more. Chunks of other kinds, such as titles, are read over.
    ///
    /// # Errors
    /// It is not a wav file, has samples that this does not know, or ends before the first of them.
    pub fn read(mut fill: impl FnMut(&mut [u8]) -> bool) -> Result<Self, Error> {
        let mut riff = [0; 12];
        if !fill(&mut riff) || !riff.starts_with(b"RIFF") || !riff.ends_with(b"WAVE") {
            return Err(Error::NotWav);
        }
        let mut rate = None;
        loop {
            let mut chunk = [0; 8];
            need(fill(&mut chunk))?;
            let [a, b, c, d, size @ ..] = chunk;
            let size = u32::from_le_bytes(size);
            match (&[a, b, c, d], rate) {
                (b"fmt ", _) => rate = Some(format(size, &mut fill)?),
                (b"data", Some(rate)) => {
                    let samples = size / 2;
                    return Ok(Self { rate, samples });
                }
                (b"data", None) => return Err(Error::Format),
                _ => skip(padded(size), &mut fill)?,
            }
        }
    }
}

/// Chunks have an even number of bytes.
fn padded(size: u32) -> u32 {
    size.saturating_add(size % 2)
}

/// Reads a format; samples a second.
fn format(size: u32, fill: &mut impl FnMut(&mut [u8]) -> bool) -> Result<u32, Error> {
    let mut format = [0; FORMAT_BYTES];
    let looked_at = FORMAT_BYTES.min(size as usize);
    let part = format.get_mut(..looked_at).ok_or(Error::Format)?;
    need(fill(part))?;
    skip(padded(size) - looked_at as u32, fill)?;
    let half = |at: usize| match format.get(at..at + 2) {
        Some(&[low, high]) => u16::from_le_bytes([low, high]),
        _ => 0,
    };
    let kind = match half(0) {
        EXTENSIBLE => half(24),
        kind => kind,
    };
    let (channels, bits) = (half(2), half(14));
    if size < 16 || kind != PCM || channels != 1 || bits != 16 {
        return Err(Error::Format);
    }
    Ok(u32::from(half(4)) | u32::from(half(6)) << 16)
}

/// Reads over so many bytes.
fn skip(mut bytes: u32, fill: &mut impl FnMut(&mut [u8]) -> bool) -> Result<(), Error> {
    let mut piece = [0; 16];
    while bytes > 0 {
        let length = bytes.min(piece.len() as u32);
        let part = piece.get_mut(..length as usize).ok_or(Error::Truncated)?;
        need(fill(part))?;
        bytes -= length;
    }
    Ok(())
}

fn need(there: bool) -> Result<(), Error> {
    there.then_some(()).ok_or(Error::Truncated)
}

/// Why a file has no samples for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It does not begin as wav files do.
    NotWav,
    /// Its samples are not 16-bit integers of one channel.
    Format,
    /// It ends before the first sample.
    Truncated,
}

impl Error {
    /// What is wrong, and what to do.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NotWav => "it is not a wav file",
            Self::Format => {
                "its samples must be integers of 16 bits of one channel: `sox in.wav -b 16 -c 1 out.wav` makes them"
            }
            Self::Truncated => "the wav file ends before its samples begin",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl core::error::Error for Error {}
