//! A text as tokens: its bytes, or what a tokenizer makes of it.

use super::token_cache::{self, Cached};
use super::{DataError, Result, TextTokenizer};
use crate::cache;
use memmap2::Mmap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use toeplite_clips::{check_vocabulary, map};

/// The tokens of a text.
pub struct Tokens {
    stored: Stored,
    vocabulary: usize,
    /// Bytes that the tokens after the first one stand for.
    target_bytes: u64,
    /// Bytes of the text.
    bytes: u64,
    /// Where they come from, where that is worth a word.
    note: Option<String>,
}

enum Stored {
    /// Nothing to map: empty files cannot be.
    Empty,
    /// The file itself.
    Bytes(Mmap),
    /// Identities, in memory.
    Ids(Vec<u32>),
    /// Identities, in a file of the cache.
    Cached(Cached),
}

impl Tokens {
    /// The tokens of the text at `path`: its bytes, or those of `tokenizer`, which is given line by
    /// line (a token never spans two lines). All are below `vocabulary`, the model's. What a tokenizer
    /// made is kept in the cache folder.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8 (with a tokenizer), or the vocabulary is too small.
    pub fn open(path: &Path, tokenizer: Option<&TextTokenizer>, vocabulary: usize) -> Result<Self> {
        match tokenizer {
            None => Self::bytes_of(path, vocabulary),
            Some(tokenizer) => {
                Self::tokenized(path, tokenizer, vocabulary, cache::folder().as_deref())
            }
        }
    }

    fn bytes_of(path: &Path, vocabulary: usize) -> Result<Self> {
        let map = map(path)?;
        let bytes = map.as_ref().map_or(0, |m| m.len()) as u64;
        if vocabulary <= 255 {
            let largest = map.as_deref().and_then(|m| m.iter().max());
            check_vocabulary(path, largest.map(|b| u32::from(*b)), vocabulary)?;
        }
        Ok(Self {
            stored: map.map_or(Stored::Empty, Stored::Bytes),
            vocabulary,
            target_bytes: bytes.saturating_sub(1),
            bytes,
            note: None,
        })
    }

