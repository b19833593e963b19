//! Tokens of texts, kept on disk: a tokenizer takes minutes for what a map takes moments.
//!
//! A file is named by a hash of the text and of the tokenizer, so that a change of either finds no
//! file, and holds a hash of its own content: one that was cut short or damaged is made anew. Files
//! are written under another name and renamed: no process ever sees half of one.

use memmap2::Mmap;
use std::fs;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;
use toeplite_clips::map;
use twox_hash::XxHash3_128;

/// Changes with the layout of the file and with how texts are cut into lines.
const MAGIC: &[u8; 8] = b"TOEPTOK1";

/// Magic, hash of the rest, end of the first token, largest token plus one, then the tokens.
const HEADER: usize = 40;

/// Bytes of the header that the hash is not of.
const UNHASHED: usize = 24;

/// What a file of the cache holds.
pub(super) struct Kept {
    /// The tokens.
    pub tokens: Cached,
    /// Bytes of the text up to the first token's end.
    pub first_end: u64,
    /// The largest token.
    pub largest: Option<u32>,
}

/// Tokens in a file of the cache.
pub(super) struct Cached(Mmap);

impl Cached {
    /// How many there are.
    pub fn len(&self) -> usize {
        (self.0.len() - HEADER) / 4
    }

    /// Those of `range`, appended to `to`.
    pub fn copy(&self, range: Range<usize>, to: &mut Vec<u32>) {
        let (words, _) = self.0[HEADER..].as_chunks::<4>();
        to.extend(words[range].iter().map(|word| u32::from_le_bytes(*word)));
    }
}

/// The file in `folder` for the tokens of `text` by the tokenizer whose file holds `tokenizer`.
pub(super) fn file(folder: &Path, tokenizer: &[u8], text: &[u8]) -> PathBuf {
    let mut hash = XxHash3_128::new();
    // Another version of the program may have another version of the tokenizers' library.
    for part in [MAGIC, env!("CARGO_PKG_VERSION").as_bytes(), tokenizer, text] {
        hash.write(&(part.len() as u64).to_le_bytes());
        hash.write(part);
    }
    folder.join(format!("text-{:032x}.tokens", hash.finish_128()))
}

/// The content of a file of the cache, unless it is missing or damaged.
pub(super) fn read(path: &Path) -> Option<Kept> {
    let map = map(path).ok()??;
    let (head, rest) = map.split_at_checked(UNHASHED)?;
    let (magic, hash) = head.split_first_chunk::<8>()?;
    let whole = magic == MAGIC && map.len() >= HEADER && (map.len() - HEADER).is_multiple_of(4);
    if !whole || hash != XxHash3_128::oneshot(rest).to_le_bytes() {
        return None;
    }
    let (numbers, _) = rest.as_chunks::<8>();
    let [first_end, above] = [0, 1].map(|i| u64::from_le_bytes(numbers[i]));
    Some(Kept {
        tokens: Cached(map),
        first_end,
        largest: above.checked_sub(1).and_then(|t| u32::try_from(t).ok()),
    })
}

/// Writes a file of the cache.
pub(super) fn write(path: &Path, ids: &[u32], first_end: u64) -> std::io::Result<()> {
    let above = ids.iter().max().map_or(0, |t| u64::from(*t) + 1);
    let numbers = [first_end, above].map(u64::to_le_bytes).concat();
    let mut hash = XxHash3_128::new();
    hash.write(&numbers);
    for part in ids.chunks(PART) {
        hash.write(&bytes(part));
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let temporary = NamedTempFile::with_prefix_in(".partial-", folder)?;
    let mut file = BufWriter::new(&temporary);
    file.write_all(MAGIC)?;
    file.write_all(&hash.finish_128().to_le_bytes())?;
    file.write_all(&numbers)?;
    for part in ids.chunks(PART) {
        file.write_all(&bytes(part))?;
    }
    file.flush()?;
    drop(file);
    temporary.persist(path).map_err(|e| e.error)?;
    Ok(())
}

/// Tokens that become bytes at a time.
const PART: usize = 1 << 16;

fn bytes(ids: &[u32]) -> Vec<u8> {
    ids.iter().flat_map(|id| id.to_le_bytes()).collect()
}
