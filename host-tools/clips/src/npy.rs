//! NumPy's `.npy`: magic, version, a Python dictionary as text, the numbers.

use super::tensor::{Array, NumberFormat};
use thiserror::Error;

/// Why an array was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NpyError {
    /// The first bytes are others.
    #[error("not an array of NumPy: it does not begin with \\x93NUMPY")]
    Magic,
    /// A version that did not exist when this was written.
    #[error("version {0} of the format: 1 to 3 are read")]
    Version(u8),
    /// The file ends early, or goes on.
    #[error("{expected} bytes of numbers are expected, found {found}: the file may be truncated")]
    Length {
        /// Bytes that the header promises.
        expected: usize,
        /// Bytes that are there.
        found: usize,
    },
    /// The header is damaged.
    #[error("its header cannot be understood: {0}")]
    Header(&'static str),
    /// A number format that is not read.
    #[error(
        "numbers of type {0:?}: little-endian floats and integers are read; use .astype(np.float32)"
    )]
    Format(String),
    /// Columns first.
    #[error("stored column by column: save np.ascontiguousarray(x)")]
    Fortran,
}

/// Description of a `.npy` and its numbers.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct NpyArray<'a> {
    /// Dimensions.
    pub shape: Vec<usize>,
    /// Number format.
    pub format: NumberFormat,
    /// The numbers' bytes: as many as shape and format need.
    pub bytes: &'a [u8],
}

impl<'a> NpyArray<'a> {
    /// Reads the contents of a `.npy` file.
    ///
    /// # Errors
    /// [`NpyError`] for everything that is not one.
    pub(super) fn parse(file: &'a [u8]) -> Result<Self, NpyError> {
        let rest = file.strip_prefix(b"\x93NUMPY").ok_or(NpyError::Magic)?;
        let truncated = NpyError::Header("it is truncated");
        let (&[major, _minor], rest) = rest.split_first_chunk().ok_or(truncated.clone())?;
        let (length, rest) = match major {
            1 => {
                let (length, rest) = rest.split_first_chunk().ok_or(truncated.clone())?;
                (usize::from(u16::from_le_bytes(*length)), rest)
            }
            2 | 3 => {
                let (length, rest) = rest.split_first_chunk().ok_or(truncated.clone())?;
                (u32::from_le_bytes(*length) as usize, rest)
            }
            other => return Err(NpyError::Version(other)),
        };
        let (header, bytes) = rest.split_at_checked(length).ok_or(truncated)?;
        let header = std::str::from_utf8(header).map_err(|_| NpyError::Header("it is not text"))?;
        let header = Header::parse(header)?;
        if header.fortran {
            return Err(NpyError::Fortran);
        }
        let elements = header
            .shape
            .iter()
            .try_fold(1usize, |n, &d| n.checked_mul(d));
        let expected = elements
            .and_then(|n| n.checked_mul(header.format.size()))
            .ok_or(NpyError::Header("the shape is larger than memory"))?;
        if bytes.len() != expected {
            return Err(NpyError::Length {
                expected,
                found: bytes.len(),
            });
        }
        Ok(Self {
            shape: header.shape,
            format: header.format,
            bytes,
        })
    }

    pub(super) fn decode(&self) -> Array {
        Array {
            shape: self.shape.clone(),
            numbers: self.format.decode(self.bytes),
        }
    }
}

struct Header {
    format: NumberFormat,
    fortran: bool,
    shape: Vec<usize>,
}

