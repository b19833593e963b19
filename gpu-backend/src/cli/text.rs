//! Texts of a checkpoint: by bytes, or by the tokenizer that lies beside it.

use crate::data::{DataError, TextTokenizer};
use anyhow::{Result, ensure};
use std::path::{Path, PathBuf};

/// How a checkpoint's texts become tokens.
pub enum Coding {
    /// Byte by byte.
    Bytes,
    /// By a tokenizer.
    Tokenizer(Box<TextTokenizer>),
}

impl Coding {
    /// That of the checkpoint at `path`: `given`, or the `tokenizer.json` in its folder or the run's,
    /// or bytes.
    ///
    /// # Errors
    /// The tokenizer cannot be read, or there is none and the vocabulary is not one of bytes.
    pub fn of(path: &Path, given: Option<&Path>, vocabulary: usize) -> Result<Self> {
        if let Some(file) = given.map(Path::to_owned).or_else(|| beside(path)) {
            return Ok(Self::Tokenizer(Box::new(TextTokenizer::open(&file)?)));
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

/// `tokenizer.json` in the checkpoint's folder, or in the run's around it.
fn beside(path: &Path) -> Option<PathBuf> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    let around = std::path::absolute(folder).ok();
    let around = around.as_deref().and_then(Path::parent);
    let folders = [Some(folder), around];
    let files = folders
        .into_iter()
        .flatten()
        .map(|f| f.join("tokenizer.json"));
    files.into_iter().find(|f| f.is_file())
}
