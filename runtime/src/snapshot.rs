//! What snapshots of all contracts share: a header before the state.

use crate::error::SnapshotError;
use crate::format;

/// `TOES`, for session.
const MAGIC: &[u8; 4] = b"TOES";
const VERSION: u32 = 2;
/// Magic, version, the model's identity, CRC-32 of the rest.
pub(crate) const HEADER: usize = 16;

/// Writes `words` to the start of `out` after a header, and returns the size of both, `needed`.
pub(crate) fn write(
    out: &mut [u8],
    needed: usize,
    identity: u32,
    words: impl Iterator<Item = u32>,
) -> Result<usize, SnapshotError> {
    let found = out.len();
    let out = out
        .get_mut(..needed)
        .ok_or(SnapshotError::WrongLength { needed, found })?;
    let (header, body) = out
        .split_at_mut_checked(HEADER)
        .ok_or(SnapshotError::BadHeader)?;
    for (bytes, word) in body.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    let fields = [
        u32::from_le_bytes(*MAGIC),
        VERSION,
        identity,
        format::crc32(body),
    ];
    for (bytes, field) in header.as_chunks_mut::<4>().0.iter_mut().zip(fields) {
        *bytes = field.to_le_bytes();
    }
    Ok(needed)
}

/// The words after the header of a snapshot of `needed` bytes of the model `expected`.
pub(crate) fn read(
    snapshot: &[u8],
    needed: usize,
    expected: u32,
) -> Result<&[[u8; 4]], SnapshotError> {
    let found = snapshot.len();
    if needed != found {
        return Err(SnapshotError::WrongLength { needed, found });
    }
    let (header, body) = snapshot
        .split_at_checked(HEADER)
        .ok_or(SnapshotError::BadHeader)?;
    let mut fields = words(header.as_chunks::<4>().0);
    let mut field = || fields.next().unwrap_or(0);
    if (field(), field()) != (u32::from_le_bytes(*MAGIC), VERSION) {
        return Err(SnapshotError::BadHeader);
    }
    let found = field();
    if expected != found {
        return Err(SnapshotError::OtherModel { expected, found });
    }
    if format::crc32(body) != field() {
        return Err(SnapshotError::Corrupt);
    }
    Ok(body.as_chunks::<4>().0)
}

/// The bytes as numbers.
pub(crate) fn words(bytes: &[[u8; 4]]) -> impl Iterator<Item = u32> + Clone {
    bytes.iter().map(|bytes| u32::from_le_bytes(*bytes))
}