impl Header {
    /// `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }` and spaces.
    fn parse(text: &str) -> Result<Self, NpyError> {
        let bad = |what| NpyError::Header(what);
        let text = text
            .trim_end()
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'));
        let mut rest = text.ok_or(bad("no dictionary"))?.trim_start();
        let (mut format, mut fortran, mut shape) = (None, None, None);
        while !rest.is_empty() {
            let (key, after) = quoted(rest).ok_or(bad("a key in quotes is expected"))?;
            let after = after
                .trim_start()
                .strip_prefix(':')
                .ok_or(bad("no `:` after a key"))?;
            let after = after.trim_start();
            rest = match key {
                "descr" => {
                    let (name, after) = quoted(after).ok_or(bad("`descr` is no plain type"))?;
                    format = Some(number_format(name)?);
                    after
                }
                "fortran_order" => {
                    if let Some(after) = after.strip_prefix("False") {
                        fortran = Some(false);
                        after
                    } else {
                        fortran = Some(true);
                        after
                            .strip_prefix("True")
                            .ok_or(bad("`fortran_order` is neither True nor False"))?
                    }
                }
                "shape" => {
                    let after = after.strip_prefix('(').ok_or(bad("`shape` is no tuple"))?;
                    let (inside, after) = after.split_once(')').ok_or(bad("`shape` has no end"))?;
                    let numbers = inside.split(',').map(str::trim).filter(|n| !n.is_empty());
                    let numbers: Result<Vec<usize>, _> = numbers.map(str::parse).collect();
                    shape = Some(
                        numbers.map_err(|_| bad("`shape` holds something else than numbers"))?,
                    );
                    after
                }
                _ => return Err(bad("an unknown key")),
            };
            rest = rest.trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
        Ok(Self {
            format: format.ok_or(bad("`descr` is missing"))?,
            fortran: fortran.ok_or(bad("`fortran_order` is missing"))?,
            shape: shape.ok_or(bad("`shape` is missing"))?,
        })
    }
}

fn quoted(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
    text[1..].split_once(quote)
}

fn number_format(name: &str) -> Result<NumberFormat, NpyError> {
    Ok(match name {
        "<f2" => NumberFormat::F16,
        "<f4" => NumberFormat::F32,
        "<f8" => NumberFormat::F64,
        "|i1" => NumberFormat::Signed(1),
        "<i2" => NumberFormat::Signed(2),
        "<i4" => NumberFormat::Signed(4),
        "<i8" => NumberFormat::Signed(8),
        "|u1" => NumberFormat::Unsigned(1),
        "<u2" => NumberFormat::Unsigned(2),
        "<u4" => NumberFormat::Unsigned(4),
        "<u8" => NumberFormat::Unsigned(8),
        other => return Err(NpyError::Format(other.to_owned())),
    })
}

/// A `.npy` as NumPy writes it.
#[cfg(test)]
pub(super) fn file(descr: &str, shape: &str, numbers: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(numbers);
    file
}

#[cfg(test)]
mod tests {
    use super::super::tensor::Numbers;
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn files_of_numpy_are_read() {
        let numbers: Vec<u8> = (0..6)
            .flat_map(|i| (i as f32 / 4.0).to_le_bytes())
            .collect();
        let file = file("<f4", "(2, 3)", &numbers);
        let array = NpyArray::parse(&file).unwrap().decode();
        assert_eq!(array.shape, [2, 3]);
        assert_eq!(
            array.numbers,
            Numbers::Floats(vec![0.0, 0.25, 0.5, 0.75, 1.0, 1.25])
        );
        let one = super::file("<i8", "(1,)", &7i64.to_le_bytes());
        assert_eq!(NpyArray::parse(&one).unwrap().shape, [1]);
        let scalar = super::file("|u1", "()", &[7]);
        assert_eq!(NpyArray::parse(&scalar).unwrap().shape, [0usize; 0]);
    }

    #[test]
    fn hostile_files_are_refused_by_name() {
        let parse = |descr: &str, shape: &str, bytes: &[u8]| {
            NpyArray::parse(&file(descr, shape, bytes))
                .map(|a| a.shape)
                .unwrap_err()
        };
        assert_eq!(
            parse(">f4", "(1,)", &[0; 4]),
            NpyError::Format(">f4".to_owned())
        );
        assert_eq!(
            parse("|O", "(1,)", &[0; 4]),
            NpyError::Format("|O".to_owned())
        );
        assert_eq!(
            parse("<f4", "(2,)", &[0; 4]),
            NpyError::Length {
                expected: 8,
                found: 4
            }
        );
        let huge = format!("({0}, {0}, {0})", 1u64 << 62);
        assert!(matches!(parse("<f4", &huge, &[]), NpyError::Header(_)));
        assert!(matches!(parse("<f4", "(-1,)", &[]), NpyError::Header(_)));
        assert!(matches!(parse("<f4", "((1,)", &[]), NpyError::Header(_)));
        assert_eq!(NpyArray::parse(b"PK\x03\x04").unwrap_err(), NpyError::Magic);
        assert_eq!(
            NpyArray::parse(b"\x93NUMPY\x09\x00").unwrap_err(),
            NpyError::Version(9)
        );
        assert!(matches!(
            NpyArray::parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"),
            Err(NpyError::Header(_))
        ));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_array_or_an_error(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            header in "\\{?('(descr|shape|fortran_order)': ?('<f4'|\\([0-9,]{0,4}\\)|False),? ?){0,4}\\}?",
        ) {
            let _ = NpyArray::parse(&bytes);
            let mut file = b"\x93NUMPY\x01\x00".to_vec();
            file.extend((header.len() as u16).to_le_bytes());
            file.extend(header.as_bytes());
            file.extend(&bytes);
            let _ = NpyArray::parse(&file);
        }
    }
}
