//! Arrays in one file: npz or safetensors.

use super::npy::NpyArray;
use super::tensor::{Array, NumberFormat};
use super::{ClipError, Result, map};
use safetensors::{Dtype, SafeTensors};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::io::{Cursor, Read};
use std::path::Path;
use toeplite_checkpoint::AnyFrontEnd;
use zip::ZipArchive;

/// Largest array that is unpacked: a small zip can claim any size.
const MAX_ARRAY: u64 = 1 << 36;

/// What a safetensors file says of its clips in the metadata `toeplite`, which
/// [`ClipFeatures::file`](super::ClipFeatures::file) writes.
#[derive(Default)]
pub(super) struct About {
    /// Names of the classes, by label.
    pub classes: Option<Vec<String>>,
    /// What made the features.
    pub front_end: Option<AnyFrontEnd>,
}

/// The arrays `features` and `labels` of the npz or safetensors file at `path`, and what it says of them; which of the two it
/// is, its first bytes say.
pub(super) fn read(path: &Path) -> Result<([Array; 2], About)> {
    let map = map(path)?;
    let bytes = map.as_deref().unwrap_or_default();
    let names = ["features", "labels"];
    if bytes.starts_with(b"PK") {
        let problem = |e: zip::result::ZipError| features(path, format!("it is no npz file: {e}"));
        let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(problem)?;
        let [a, b] = names.map(|name| from_npz(path, &mut archive, name));
        Ok(([a?, b?], About::default()))
    } else {
        let file = SafeTensors::deserialize(bytes)
            .map_err(|e| features(path, format!("it is neither npz nor safetensors ({e})")))?;
        let [a, b] = names.map(|name| from_safetensors(path, &file, name));
        Ok(([a?, b?], about(path, bytes)?))
    }
}

/// What made the features in the safetensors file at `path`, where it says so.
pub(super) fn made_by(path: &Path) -> Result<Option<AnyFrontEnd>> {
    let map = map(path)?;
    Ok(about(path, map.as_deref().unwrap_or_default())?.front_end)
}

fn about(path: &Path, bytes: &[u8]) -> Result<About> {
    #[derive(Deserialize)]
    struct Given {
        classes: Option<Vec<String>>,
        compression: Option<IgnoredAny>,
        channels: Option<IgnoredAny>,
    }
    let unread = |e: String| {
        features(
            path,
            format!("its metadata `toeplite` cannot be read ({e})"),
        )
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| unread(e.to_string()))?;
    let text = header.metadata().as_ref().and_then(|m| m.get("toeplite"));
    let Some(text) = text else {
        return Ok(About::default());
    };
    let given: Given = serde_json::from_str(text).map_err(|e| unread(e.to_string()))?;
    // features of sounds and of sensors; others say nothing of how they are made
    let front_end = given
        .compression
        .or(given.channels)
        .map(|_| AnyFrontEnd::from_json(text.as_bytes()));
    Ok(About {
        classes: given.classes,
        front_end: front_end.transpose().map_err(|e| unread(e.to_string()))?,
    })
}

fn features(path: &Path, problem: String) -> ClipError {
    ClipError::Features {
        path: path.to_owned(),
        problem,
    }
}

fn from_npz(path: &Path, archive: &mut ZipArchive<Cursor<&[u8]>>, name: &str) -> Result<Array> {
    let mut file = archive
        .by_name(&format!("{name}.npy"))
        .map_err(|e| features(path, format!("array `{name}`: {e}")))?;
    let size = file.size();
    if size > MAX_ARRAY {
        let problem = format!("array `{name}` claims {size} bytes, more than {MAX_ARRAY}");
        return Err(features(path, problem));
    }
    let mut bytes = Vec::new();
    // The size is a claim: memory grows with what is really there.
    file.by_ref()
        .take(MAX_ARRAY)
        .read_to_end(&mut bytes)
        .map_err(|e| features(path, format!("array `{name}` cannot be unpacked: {e}")))?;
    let array = NpyArray::parse(&bytes).map_err(|cause| ClipError::Npy {
        path: path.to_owned(),
        name: name.to_owned(),
        cause,
    })?;
    Ok(array.decode())
}

fn from_safetensors(path: &Path, file: &SafeTensors<'_>, name: &str) -> Result<Array> {
    let view = file
        .tensor(name)
        .map_err(|_| features(path, format!("it has no tensor `{name}`")))?;
    let format = match view.dtype() {
        Dtype::F16 => NumberFormat::F16,
        Dtype::BF16 => NumberFormat::Bf16,
        Dtype::F32 => NumberFormat::F32,
        Dtype::F64 => NumberFormat::F64,
        Dtype::I8 => NumberFormat::Signed(1),
        Dtype::I16 => NumberFormat::Signed(2),
        Dtype::I32 => NumberFormat::Signed(4),
        Dtype::I64 => NumberFormat::Signed(8),
        Dtype::U8 => NumberFormat::Unsigned(1),
        Dtype::U16 => NumberFormat::Unsigned(2),
        Dtype::U32 => NumberFormat::Unsigned(4),
        Dtype::U64 => NumberFormat::Unsigned(8),
        other => {
            let problem =
                format!("tensor `{name}` is of type {other:?}, floats or integers are read");
            return Err(features(path, problem));
        }
    };
    Ok(Array {
        shape: view.shape().to_vec(),
        numbers: format.decode(view.data()),
    })
}
