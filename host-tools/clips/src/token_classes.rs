//! Sequences of tokens with labels in one safetensors file.

use super::token_clips::{Cut, Stored, Text, TokenClips, Windows, token};
use super::{ClipError, Clips, Result, map};
use memmap2::Mmap;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use std::path::Path;

impl TokenClips {
    /// Reads `tokens` `[clips, length]` (u8, u16 or i32), of which the first `lengths` `[clips]` are a
    /// clip's own, and `labels` `[clips]` (both i32) from a safetensors file, which stays mapped.
    ///
    /// # Errors
    /// The file is none, lacks one of them, they do not fit each other, or not what `clips` asks.
    pub fn file(path: &Path, clips: &Clips) -> Result<Self> {
        let wrong = |problem: String| ClipError::TokenClasses {
            path: path.to_owned(),
            problem,
        };
        let map = map(path)?.ok_or_else(|| wrong("it is empty".to_owned()))?;
        let (texts, at, size) = layout(path, &map, clips, &wrong)?;
        let own = texts.iter().flat_map(|text| {
            let (first, end) = (text.tokens.start * size, text.tokens.end * size);
            map[at + first..at + end].chunks_exact(size).map(token)
        });
        clips.check_tokens(path, own.max())?;
        Ok(Self {
            windows: Windows::new(&texts, clips.length, Cut::Beginning),
            stored: Stored::Mapped(map, at, size),
            texts,
            classes: clips.labels(),
            name: path.display().to_string(),
        })
    }
}

/// Where the texts lie in the file: counted in tokens, from an offset on, of so many bytes each.
fn layout(
    path: &Path,
    map: &Mmap,
    clips: &Clips,
    wrong: &dyn Fn(String) -> ClipError,
) -> Result<(Vec<Text>, usize, usize)> {
    let file = SafeTensors::deserialize(map)
        .map_err(|e| wrong(format!("it is no safetensors file ({e})")))?;
    let tensor = |name: &str| {
        let missing = |_| wrong(format!("it has no tensor `{name}`"));
        file.tensor(name).map_err(missing)
    };
    let tokens = tensor("tokens")?;
    let size = match tokens.dtype() {
        Dtype::U8 => 1,
        Dtype::U16 => 2,
        Dtype::I32 => 4,
        other => return Err(wrong(format!("`tokens` are of type {other:?}"))),
    };
    let &[count, length] = tokens.shape() else {
        return Err(wrong(format!("`tokens` has shape {:?}", tokens.shape())));
    };
    if count == 0 || length == 0 {
        return Err(wrong(format!("`tokens` is empty: {count} x {length}")));
    }
    let [lengths, labels] = ["lengths", "labels"].map(|name| {
        let numbers = tensor(name).map(|view| integers(&view, count))?;
        numbers.ok_or_else(|| wrong(format!("`{name}` is not {count} numbers of type i32")))
    });
    let mut texts = Vec::with_capacity(count);
    for (index, (own, label)) in lengths?.into_iter().zip(labels?).enumerate() {
        let fits = usize::try_from(own).ok().filter(|own| *own <= length);
        let own = fits.ok_or_else(|| {
            wrong(format!(
                "the length of clip {index} is {own}, its row has {length} tokens"
            ))
        })?;
        clips.check_image(path, index, own)?;
        texts.push(Text {
            tokens: index * length..index * length + own,
            label: clips.class(path, index, label.into())?,
        });
    }
    let at = tokens.data().as_ptr() as usize - map.as_ptr() as usize;
    Ok((texts, at, size))
}

