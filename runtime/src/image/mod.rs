//! Images: a model and what firmware must know beside it, for a partition of a board's flash that is written without the
//! firmware. `toeplite image` makes them.
//!
//! ```
//! use toeplite::image::{self, Image, kind};
//!
//! # #[repr(align(16))] struct Flash([u8; 256]);
//! # let mut flash = Flash([0xFF; 256]);
//! # let partition = &mut flash.0;
//! assert_eq!(Image::from_bytes(partition).err(), Some(image::ImageError::Empty));
//!
//! image::write(&[(kind::MODEL, b"a model"), (kind::CLASSES, b"\x02no\x03yes")], partition).unwrap();
//! let image = Image::from_bytes(partition)?;
//! assert_eq!(image.model(), b"a model");          // to Model::from_bytes
//! assert!(image.classes().unwrap().eq(["no", "yes"]));
//! # Ok::<(), image::ImageError>(())
//! ```
//!
//! # Format
//! All numbers are little-endian. An image begins where the partition does, at a multiple of 16; what follows it there
//! does not matter.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic, `TIMG` |
//! | 4 | 2 | format version, 1 |
//! | 6 | 2 | zero |
//! | 8 | 4 | length of the whole image in bytes, a multiple of 16 |
//! | 12 | 4 | CRC-32 (IEEE 802.3) of bytes 16 to the end |
//! | 16 | | sections, one after the other |
//!
//! A section is 16 bytes, kind u16, two zero bytes, length in bytes u32, eight zero bytes, then so many bytes, then zeros up to
//! a multiple of 16. Each kind MUST be there once at most, [`kind::MODEL`] once; the last section is [`kind::END`], without
//! bytes, and MUST end where the image does. Readers MUST skip kinds that they do not know.
//!
//! | kind | bytes |
//! | --- | --- |
//! | 0, `END` | none |
//! | 1, `MODEL` | a [blob](crate::format) |
//! | 2, `CLASSES` | of a classifier: the classes' names by number, each a length u8, not 0, and so many bytes of UTF-8 |
//! | 3, `FRONT_END` | of a classifier of sounds: settings and tables of its audio front end, see `toeplite_audio::stored` |
//!
//! Sixteen bytes of `FF`, or of zeros, where an image would begin are an empty partition: erased, or never written.

mod error;

pub use error::ImageError;

use crate::format::{ALIGNMENT, crc32};
use crate::model::{read_u16, read_u32};

/// First four bytes of an image.
pub const MAGIC: [u8; 4] = *b"TIMG";
/// The format version written and read.
pub const VERSION: u16 = 1;
/// Bytes of the header, and of a section's.
pub const HEADER_BYTES: usize = 16;

/// Kinds of sections.
pub mod kind {
    /// Ends the image.
    pub const END: u16 = 0;
    /// A blob.
    pub const MODEL: u16 = 1;
    /// Names of a classifier's classes.
    pub const CLASSES: u16 = 2;
    /// Audio front end of a classifier of sounds.
    pub const FRONT_END: u16 = 3;
}

/// An image in flash, checked once, read in place.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// From the header to the end section.
    bytes: &'a [u8],
    model: &'a [u8],
}

impl<'a> Image<'a> {
    /// Looks at the beginning of `partition`, which lies at a multiple of 16 and may be longer than the image. Every byte of
    /// the image is read, for the checksum. The model inside is not judged: that is what [`Model::from_bytes`](crate::Model::from_bytes)
    /// does.
    ///
    /// # Errors
    /// [`ImageError`] says what is wrong; [`ImageError::Empty`] is no fault.
    pub fn from_bytes(partition: &'a [u8]) -> Result<Self, ImageError> {
        let bytes = envelope(partition)?;
        let mut image = Self { bytes, model: &[] };
        check_sections(&image)?;
        image.model = image.section(kind::MODEL).ok_or(ImageError::NoModel)?;
        if let Some(names) = image.section(kind::CLASSES) {
            Classes::check(names)?;
        }
        Ok(image)
    }

    /// Bytes of the whole image.
    pub fn image_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The blob, at a multiple of 16.
    pub fn model(&self) -> &'a [u8] {
        self.model
    }

    /// Names of the classes, if there are any.
    pub fn classes(&self) -> Option<Classes<'a>> {
        self.section(kind::CLASSES).map(Classes)
    }

    /// The bytes of a section, at a multiple of 16, if it is there.
    pub fn section(&self, kind: u16) -> Option<&'a [u8]> {
        self.sections()
            .map_while(Result::ok)
            .find(|section| section.kind == kind)
            .map(|section| section.bytes)
    }

    fn sections(&self) -> Sections<'a> {
        Sections {
            image: self.bytes,
            at: HEADER_BYTES,
        }
    }
}

/// Names of classes, by number.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a>(&'a [u8]);

impl Classes<'_> {
    /// Whether names follow each other up to the end.
    fn check(bytes: &[u8]) -> Result<(), ImageError> {
        let mut names = Classes(bytes);
        while !names.0.is_empty() {
            names.next().ok_or(ImageError::BadClasses)?;
        }
        Ok(())
    }
}

impl<'a> Iterator for Classes<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (length, rest) = self.0.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        if name.is_empty() {
            return None;
        }
        let name = core::str::from_utf8(name).ok()?;
        self.0 = rest;
        Some(name)
    }
}

