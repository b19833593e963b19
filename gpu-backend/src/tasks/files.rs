//! Files that training reads.

use super::{Result, TaskError};
use half::f16;
use safetensors::tensor::{Dtype, TensorView};
use serde::Serialize;
use std::fs;
use std::path::Path;

/// A file of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MadeFile {
    /// Its name in the dataset's folder.
    pub name: String,
    /// Clips in it, or bytes of a text.
    pub clips: usize,
}

/// Clips of tokens of one byte, with their classes.
pub struct TokenFile {
    /// Tokens of the longest clip that there can be.
    pub length: usize,
    /// What shorter clips are filled up with.
    pub padding: u8,
}

impl TokenFile {
    /// Writes clips and their classes as `data.kind = "token-classes"` reads them.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, folder: &Path, part: &str, clips: &[(Vec<u8>, i32)]) -> Result<MadeFile> {
        let mut tokens = vec![self.padding; clips.len() * self.length];
        for ((clip, _), row) in clips.iter().zip(tokens.chunks_exact_mut(self.length)) {
            row[..clip.len()].copy_from_slice(clip);
        }
        let lengths = little(clips.iter().map(|(clip, _)| clip.len() as i32));
        let labels = little(clips.iter().map(|(_, label)| *label));
        let count = clips.len();
        let tensors = [
            ("tokens", Dtype::U8, vec![count, self.length], tokens),
            ("lengths", Dtype::I32, vec![count], lengths),
            ("labels", Dtype::I32, vec![count], labels),
        ];
        write(folder, part, count, &tensors)
    }
}

/// Writes clips of `frames` frames of `width` pixels, as numbers from 0 to 1, and their classes as
/// `data.kind = "frames"` reads them.
///
/// # Errors
/// The file cannot be written.
pub fn write_frames(
    folder: &Path,
    part: &str,
    [frames, width]: [usize; 2],
    clips: &[(Vec<u8>, i32)],
) -> Result<MadeFile> {
    let number = |pixel: &u8| f16::from_f32(f32::from(*pixel) / 255.0).to_le_bytes();
    let pixels = clips.iter().flat_map(|(clip, _)| clip);
    let features = pixels.flat_map(number).collect();
    let labels = little(clips.iter().map(|(_, label)| *label));
    let count = clips.len();
    let tensors = [
        ("features", Dtype::F16, vec![count, frames, width], features),
        ("labels", Dtype::I32, vec![count], labels),
    ];
    write(folder, part, count, &tensors)
}

/// Writes a text.
///
/// # Errors
/// The file cannot be written.
pub fn write_text(folder: &Path, name: String, text: &[u8]) -> Result<MadeFile> {
    let path = folder.join(&name);
    let around = path.parent().unwrap_or(folder);
    fs::create_dir_all(around).map_err(TaskError::io("create", around))?;
    fs::write(&path, text).map_err(TaskError::io("write", &path))?;
    Ok(MadeFile {
        name,
        clips: text.len(),
    })
}

fn little(numbers: impl Iterator<Item = i32>) -> Vec<u8> {
    numbers.flat_map(i32::to_le_bytes).collect()
}

type Tensor = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn write(folder: &Path, part: &str, clips: usize, tensors: &[Tensor]) -> Result<MadeFile> {
    let name = format!("{part}.safetensors");
    let path = folder.join(&name);
    let views = tensors.iter().map(|(name, dtype, shape, data)| {
        let view = TensorView::new(*dtype, shape.clone(), data);
        (*name, view.expect("as many bytes as the shape"))
    });
    let bytes = safetensors::serialize(views, None).expect("tensors of whole bytes");
    fs::write(&path, bytes).map_err(TaskError::io("write", &path))?;
    Ok(MadeFile { name, clips })
}
