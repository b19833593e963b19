//! A text as tokens: its bytes, or what a tokenizer makes of it.

use super::{DataError, Result};
use memmap2::Mmap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;

/// The tokens of a text.
pub struct Tokens {
    stored: Stored,
    vocabulary: usize,
    /// Bytes that the tokens after the first one stand for.
    target_bytes: u64,
    /// Bytes of the text.
    bytes: u64,
}

enum Stored {
    /// Nothing to map: empty files cannot be.
    Empty,
    /// The file itself.
    Bytes(Mmap),
    /// Identities, in memory.
    Ids(Vec<u32>),
}

impl Tokens {
    /// The tokens of the text at `path`: its bytes, or those of `tokenizer`, which is given line by
    /// line (a token never spans two lines). All are below `vocabulary`, the model's.
    ///
    /// # Errors
    /// The file cannot be read, is not UTF-8 (with a tokenizer), or the vocabulary is too small.
    pub fn open(path: &Path, tokenizer: Option<&TextTokenizer>, vocabulary: usize) -> Result<Self> {
        let map = map(path)?;
        let bytes = map.as_ref().map_or(0, |m| m.len()) as u64;
        let (stored, target_bytes) = match (map, tokenizer) {
            (None, _) => (Stored::Empty, 0),
            (Some(map), None) => {
                let largest = if vocabulary > 255 {
                    None
                } else {
                    map.iter().max()
                };
                check_vocabulary(path, largest.map(|b| u32::from(*b)), vocabulary)?;
                (Stored::Bytes(map), bytes - 1)
            }
            (Some(map), Some(tokenizer)) => {
                let text = std::str::from_utf8(&map).map_err(|e| DataError::NotUtf8 {
                    path: path.to_owned(),
                    at: e.valid_up_to(),
                })?;
                let (ids, first_end) = tokenizer.encode_lines(text)?;
                check_vocabulary(path, ids.iter().max().copied(), vocabulary)?;
                (Stored::Ids(ids), bytes - first_end as u64)
            }
        };
        Ok(Self {
            stored,
            vocabulary,
            target_bytes,
            bytes,
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match &self.stored {
            Stored::Empty => 0,
            Stored::Bytes(map) => map.len(),
            Stored::Ids(ids) => ids.len(),
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
        }
    }

    /// Whether each token is one byte.
    pub fn are_bytes(&self) -> bool {
        !matches!(self.stored, Stored::Ids(_))
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
}

fn check_vocabulary(path: &Path, largest: Option<u32>, vocabulary: usize) -> Result<()> {
    match largest {
        Some(token) if token as usize >= vocabulary => Err(DataError::Vocabulary {
            path: path.to_owned(),
            token,
            vocabulary,
        }),
        _ => Ok(()),
    }
}

/// Maps a file into memory; `None` if it is empty.
pub(super) fn map(path: &Path) -> Result<Option<Mmap>> {
    let file = File::open(path).map_err(DataError::read(path))?;
    let metadata = file.metadata().map_err(DataError::read(path))?;
    if metadata.is_dir() {
        let cause = std::io::Error::new(
            std::io::ErrorKind::IsADirectory,
            "it is a folder, a file is expected",
        );
        return Err(DataError::read(path)(cause));
    }
    if metadata.len() == 0 {
        return Ok(None);
    }
    // SAFETY: the map is read-only and private to this process. Bytes that another process writes to
    // the file meanwhile are read as they are at that moment: every byte is a valid token, and texts
    // for tokenizers are checked and copied at once. A file that is cut short kills the process with
    // SIGBUS, as with every program that maps its data; checkpoints survive that.
    let map = unsafe { Mmap::map(&file) };
    map.map(Some).map_err(DataError::read(path))
}

#[cfg(feature = "tokenizer")]
pub use with_tokenizers::TextTokenizer;
#[cfg(not(feature = "tokenizer"))]
pub use without_tokenizers::TextTokenizer;

#[cfg(feature = "tokenizer")]
mod with_tokenizers {
    use super::{DataError, Result};
    use std::path::{Path, PathBuf};
    use tokenizers::Tokenizer;

    /// Lines that are cut into tokens at a time, in parallel.
    const LINES: usize = 4096;

    /// A `tokenizer.json` of the library `tokenizers`.
    pub struct TextTokenizer {
        inner: Tokenizer,
        path: PathBuf,
    }

    impl TextTokenizer {
        /// Reads a `tokenizer.json`.
        ///
        /// # Errors
        /// It cannot be read, or is something else.
        pub fn open(path: &Path) -> Result<Self> {
            let text = std::fs::read(path).map_err(DataError::read(path))?;
            let inner = Tokenizer::from_bytes(&text).map_err(|e| Self::error(path, e))?;
            Ok(Self {
                inner,
                path: path.to_owned(),
            })
        }

        /// The tokens of a short text.
        ///
        /// # Errors
        /// The tokenizer has no token for it.
        pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
            let encoding = self.inner.encode_fast(text, false);
            Ok(encoding
                .map_err(|e| Self::error(&self.path, e))?
                .get_ids()
                .to_vec())
        }

        /// The text of tokens.
        ///
        /// # Errors
        /// A token is unknown.
        pub fn decode(&self, tokens: &[u32]) -> Result<String> {
            let text = self.inner.decode(tokens, false);
            text.map_err(|e| Self::error(&self.path, e))
        }

        /// The tokens of a text, line by line, and where in it the first of them ends.
        pub(super) fn encode_lines(&self, text: &str) -> Result<(Vec<u32>, usize)> {
            let error = |e| Self::error(&self.path, e);
            let mut ids = Vec::with_capacity(text.len() / 4);
            let mut first_end = 0;
            let mut read = 0;
            let mut lines = text.split_inclusive('\n').peekable();
            while lines.peek().is_some() {
                let batch: Vec<&str> = lines.by_ref().take(LINES).collect();
                let encoded = self.inner.encode_batch_fast(batch.clone(), false);
                for (line, encoding) in batch.into_iter().zip(encoded.map_err(error)?) {
                    if ids.is_empty() && !encoding.get_ids().is_empty() {
                        let slow = self.inner.encode(line, false).map_err(error)?;
                        first_end = read + slow.get_offsets().first().map_or(0, |o| o.1);
                    }
                    ids.extend_from_slice(encoding.get_ids());
                    read += line.len();
                }
            }
            Ok((ids, first_end.min(text.len())))
        }

        fn error(path: &Path, error: tokenizers::Error) -> DataError {
            DataError::Tokenizer {
                path: path.to_owned(),
                message: error.to_string(),
            }
        }
    }
}

#[cfg(not(feature = "tokenizer"))]
mod without_tokenizers {
    use super::{DataError, Result};
    use std::path::Path;

    /// Stands for tokenizers in a program that was built without them; there is none.
    pub enum TextTokenizer {}

    impl TextTokenizer {
        /// Says that this program has no tokenizers.
        ///
        /// # Errors
        /// Always.
        pub fn open(path: &Path) -> Result<Self> {
            Err(DataError::NoTokenizers {
                path: path.to_owned(),
            })
        }

        /// Never called.
        ///
        /// # Errors
        /// None.
        pub fn encode(&self, _: &str) -> Result<Vec<u32>> {
            match *self {}
        }

        /// Never called.
        ///
        /// # Errors
        /// None.
        pub fn decode(&self, _: &[u32]) -> Result<String> {
            match *self {}
        }

        pub(super) fn encode_lines(&self, _: &str) -> Result<(Vec<u32>, usize)> {
            match *self {}
        }
    }
}