    /// [`Tokens::open`] with a tokenizer and another cache folder; `None`: nothing is kept.
    pub(super) fn tokenized(
        path: &Path,
        tokenizer: &TextTokenizer,
        vocabulary: usize,
        cache: Option<&Path>,
    ) -> Result<Self> {
        // A copy, not a map: what is hashed must be what is cut, whoever writes to the file meanwhile.
        let text = fs::read(path).map_err(DataError::read(path))?;
        let file = cache.map(|folder| token_cache::file(folder, tokenizer.fingerprint(), &text));
        let bytes = text.len() as u64;
        let found = match file.as_deref().and_then(|f| from_cache(f, "tokens from")) {
            Some(found) => found,
            None => cut(path, &text, tokenizer, file.as_deref())?,
        };
        check_vocabulary(path, found.largest, vocabulary)?;
        Ok(Self {
            stored: found.stored,
            vocabulary,
            target_bytes: bytes - found.first_end.min(bytes),
            bytes,
            note: Some(found.note),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.stored {
            Stored::Empty => 0,
            Stored::Bytes(map) => map.len(),
            Stored::Ids(ids) => ids.len(),
            Stored::Cached(ids) => ids.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those of `range`, appended to `to`.
    ///
    /// # Panics
    /// Where the range ends beyond the last token.
    pub fn copy(&self, range: Range<usize>, to: &mut Vec<u32>) {
        match &self.stored {
            Stored::Empty => assert!(range.is_empty()),
            Stored::Bytes(map) => to.extend(map[range].iter().map(|b| u32::from(*b))),
            Stored::Ids(ids) => to.extend_from_slice(&ids[range]),
            Stored::Cached(ids) => ids.copy(range, to),
        }
    }

    /// Whether each token is one byte.
    pub fn are_bytes(&self) -> bool {
        !matches!(self.stored, Stored::Ids(_) | Stored::Cached(_))
    }

    /// Size of the model's vocabulary.
    pub fn vocabulary(&self) -> usize {
        self.vocabulary
    }

    /// Bytes that all tokens but the first stand for.
    pub fn target_bytes(&self) -> u64 {
        self.target_bytes
    }

    /// Bytes of the text.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What became of the cache, in words; nothing of bytes, which need none.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }
}

/// A tokenizer's tokens of a text.
struct Found {
    stored: Stored,
    /// Bytes of the text up to the first token's end.
    first_end: u64,
    largest: Option<u32>,
    /// What became of the cache.
    note: String,
}

/// The tokens in a file of the cache; `what` they are is for the note.
fn from_cache(file: &Path, what: &str) -> Option<Found> {
    let kept = token_cache::read(file)?;
    Some(Found {
        stored: Stored::Cached(kept.tokens),
        first_end: kept.first_end,
        largest: kept.largest,
        note: format!("{what} {}", file.display()),
    })
}

/// Cuts a text, and keeps its tokens in `file` for the next time.
fn cut(path: &Path, text: &[u8], tokenizer: &TextTokenizer, file: Option<&Path>) -> Result<Found> {
    let text = std::str::from_utf8(text).map_err(|e| DataError::NotUtf8 {
        path: path.to_owned(),
        at: e.valid_up_to(),
    })?;
    let (ids, first_end) = tokenizer.encode_lines(text)?;
    // Without a cache the next start is slow, not wrong; whoever waits for it is told why.
    let note = match file {
        None => format!("its tokens are not kept: set {}", cache::FOLDER),
        Some(file) => match token_cache::write(file, &ids, first_end as u64) {
            Ok(()) => match from_cache(file, "tokens kept in") {
                Some(found) => return Ok(found),
                None => format!("tokens cannot be read back from {}", file.display()),
            },
            Err(e) => format!("tokens cannot be kept in {}: {e}", file.display()),
        },
    };
    Ok(Found {
        largest: ids.iter().max().copied(),
        stored: Stored::Ids(ids),
        first_end: first_end as u64,
        note,
    })
}

#[cfg(all(test, feature = "tokenizer"))]
mod tests {
    use super::super::tokenizer::testing;
    use super::*;

    fn ids(tokens: &Tokens) -> Vec<u32> {
        let mut ids = Vec::new();
        tokens.copy(0..tokens.len(), &mut ids);
        ids
    }

    #[test]
    fn text_is_cut_again_when_it_its_tokenizer_or_the_cache_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("t.txt"), dir.path().join("cache"));
        let tokenizer = testing::tokenizer(dir.path(), &["ab", "ba"]);
        fs::write(&path, "abba\nab").unwrap();
        let open = |tokenizer| Tokens::tokenized(&path, tokenizer, 260, Some(&cache)).unwrap();
        let note = |tokens: &Tokens| tokens.note().unwrap().to_owned();
        let plain = Tokens::tokenized(&path, &tokenizer, 260, None).unwrap();
        let first = open(&tokenizer);
        assert!(
            note(&first).starts_with("tokens kept in"),
            "{}",
            note(&first)
        );
        let again = open(&tokenizer);
        assert!(note(&again).starts_with("tokens from"), "{}", note(&again));
        assert_eq!(ids(&plain), [256, 257, 10, 256]);
        for other in [&first, &again] {
            assert_eq!(ids(other), ids(&plain));
            assert_eq!(other.target_bytes(), 5);
        }
        let files = || fs::read_dir(&cache).unwrap().map(|e| e.unwrap().path());
        // A token that is off by one is as wrong as a file that is cut short.
        let file = files().next().unwrap();
        let good = fs::read(&file).unwrap();
        for damage in [good.len() - 1, good.len() - 4, 40, 0] {
            let mut bad = good.clone();
            bad[damage] ^= 1;
            fs::write(&file, &bad).unwrap();
            assert!(note(&open(&tokenizer)).starts_with("tokens kept in"));
            fs::write(&file, &good[..damage]).unwrap();
            assert_eq!(ids(&open(&tokenizer)), ids(&plain));
            assert_eq!(fs::read(&file).unwrap(), good);
        }
        let other = testing::tokenizer(dir.path(), &["ab"]);
        assert_eq!(ids(&open(&other)), [256, 98, 97, 10, 256]);
        fs::write(&path, "abab").unwrap();
        assert_eq!(ids(&open(&tokenizer)), [256, 256]);
        assert_eq!(files().count(), 3);
        let largest = Tokens::tokenized(&path, &tokenizer, 256, Some(&cache))
            .err()
            .unwrap();
        assert!(
            largest.to_string().contains("vocab_size = 257"),
            "{largest}"
        );
    }
}
