//! What a network is calibrated on: sequences of tokens or of frames that know nothing of each other.

use crate::reference::Input;
use ndarray::{Array2, Axis, concatenate, s};

/// Sequences to calibrate on: windows of a text, or clips.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    inputs: Inputs,
    /// Positions of each sequence, none of them 0.
    lengths: Vec<usize>,
}

/// Those of all sequences, one after the other.
#[derive(Clone, Debug, PartialEq)]
enum Inputs {
    Tokens(Vec<u32>),
    /// `[positions, frame_dim]`.
    Frames(Array2<f32>),
}

/// Clips that no network can read all of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MixedClips {
    /// Tokens and frames.
    #[error(
        "clip {clip} is not of the kind of those before it: clips are all of tokens or all of frames"
    )]
    Kinds {
        /// Its number, from 0.
        clip: usize,
    },
    /// Frames of different widths.
    #[error("clip {clip} has frames of {found} numbers, those before it have {expected}")]
    Widths {
        /// Its number, from 0.
        clip: usize,
        /// Numbers of a frame of the first clip.
        expected: usize,
        /// Of this one.
        found: usize,
    },
}

impl Sample {
    /// At most `count` of `tokens`, in windows of `window` that are spread evenly over them. A text shorter
    /// than a window is one.
    pub fn spread(tokens: &[u32], window: usize, count: usize) -> Self {
        let window = window.clamp(1, tokens.len().max(1));
        let windows = (count / window).clamp(1, (tokens.len() / window).max(1));
        let last = tokens.len() - window.min(tokens.len());
        let start = |i: usize| last * i / (windows - 1).max(1);
        let chosen = (0..windows).flat_map(|i| tokens[start(i)..].iter().take(window));
        Self::of_windows(chosen.copied().collect(), window)
    }

    /// `tokens` that are windows of `window` already, one after the other.
    pub(super) fn of_windows(tokens: Vec<u32>, window: usize) -> Self {
        let lengths = tokens.chunks(window.max(1)).map(<[u32]>::len).collect();
        Self {
            inputs: Inputs::Tokens(tokens),
            lengths,
        }
    }

    /// Clips of whatever lengths. Empty ones are left out.
    ///
    /// # Errors
    /// [`MixedClips`].
    pub fn of_clips<'a>(clips: impl IntoIterator<Item = Input<'a>>) -> Result<Self, MixedClips> {
        let (mut tokens, mut frames, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (clip, input) in clips.into_iter().enumerate() {
            if input.is_empty() {
                continue;
            }
            match input {
                Input::Tokens(_) if !frames.is_empty() => return Err(MixedClips::Kinds { clip }),
                Input::Frames(_) if !tokens.is_empty() => return Err(MixedClips::Kinds { clip }),
                Input::Tokens(clip) => tokens.extend(clip),
                Input::Frames(rows) => {
                    let first = frames.first().unwrap_or(&rows);
                    let (expected, found) = (first.ncols(), rows.ncols());
                    if expected != found {
                        return Err(MixedClips::Widths {
                            clip,
                            expected,
                            found,
                        });
                    }
                    frames.push(rows);
                }
            }
            lengths.push(input.len());
        }
        let inputs = match frames.is_empty() {
            true => Inputs::Tokens(tokens),
            false => {
                let frames = concatenate(Axis(0), &frames);
                Inputs::Frames(frames.expect("all are as wide"))
            }
        };
        Ok(Self { inputs, lengths })
    }

    /// Its sequences, one after the other.
    pub fn sequences(&self) -> impl Iterator<Item = Input<'_>> {
        let mut start = 0;
        self.lengths.iter().map(move |length| {
            let range = start..start + length;
            start = range.end;
            match &self.inputs {
                Inputs::Tokens(tokens) => Input::Tokens(&tokens[range]),
                Inputs::Frames(frames) => Input::Frames(frames.slice(s![range, ..])),
            }
        })
    }

    /// All positions of all sequences.
    pub(super) fn inputs(&self) -> Input<'_> {
        match &self.inputs {
            Inputs::Tokens(tokens) => Input::Tokens(tokens),
            Inputs::Frames(frames) => Input::Frames(frames.view()),
        }
    }

    /// Positions of each sequence.
    pub(super) fn lengths(&self) -> &[usize] {
        &self.lengths
    }

    /// Positions in it.
    pub fn len(&self) -> usize {
        self.lengths.iter().sum()
    }

    /// Whether it has no positions.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_spread_over_the_text() {
        let text: Vec<u32> = (0..1000).collect();
        let sample = Sample::spread(&text, 10, 35);
        let starts = sample.sequences().map(|sequence| match sequence {
            Input::Tokens(tokens) => tokens[0],
            Input::Frames(_) => unreachable!("a text has no frames"),
        });
        assert_eq!(starts.collect::<Vec<_>>(), [0, 495, 990]);
        assert_eq!(sample.len(), 30);
        for (tokens, window, count, expected) in [
            (25, 10, 1000, 20),
            (7, 10, 1000, 7),
            (0, 10, 5, 0),
            (1000, 10, 3, 10),
        ] {
            let sample = Sample::spread(&text[..tokens], window, count);
            assert_eq!((sample.len(), sample.is_empty()), (expected, expected == 0));
        }
    }

    #[test]
    fn clips_keep_their_lengths() {
        let frames = Array2::from_shape_fn((9, 2), |(i, j)| (2 * i + j) as f32);
        let part = |range: std::ops::Range<usize>| Input::Frames(frames.slice(s![range, ..]));
        let clips = [part(0..4), part(4..4), part(4..5), part(5..9)];
        let sample = Sample::of_clips(clips).unwrap();
        assert_eq!((sample.len(), sample.lengths()), (9, &[4, 1, 4][..]));
        let starts = sample.sequences().map(|sequence| match sequence {
            Input::Frames(frames) => frames[[0, 0]],
            Input::Tokens(_) => unreachable!("clips of frames"),
        });
        assert_eq!(starts.collect::<Vec<_>>(), [0.0, 8.0, 10.0]);

        let tokens = Input::Tokens(&[1, 2]);
        let mixed = Sample::of_clips([part(0..2), tokens]).unwrap_err();
        assert_eq!(mixed, MixedClips::Kinds { clip: 1 });
        let mixed = Sample::of_clips([tokens, part(0..2)]).unwrap_err();
        assert_eq!(mixed, MixedClips::Kinds { clip: 1 });
        let narrow = Input::Frames(frames.slice(s![.., ..1]));
        let (clip, expected, found) = (1, 2, 1);
        let mixed = Sample::of_clips([part(0..2), narrow]).unwrap_err();
        assert_eq!(
            mixed,
            MixedClips::Widths {
                clip,
                expected,
                found
            }
        );
    }
}
