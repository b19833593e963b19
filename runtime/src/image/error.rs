//! What can be wrong with a partition.

use core::fmt;

/// Why a partition has no image that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageError {
    /// Erased, or never written: no fault.
    Empty,
    /// What is there begins otherwise.
    BadMagic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// Made by a newer `toeplite image`.
    UnsupportedVersion {
        /// The image's format version.
        found: u16,
    },
    /// The partition does not begin at a multiple of 16.
    Misaligned {
        /// Its address modulo 16.
        remainder: usize,
    },
    /// The image is longer than the partition.
    TooLong {
        /// Bytes that the image has.
        length: usize,
        /// Bytes of the partition.
        partition: usize,
    },
    /// The last bytes were never written: flashing was interrupted.
    Incomplete {
        /// Bytes that the image should have.
        length: usize,
    },
    /// Bytes are others than those that were written.
    Corrupt {
        /// CRC-32 in the header.
        expected: u32,
        /// CRC-32 of the bytes.
        found: u32,
    },
    /// A section that no writer of this format writes.
    BadSection {
        /// Where it begins.
        offset: usize,
    },
    /// There is no model.
    NoModel,
    /// Names of classes that do not follow each other, or are no text.
    BadClasses,
}

impl ImageError {
    /// What is wrong and what to do, without numbers: for devices that do without `core::fmt`.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Empty => "the partition is empty",
            Self::BadMagic { .. } => {
                "the partition has something else than an image: write one made by `toeplite image` to its beginning"
            }
            Self::UnsupportedVersion { .. } => {
                "the image is of another version of the format: update the firmware, or make the image by its version of toeplite"
            }
            Self::Misaligned { .. } => {
                "the partition does not begin at a multiple of 16: correct memory.x"
            }
            Self::TooLong { .. } => "the image is longer than the partition",
            Self::Incomplete { .. } => {
                "the image's end is missing: flashing was interrupted; flash it again"
            }
            Self::Corrupt { .. } => "the image is corrupt: its checksum is another; flash it again",
            Self::BadSection { .. } => {
                "the image has a section that makes no sense; make it again by `toeplite image`"
            }
            Self::NoModel => "the image has no model",
            Self::BadClasses => {
                "the image's names of classes make no sense; make it again by `toeplite image`"
            }
        }
    }
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        match self {
            Self::BadMagic { found } => write!(f, " (it begins with {found:02x?})"),
            Self::UnsupportedVersion { found } => write!(f, " (version {found})"),
            Self::Misaligned { remainder } => write!(f, " (it is {remainder} bytes past one)"),
            Self::TooLong { length, partition } => {
                write!(f, ": {length} bytes, the partition has {partition}")
            }
            Self::Incomplete { length } => write!(f, " ({length} bytes in all)"),
            Self::Corrupt { expected, found } => {
                write!(f, " ({found:08x}, not {expected:08x})")
            }
            Self::BadSection { offset } => write!(f, " (at byte {offset})"),
            Self::Empty | Self::NoModel | Self::BadClasses => Ok(()),
        }
    }
}

impl core::error::Error for ImageError {}
