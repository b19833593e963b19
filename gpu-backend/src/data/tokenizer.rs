//! Tokenizers: files called `tokenizer.json`.

#[cfg(feature = "tokenizer")]
pub use with_tokenizers::TextTokenizer;
#[cfg(not(feature = "tokenizer"))]
pub use without_tokenizers::TextTokenizer;

#[cfg(feature = "tokenizer")]
mod with_tokenizers {
    use super::super::{DataError, Result};
    use std::path::{Path, PathBuf};
    use toeplite_clips::check_vocabulary;
    use tokenizers::Tokenizer;

    /// Lines that are cut into tokens at a time, in parallel.
    const LINES: usize = 4096;

    /// A `tokenizer.json` of the library `tokenizers`.
    pub struct TextTokenizer {
        inner: Tokenizer,
        path: PathBuf,
        text: Vec<u8>,
    }

    impl TextTokenizer {
        /// Reads a `tokenizer.json`.
        ///
        /// # Errors
        /// It cannot be read, or is something else.
        pub fn open(path: &Path) -> Result<Self> {
            let text = std::fs::read(path).map_err(DataError::read(path))?;
            let error = |e| Self::error(path, e);
            let mut inner = Tokenizer::from_bytes(&text).map_err(error)?;
            // Many files say how sentences are cut and filled up for a batch. A text must not lose the
            // end of its long lines, nor learn the filling.
            inner.with_truncation(None).map_err(error)?;
            inner.with_padding(None);
            Ok(Self {
                inner,
                path: path.to_owned(),
                text,
            })
        }

        /// Refuses a tokenizer with tokens that a model of `vocabulary` has no row for.
        ///
        /// # Errors
        /// [`ClipError::Vocabulary`](toeplite_clips::ClipError::Vocabulary) says what `model.vocab_size` must be.
        pub fn check(&self, vocabulary: usize) -> Result<()> {
            let largest = self.inner.get_vocab(true).into_values().max();
            Ok(check_vocabulary(&self.path, largest, vocabulary)?)
        }

        /// What decides how texts are cut: the file itself.
        pub(in super::super) fn fingerprint(&self) -> &[u8] {
            &self.text
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

        /// The tokens of a text, line by line, and where in it the first of them ends: to within a
        /// character, which tokens of bytes may part.
        pub(in super::super) fn encode_lines(&self, text: &str) -> Result<(Vec<u32>, usize)> {
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
    use super::super::{DataError, Result};
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
        pub fn check(&self, _: usize) -> Result<()> {
            match *self {}
        }

        pub(in super::super) fn fingerprint(&self) -> &[u8] {
            match *self {}
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

        pub(in super::super) fn encode_lines(&self, _: &str) -> Result<(Vec<u32>, usize)> {
            match *self {}
        }
    }
}

/// A small tokenizer for tests.
#[cfg(all(test, feature = "tokenizer"))]
pub(super) mod testing {
    use super::TextTokenizer;
    use std::path::Path;

    /// Bytes are their own tokens; `merges` are pairs that become tokens from 256 on. Its file asks
    /// for truncation and padding, as many do.
    pub fn tokenizer(folder: &Path, merges: &[&str]) -> TextTokenizer {
        // Byte-level tokenizers write bytes as characters that can be seen.
        let seen = |byte: u32| match byte {
            33..=126 | 161..=172 | 174..=255 => byte,
            0..=32 => 256 + byte,
            127..=160 => 256 + 33 + byte - 127,
            _ => 256 + 67,
        };
        let mut vocabulary: Vec<String> = (0..256)
            .filter_map(|byte| Some(char::from_u32(seen(byte))?.to_string()))
            .collect();
        vocabulary.extend(merges.iter().map(|m| (*m).to_owned()));
        let numbered = vocabulary.iter().zip(0..);
        let vocabulary: serde_json::Map<_, _> = numbered
            .map(|(t, i): (_, u32)| (t.clone(), i.into()))
            .collect();
        let pairs: Vec<[String; 2]> = merges
            .iter()
            .map(|m| [m[..1].to_owned(), m[1..].to_owned()])
            .collect();
        let byte_level = serde_json::json!({
            "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false
        });
        let json = serde_json::json!({
            "version": "1.0",
            "truncation": {"direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0},
            "padding": {"strategy": "BatchLongest", "direction": "Right", "pad_to_multiple_of": null,
                "pad_id": 0, "pad_type_id": 0, "pad_token": "!"},
            "added_tokens": [], "normalizer": null, "pre_tokenizer": byte_level,
            "post_processor": null, "decoder": byte_level,
            "model": {"type": "BPE", "dropout": null, "unk_token": null,
                "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
                "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary, "merges": pairs},
        });
        let path = folder.join(format!("tokenizer-{}.json", merges.len()));
        std::fs::write(&path, json.to_string()).unwrap();
        TextTokenizer::open(&path).unwrap()
    }
}
