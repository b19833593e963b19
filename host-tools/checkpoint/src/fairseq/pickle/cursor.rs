//! Reading bytes in order, never past their end.

use super::error::PickleErrorKind;

/// A position in a byte string.
pub(super) struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Offset of the next byte.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The next `count` bytes. `count` may be anything a file claims.
    pub fn take(&mut self, count: u64) -> Result<&'a [u8], PickleErrorKind> {
        let rest = &self.bytes[self.at..];
        let taken = usize::try_from(count)
            .ok()
            .and_then(|count| rest.get(..count));
        let taken = taken.ok_or(PickleErrorKind::Truncated {
            needed: count,
            left: rest.len(),
        })?;
        self.at += taken.len();
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], PickleErrorKind> {
        let taken = self.take(N as u64)?;
        Ok(taken
            .try_into()
            .expect("take gives as many bytes as asked for"))
    }

    pub fn u8(&mut self) -> Result<u8, PickleErrorKind> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, PickleErrorKind> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, PickleErrorKind> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// The bytes up to the next line feed, which is taken too.
    pub fn line(&mut self) -> Result<&'a [u8], PickleErrorKind> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|&byte| byte == b'\n');
        let line = end
            .map(|end| &rest[..end])
            .ok_or(PickleErrorKind::Truncated {
                needed: rest.len() as u64 + 1,
                left: rest.len(),
            })?;
        self.at += line.len() + 1;
        Ok(line)
    }
}
