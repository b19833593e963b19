//! Reading what subcommands are given: texts, token files, models and checkpoints.

use crate::blob::Blob;
use crate::checkpoint::Checkpoint;
use anyhow::{Context, Result, bail, ensure};
use safetensors::{Dtype, SafeTensors};
use std::io::Read;
use std::ops::RangeInclusive;
use std::path::Path;

/// A converted model, or a checkpoint.
pub enum Subject {
    /// A `.toep` file.
    Model(Blob),
    /// A checkpoint folder or file.
    Checkpoint(Box<Checkpoint>),
}

/// Opens `path` as what its contents say it is.
pub fn open(path: &Path) -> Result<Subject> {
    refuse_empty(path, "a model (.toep) or a checkpoint")?;
    if is_blob(path) {
        Ok(Subject::Model(Blob::read(path)?))
    } else {
        Ok(Subject::Checkpoint(Box::new(Checkpoint::open(path)?)))
    }
}

/// Whether `path` is a file that begins like a model blob.
pub fn is_blob(path: &Path) -> bool {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut f| f.read_exact(&mut magic));
    path.is_file() && read.is_ok() && magic == toeplite::format::MAGIC
}

/// Says that a file is empty, where it is: more than any reader of formats can say of it.
pub fn refuse_empty(path: &Path, expected: &str) -> Result<()> {
    let empty = std::fs::metadata(path).is_ok_and(|m| m.is_file() && m.len() == 0);
    ensure!(
        !empty,
        "{} is an empty file; {expected} is expected here",
        path.display()
    );
    Ok(())
}

/// The bytes of a text as tokens of a byte-level model.
pub fn text_tokens(path: &Path, vocab: usize) -> Result<Vec<u32>> {
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    byte_tokens(&bytes, vocab)
}

/// Sizes of vocabularies of bytes: tokens 0 to 255 are the bytes, any others stand for none, such as the mask of a
/// masked language model. A tokenizer's vocabulary is larger.
const BYTE_LEVEL: RangeInclusive<usize> = 256..=511;

/// Whether the tokens of a model with such a vocabulary are bytes.
pub fn is_byte_level(vocab: usize) -> bool {
    BYTE_LEVEL.contains(&vocab)
}

/// `text` as tokens of a byte-level model: byte `b` is token `b`.
pub fn byte_tokens(text: &[u8], vocab: usize) -> Result<Vec<u32>> {
    ensure!(
        is_byte_level(vocab),
        "the model has a vocabulary of {vocab} tokens, that of a byte-level model has {} to {}, the bytes first: text cannot be \
         turned into its tokens here; eval, compare and convert --calibrate take them as FILE.safetensors",
        BYTE_LEVEL.start(),
        BYTE_LEVEL.end()
    );
    Ok(text.iter().map(|b| u32::from(*b)).collect())
}

/// The tensor `tokens` of a safetensors file, `[n]` or `[1, n]`, of any integer type.
pub fn token_file(path: &Path) -> Result<Vec<u32>> {
    let name = path.display();
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let file = SafeTensors::deserialize(&bytes)
        .with_context(|| format!("{name} is not a safetensors file"))?;
    let tensor = file
        .tensor("tokens")
        .with_context(|| format!("{name} has no tensor named \"tokens\""))?;
    let shape = tensor.shape();
    ensure!(
        matches!(shape, [_] | [1, _]),
        "{name}: tensor \"tokens\" has shape {shape:?}; [n] or [1, n] is expected"
    );
    let data = tensor.data();
    let tokens: Vec<i64> = match tensor.dtype() {
        Dtype::U8 => data.iter().map(|x| i64::from(*x)).collect(),
        Dtype::U16 => words(data)
            .map(|b| i64::from(u16::from_le_bytes(b)))
            .collect(),
        Dtype::I16 => words(data)
            .map(|b| i64::from(i16::from_le_bytes(b)))
            .collect(),
        Dtype::I32 => words(data)
            .map(|b| i64::from(i32::from_le_bytes(b)))
            .collect(),
        Dtype::U32 => words(data)
            .map(|b| i64::from(u32::from_le_bytes(b)))
            .collect(),
        Dtype::I64 => words(data).map(i64::from_le_bytes).collect(),
        other => {
            bail!("{name}: tensor \"tokens\" is of type {other:?}; an integer type is expected")
        }
    };
    let token = |x| u32::try_from(x).with_context(|| format!("{name}: {x} is not a token"));
    tokens.into_iter().map(token).collect()
}

/// The tokens of a text, or those in a file that ends in .safetensors.
pub fn sequence(path: &Path, vocab: usize) -> Result<Vec<u32>> {
    if path.extension().is_some_and(|e| e == "safetensors") {
        return token_file(path);
    }
    refuse_empty(path, "a text")?;
    text_tokens(path, vocab)
}

/// Numbers of `N` bytes, as they lie in a file.
pub fn words<const N: usize>(data: &[u8]) -> impl Iterator<Item = [u8; N]> {
    data.as_chunks().0.iter().copied()
}

/// A number of at least 1.
pub fn positive(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a whole number of at least 1 is expected".into()),
        Ok(number) => Ok(number),
    }
}

/// A number of at least 0.
pub fn count(text: &str) -> Result<usize, String> {
    text.parse()
        .map_err(|_| "a whole number of 0 or more is expected".into())
}

/// What cross entropies of a model with such a vocabulary are called.
pub fn bits_unit(vocab: usize) -> &'static str {
    if is_byte_level(vocab) {
        "bits/byte"
    } else {
        "bits/token"
    }
}

/// Opens a checkpoint, and says so if it is a converted model.
pub fn checkpoint(path: &Path) -> Result<Checkpoint> {
    ensure!(
        !is_blob(path),
        "{} is a converted model (.toep); a checkpoint is expected here",
        path.display()
    );
    refuse_empty(path, "a checkpoint")?;
    Ok(Checkpoint::open(path)?)
}

/// Opens a converted model, and says so if it is something else.
pub fn model(path: &Path) -> Result<Blob> {
    ensure!(
        !path.is_dir(),
        "{} is a folder; a converted model (.toep) is expected here: toeplite convert writes one",
        path.display()
    );
    refuse_empty(path, "a converted model (.toep)")?;
    ensure!(
        is_blob(path) || !path.is_file(),
        "{} is not a converted model (.toep): toeplite convert CHECKPOINT -o model.toep writes one",
        path.display()
    );
    Ok(Blob::read(path)?)
}
