//! Texts of a checkpoint: by bytes, or by the tokenizer that lies beside it.

use super::origin::beside;
use crate::config::{DataKind, RunConfig};
use crate::data::{DataError, TextTokenizer};
use anyhow::{Result, bail, ensure};
use std::path::Path;

/// How a checkpoint's texts become tokens.
pub enum Coding {
    /// Byte by byte.
    Bytes,
    /// By a tokenizer.
    Tokenizer(Box<TextTokenizer>),
}

impl Coding {
    /// That of the checkpoint at `path`: by the tokenizer that is `given`, as its `run` was trained,
    /// or else by the `tokenizer.json` in its folder or the one around it, or by bytes.
    ///
    /// # Errors
    /// The tokenizer cannot be read, or there is none and the vocabulary is not one of bytes.
    pub fn of(
        path: &Path,
        given: Option<&Path>,
        run: Option<&RunConfig>,
        vocabulary: usize,
    ) -> Result<Self> {
        let kind = run.map(|run| run.data.kind);
        let file = match (given, kind) {
            (Some(file), _) => Some(file.to_owned()),
            (None, Some(DataKind::TextBytes)) => return Ok(Self::Bytes),
            (None, _) => beside(path, "tokenizer.json"),
        };
        if let Some(file) = file {
            return Ok(Self::Tokenizer(Box::new(TextTokenizer::open(&file)?)));
        }
        if kind == Some(DataKind::TextTokenizer) {
            bail!(
                "{} was trained with a tokenizer, but no tokenizer.json is in its folder or its run's: \
                 give --tokenizer FILE",
                path.display()
            );
        }
        ensure!(
            (256..=257).contains(&vocabulary),
            "{} has a vocabulary of {vocabulary} tokens and no tokenizer.json beside it: give --tokenizer FILE",
            path.display()
        );
        Ok(Self::Bytes)
    }

    /// The tokenizer, if there is one.
    pub fn tokenizer(&self) -> Option<&TextTokenizer> {
        match self {
            Self::Bytes => None,
            Self::Tokenizer(tokenizer) => Some(tokenizer),
        }
    }

    /// The tokens of a text.
    ///
    /// # Errors
    /// The tokenizer has none for it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, DataError> {
        match self {
            Self::Bytes => Ok(text.bytes().map(u32::from).collect()),
            Self::Tokenizer(tokenizer) => tokenizer.encode(text),
        }
    }

    /// The text of tokens; bytes that are no text become replacement characters.
    ///
    /// # Errors
    /// A token is unknown.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, DataError> {
        match self {
            Self::Bytes => {
                // 256 is the mask of masked models: it stands for no byte.
                let bytes: Vec<u8> = tokens
                    .iter()
                    .filter_map(|t| u8::try_from(*t).ok())
                    .collect();
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            Self::Tokenizer(tokenizer) => tokenizer.decode(tokens),
        }
    }
}
