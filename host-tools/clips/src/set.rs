//! Clips of whatever kind, by what a classifier reads.

use super::{Clips, FrameSet, Framing, Reads, Result, TextFolders, TokenClips};
use std::path::Path;
use toeplite_checkpoint::FrontEnd;

/// Clips of any kind with a class each.
pub enum ClipSet {
    /// Of tokens.
    Tokens(TokenClips),
    /// Of frames.
    Frames(FrameSet),
}

/// What a classifier reads of a clip.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A token a position.
    Tokens(Vec<u32>),
    /// `width` numbers a position.
    Frames {
        /// Numbers of a position.
        width: usize,
        /// `[positions, width]`.
        values: Vec<f32>,
    },
}

impl ClipSet {
    /// Opens the clips at `path` that a classifier asks for: of tokens a safetensors file or a folder of folders of
    /// texts, of frames an npz or safetensors file or a folder of folders of wav files. These become frames by
    /// `hop`, the samples from one frame's start to the next one's, and must all be of one sampling rate, which
    /// `rate` may say.
    ///
    /// # Errors
    /// What is there cannot be read, or is not what `clips` asks for.
    pub fn open(path: &Path, clips: &Clips, hop: usize, rate: Option<u32>) -> Result<Self> {
        clips.check_names(path)?;
        Ok(match (clips.reads, path.is_dir()) {
            (Reads::Tokens(_), false) => Self::Tokens(TokenClips::file(path, clips)?),
            (Reads::Tokens(_), true) => Self::Tokens(TextFolders::open(path, clips)?.clips),
            (Reads::Frames(_), false) => Self::Frames(FrameSet::features(path, clips)?),
            (Reads::Frames(frame), true) => {
                let framing = Framing { frame, hop, rate };
                Self::Frames(FrameSet::sounds(path, framing, clips)?)
            }
        })
    }

    /// Reads a folder of folders of recordings as the features that `front_end` computes of them.
    ///
    /// # Errors
    /// As [`FrameSet::recordings`].
    pub fn recordings(path: &Path, front_end: &FrontEnd, clips: &Clips) -> Result<Self> {
        Ok(Self::Frames(FrameSet::recordings(path, front_end, clips)?))
    }

    /// How many clips there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens(clips) => clips.windows().len(),
            Self::Frames(clips) => clips.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Names of the classes by label, or the labels where names are not known.
    pub fn classes(&self) -> &[String] {
        match self {
            Self::Tokens(clips) => clips.classes(),
            Self::Frames(clips) => clips.classes(),
        }
    }

    /// What a classifier reads of a clip, and the clip's label.
    ///
    /// # Panics
    /// There is no such clip.
    pub fn clip(&self, index: usize) -> (Input, u32) {
        match self {
            Self::Tokens(clips) => {
                let mut tokens = Vec::new();
                let label = clips.read(clips.windows(), index, 0, &mut tokens);
                (Input::Tokens(tokens), label)
            }
            Self::Frames(clips) => {
                let (width, mut values) = (clips.frame(), Vec::new());
                let label = clips.read(index, clips.length(), &mut values);
                (Input::Frames { width, values }, label)
            }
        }
    }

    /// Who speaks in a clip, where that is known.
    pub fn speaker(&self, index: usize) -> Option<&str> {
        match self {
            Self::Tokens(_) => None,
            Self::Frames(clips) => clips.speaker(index),
        }
    }

    /// What they are, in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Tokens(clips) => clips.describe(),
            Self::Frames(clips) => clips.describe(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;
    use std::fs;

    fn clips(reads: Reads) -> Clips {
        Clips {
            reads,
            classes: 2,
            names: None,
            length: 3,
            image: None,
        }
    }

    #[test]
    fn what_a_classifier_reads_decides_how_a_path_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (texts, frames) = (dir.path().join("texts"), dir.path().join("f.safetensors"));
        for (name, text) in [("a/1.txt", "abcd"), ("b/2.txt", "x")] {
            let path = texts.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let numbers: Vec<u8> = [1f32, 2., 3., 4.].map(f32::to_le_bytes).concat();
        let views = [
            (
                "features",
                TensorView::new(Dtype::F32, vec![1, 2, 2], &numbers),
            ),
            ("labels", TensorView::new(Dtype::U8, vec![1], &[1])),
        ];
        let views = views.map(|(name, view)| (name, view.unwrap()));
        fs::write(&frames, safetensors::serialize(views, None).unwrap()).unwrap();

        let set = ClipSet::open(&texts, &clips(Reads::Tokens(256)), 1, None).unwrap();
        assert_eq!(
            (set.len(), set.classes()),
            (3, &["a", "b"].map(String::from)[..])
        );
        let tokens = |text: &[u8]| Input::Tokens(text.iter().map(|b| u32::from(*b)).collect());
        assert_eq!(set.clip(1), (tokens(b"bcd"), 0));
        assert_eq!(set.clip(2), (tokens(b"x"), 1));
        let set = ClipSet::open(&frames, &clips(Reads::Frames(2)), 1, None).unwrap();
        let values = vec![0., 0., 1., 2., 3., 4.];
        assert_eq!(set.clip(0), (Input::Frames { width: 2, values }, 1));

        let error = |path: &Path, reads| {
            let set = ClipSet::open(path, &clips(reads), 1, None);
            set.err().unwrap().to_string()
        };
        assert!(error(&texts, Reads::Frames(2)).contains("wav files"));
        assert!(error(&frames, Reads::Tokens(9)).contains("no tensor `tokens`"));
        let mut named = clips(Reads::Tokens(256));
        named.names = Some(vec!["a".to_owned()]);
        let text = ClipSet::open(&frames, &named, 1, None)
            .err()
            .unwrap()
            .to_string();
        assert!(text.contains("1 classes (a)"), "{text}");
    }
}
