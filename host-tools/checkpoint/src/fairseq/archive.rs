//! The zip archive that `torch.save` writes: `NAME/data.pkl` and one `NAME/data/KEY` a storage.

use super::error::FairseqError;
use super::pickle;
use std::io::{Read, Seek, SeekFrom};
use zip::{CompressionMethod, ZipArchive};

/// An open archive.
pub(super) struct Archive<R> {
    zip: ZipArchive<R>,
    /// `NAME/`
    prefix: String,
    /// Bytes of the whole file.
    pub len: u64,
}

impl<R: Read + Seek> Archive<R> {
    pub fn open(mut reader: R) -> Result<Self, FairseqError> {
        let end = reader.seek(SeekFrom::End(0));
        let len = end.map_err(|cause| FairseqError::Zip(cause.into()))?;
        let zip = ZipArchive::new(reader).map_err(FairseqError::Zip)?;
        let prefix = find_prefix(&zip)?;
        let mut archive = Self { zip, prefix, len };
        archive.check_byte_order()?;
        Ok(archive)
    }

    /// The pickle that describes the contents.
    pub fn pickle(&mut self) -> Result<Vec<u8>, FairseqError> {
        let index = self.index("data.pkl")?;
        let limit = pickle::MAX_BYTES as u64;
        self.read(index, |bytes| bytes <= limit, limit)
    }

    /// A storage's bytes, which must be exactly `expected` many.
    pub fn storage(&mut self, key: &str, expected: u64) -> Result<Vec<u8>, FairseqError> {
        let index = self.index(&format!("data/{key}"))?;
        self.read(index, |bytes| bytes == expected, expected)
    }

    /// torch 2 notes the byte order; files without the note are little-endian.
    fn check_byte_order(&mut self) -> Result<(), FairseqError> {
        let Ok(index) = self.index("byteorder") else {
            return Ok(());
        };
        let order = self.read(index, |bytes| bytes <= 16, 16)?;
        match order.as_slice() {
            b"little" => Ok(()),
            other => Err(FairseqError::ByteOrder(
                String::from_utf8_lossy(other).into_owned(),
            )),
        }
    }

    fn index(&self, name: &str) -> Result<usize, FairseqError> {
        let entry = format!("{}{name}", self.prefix);
        let index = self.zip.index_for_name_raw(entry.as_bytes());
        index.ok_or(FairseqError::MissingEntry { entry })
    }

    fn read(
        &mut self,
        index: usize,
        right: impl Fn(u64) -> bool,
        expected: u64,
    ) -> Result<Vec<u8>, FairseqError> {
        let name = self.zip.name_for_index(index);
        let entry = name.and_then(Result::ok).unwrap_or_default().into_owned();
        let raw = self.zip.by_index_raw(index).map_err(FairseqError::Zip)?;
        let (method, encrypted, bytes) = (raw.compression(), raw.encrypted(), raw.size());
        drop(raw);
        if method != CompressionMethod::Stored || encrypted {
            let method = format!("method {method:?}");
            return Err(FairseqError::Packed { entry, method });
        }
        if !right(bytes) {
            return Err(FairseqError::EntrySize {
                entry,
                bytes,
                expected,
            });
        }
        let mut data = Vec::new();
        let file = self.zip.by_index(index).map_err(FairseqError::Zip)?;
        // Grows with what is really there, whatever the archive claims. Reading to the end checks the CRC.
        match file.take(bytes.saturating_add(1)).read_to_end(&mut data) {
            Ok(read) if read as u64 == bytes => Ok(data),
            Ok(read) => Err(FairseqError::EntrySize {
                entry,
                bytes: read as u64,
                expected: bytes,
            }),
            Err(cause) => Err(FairseqError::Entry { entry, cause }),
        }
    }
}

/// The folder that holds everything, with its slash: "archive/", or the file's own name.
fn find_prefix<R: Read + Seek>(zip: &ZipArchive<R>) -> Result<String, FairseqError> {
    let mut names = zip.file_names().filter_map(Result::ok);
    let prefix = names.find_map(|name| {
        let prefix = name.strip_suffix("data.pkl")?;
        let folder = prefix.strip_suffix('/')?;
        (!folder.contains('/')).then(|| prefix.to_owned())
    });
    prefix.ok_or_else(|| FairseqError::MissingEntry {
        entry: "*/data.pkl".to_owned(),
    })
}