/// `count` numbers of type i32, if that is what a tensor holds.
fn integers(view: &TensorView<'_>, count: usize) -> Option<Vec<i32>> {
    let whole = view.dtype() == Dtype::I32 && view.shape() == [count];
    let numbers = view.data().chunks_exact(4);
    let number = |b: &[u8]| i32::from_le_bytes([b[0], b[1], b[2], b[3]]);
    whole.then(|| numbers.map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::super::clips::Reads;
    use super::super::testing::sequences;
    use super::*;

    const CLIPS: Clips = Clips {
        reads: Reads::Tokens(300),
        classes: 3,
        names: None,
        length: 3,
        image: None,
    };

    type Part<'a> = (&'a str, Dtype, Vec<usize>, Vec<u8>);

    fn ints(values: &[i32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn open(parts: &[Part<'_>], clips: &Clips) -> Result<TokenClips> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.safetensors");
        let views = parts.iter().map(|(name, dtype, shape, data)| {
            let view = TensorView::new(*dtype, shape.clone(), data).unwrap();
            (*name, view)
        });
        std::fs::write(&path, safetensors::serialize(views, None).unwrap()).unwrap();
        TokenClips::file(&path, clips)
    }

    fn parts(dtype: Dtype, tokens: Vec<u8>) -> [Part<'static>; 3] {
        [
            ("tokens", dtype, vec![2, 4], tokens),
            ("lengths", Dtype::I32, vec![2], ints(&[4, 1])),
            ("labels", Dtype::I32, vec![2], ints(&[2, 0])),
        ]
    }

    #[test]
    fn tokens_of_every_size_are_read_up_to_their_length() {
        // 299 would be beyond the vocabulary in a clip, but lies behind its end.
        let wide = [1i32, 2, 258, 4, 5, 299, 299, 299];
        let halves = wide
            .iter()
            .flat_map(|t| (*t as u16).to_le_bytes())
            .collect();
        let bytes = wide.iter().map(|t| *t as u8).collect();
        for (dtype, data, third) in [
            (Dtype::I32, ints(&wide), 258),
            (Dtype::U16, halves, 258),
            (Dtype::U8, bytes, 2),
        ] {
            let clips = Clips {
                reads: Reads::Tokens(259),
                ..CLIPS
            };
            let set = open(&parts(dtype, data), &clips).unwrap();
            let (tokens, labels) = sequences(&set, 3);
            assert_eq!(tokens, [vec![1, 2, third], vec![5]]);
            assert_eq!(labels, [2, 0]);
            assert_eq!(set.classes(), ["0", "1", "2"]);
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = || parts(Dtype::U8, vec![1; 8]);
        let text = |parts: &[Part<'_>], clips: &Clips| {
            let error = open(parts, clips).err().unwrap().to_string();
            assert!(error.contains("t.safetensors"), "{error}");
            error
        };
        let with = |at: usize, part: Part<'static>| {
            let mut parts = good();
            parts[at] = part;
            parts
        };
        let i32s = |name, values: &[i32]| (name, Dtype::I32, vec![2], ints(values));
        for (parts, expected) in [
            (good()[..2].to_vec(), "no tensor `labels`"),
            (with(1, i32s("lengths", &[5, 1])).to_vec(), "clip 0 is 5"),
            (with(1, i32s("lengths", &[-1, 1])).to_vec(), "clip 0 is -1"),
            (
                with(2, i32s("labels", &[1, 3])).to_vec(),
                "classifier.classes",
            ),
            (with(2, i32s("labels", &[1, -3])).to_vec(), "clip 1 is -3"),
            (
                with(0, ("tokens", Dtype::F32, vec![1, 2], vec![0; 8])).to_vec(),
                "type F32",
            ),
            (
                with(2, ("labels", Dtype::U8, vec![2], vec![0; 2])).to_vec(),
                "2 numbers of type i32",
            ),
        ] {
            let text = text(&parts, &CLIPS);
            assert!(text.contains(expected), "{text}");
        }
        let few = Clips {
            reads: Reads::Tokens(1),
            ..CLIPS
        };
        assert!(text(&good(), &few).contains("vocab_size = 2"));
        let frames = Clips {
            reads: Reads::Frames(7),
            ..CLIPS
        };
        assert!(text(&good(), &frames).contains("frame_dim = 7"));
    }
}