/// Magic, version, length, alignment and checksum; returns the image's own bytes.
fn envelope(partition: &[u8]) -> Result<&[u8], ImageError> {
    let header = partition.first_chunk::<HEADER_BYTES>();
    let header = header.ok_or(ImageError::TooLong {
        length: HEADER_BYTES,
        partition: partition.len(),
    })?;
    if *header == [0xFF; HEADER_BYTES] || *header == [0; HEADER_BYTES] {
        return Err(ImageError::Empty);
    }
    let [a, b, c, d, ..] = *header;
    if [a, b, c, d] != MAGIC {
        let found = [a, b, c, d];
        return Err(ImageError::BadMagic { found });
    }
    match read_u16(header, 4) {
        VERSION => {}
        found => return Err(ImageError::UnsupportedVersion { found }),
    }
    let remainder = partition.as_ptr().addr() % ALIGNMENT;
    if remainder != 0 {
        return Err(ImageError::Misaligned { remainder });
    }
    let length = read_u32(header, 8) as usize;
    let bytes = partition.get(..length).ok_or(ImageError::TooLong {
        length,
        partition: partition.len(),
    })?;
    let (expected, rest) = (read_u32(header, 12), bytes.get(HEADER_BYTES..));
    let found = crc32(rest.unwrap_or_default());
    if expected != found {
        // Flash that was not written is all ones. Where erased flash is zeros, an image that was cut short cannot be told from
        // a corrupt one: every image ends with zeros.
        let end = bytes.last_chunk::<HEADER_BYTES>();
        let erased = end == Some(&[0xFF; HEADER_BYTES]);
        return Err(match erased {
            true => ImageError::Incomplete { length },
            false => ImageError::Corrupt { expected, found },
        });
    }
    Ok(bytes)
}

/// Every section has its place, and every kind is there once at most.
fn check_sections(image: &Image<'_>) -> Result<(), ImageError> {
    let mut sections = image.sections();
    loop {
        let offset = sections.at;
        let section = sections.next().ok_or(ImageError::BadSection { offset })??;
        if section.kind == kind::END {
            let is_last = section.bytes.is_empty() && sections.at == image.bytes.len();
            return match is_last {
                true => Ok(()),
                false => Err(ImageError::BadSection { offset }),
            };
        }
        let mut later = Sections { ..sections };
        if later.any(|other| other.is_ok_and(|other| other.kind == section.kind)) {
            return Err(ImageError::BadSection { offset });
        }
    }
}

/// A section.
struct Section<'a> {
    kind: u16,
    bytes: &'a [u8],
}

/// Walks from one section to the next; an error is the last item.
struct Sections<'a> {
    image: &'a [u8],
    at: usize,
}

impl<'a> Sections<'a> {
    /// The section at `at`, and where the next one is.
    fn read(&self) -> Option<(Section<'a>, usize)> {
        let rest = self.image.get(self.at..)?;
        let (header, rest) = rest.split_first_chunk::<HEADER_BYTES>()?;
        let length = read_u32(header, 4) as usize;
        let bytes = rest.get(..length)?;
        let padded = length.checked_next_multiple_of(ALIGNMENT)?;
        let padding = rest.get(length..padded)?;
        let [_, _, a, b, _, _, _, _, zeros @ ..] = *header;
        if [a, b] != [0; 2] || zeros != [0; 8] || padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        let kind = read_u16(header, 0);
        let next = self.at + HEADER_BYTES + padded;
        Some((Section { kind, bytes }, next))
    }
}

impl<'a> Iterator for Sections<'a> {
    type Item = Result<Section<'a>, ImageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.image.len() {
            return None;
        }
        let Some((section, next)) = self.read() else {
            let offset = core::mem::replace(&mut self.at, usize::MAX);
            return Some(Err(ImageError::BadSection { offset }));
        };
        self.at = next;
        Some(Ok(section))
    }
}

/// Bytes of an image of these sections, kinds and bytes, the end not counted among them; nothing if it were longer than
/// 4 GiB.
pub fn image_bytes(sections: &[(u16, &[u8])]) -> Option<usize> {
    let mut length = 2 * HEADER_BYTES;
    for (_, bytes) in sections {
        let padded = bytes.len().checked_next_multiple_of(ALIGNMENT)?;
        length = length.checked_add(HEADER_BYTES)?.checked_add(padded)?;
    }
    u32::try_from(length).ok().map(|_| length)
}

/// Writes an image of these sections, without the end, to the beginning of `to`, and returns how long it is; nothing if `to`
/// is too short. [`Image::from_bytes`] says whether the sections make sense.
pub fn write(sections: &[(u16, &[u8])], to: &mut [u8]) -> Option<usize> {
    let length = image_bytes(sections)?;
    let image = to.get_mut(..length)?;
    image.fill(0);
    let mut at = HEADER_BYTES;
    for (kind, bytes) in sections {
        put(image, at, &kind.to_le_bytes())?;
        let size = u32::try_from(bytes.len()).ok()?;
        put(image, at + 4, &size.to_le_bytes())?;
        put(image, at + HEADER_BYTES, bytes)?;
        at += HEADER_BYTES + bytes.len().next_multiple_of(ALIGNMENT);
    }
    put(image, 0, &MAGIC)?;
    put(image, 4, &VERSION.to_le_bytes())?;
    put(image, 8, &(length as u32).to_le_bytes())?;
    let crc = crc32(image.get(HEADER_BYTES..)?);
    put(image, 12, &crc.to_le_bytes())?;
    Some(length)
}

fn put(image: &mut [u8], at: usize, bytes: &[u8]) -> Option<()> {
    let end = at.checked_add(bytes.len())?;
    image.get_mut(at..end)?.copy_from_slice(bytes);
    Some(())
}

#[cfg(test)]
mod tests;
