//! Sequences of tokens with a class each.

use super::{Batch, Inputs, Pick, Result, Source};
use crate::device::IGNORE;
use memmap2::Mmap;
use std::borrow::Cow;
use std::ops::Range;

/// Texts with a label each, and the sequences that a classifier reads of them.
///
/// A sequence shorter than a batch's is followed by padding ([`IGNORE`]), which networks do not see.
pub struct TokenClips {
    pub(super) stored: Stored,
    pub(super) texts: Vec<Text>,
    /// The sequences to train on.
    pub(super) windows: Windows,
    /// Names by label.
    pub(super) classes: Vec<String>,
    pub(super) name: String,
}

/// Tokens of all texts, one text behind another.
pub(super) enum Stored {
    /// In memory, one byte each.
    Bytes(Vec<u8>),
    /// In a file, from an offset on, little-endian, of so many bytes each.
    Mapped(Mmap, usize, usize),
}

/// Where a text's tokens lie, and its class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Text {
    pub tokens: Range<usize>,
    pub label: u32,
}

/// What becomes of texts longer than a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The beginning is read.
    Beginning,
    /// All is read, window by window; the last window ends with the text.
    Windows,
}

/// How texts become windows of one length.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Windows {
    /// Tokens of a sequence.
    length: usize,
    cut: Cut,
    /// Windows of all texts before each, and of all.
    before: Vec<usize>,
}

impl Windows {
    pub fn new(texts: &[Text], length: usize, cut: Cut) -> Self {
        let mut before = vec![0];
        for text in texts {
            let own = match cut {
                Cut::Beginning => 1,
                Cut::Windows => text.tokens.len().div_ceil(length).max(1),
            };
            before.push(before[before.len() - 1] + own);
        }
        Self {
            length,
            cut,
            before,
        }
    }

    pub fn len(&self) -> usize {
        self.before[self.before.len() - 1]
    }

    /// The text of a window, and where it lies if all windows begin `shift` later.
    fn at(&self, texts: &[Text], window: usize, shift: usize) -> (u32, Range<usize>) {
        let index = self.before.partition_point(|before| *before <= window) - 1;
        let Text { tokens, label } = &texts[index];
        let first = match self.cut {
            Cut::Beginning => 0,
            Cut::Windows => (window - self.before[index]) * self.length + shift,
        };
        let first = first.min(tokens.len().saturating_sub(self.length));
        let count = tokens.len().min(self.length);
        let start = tokens.start + first;
        (*label, start..start + count)
    }
}

impl Stored {
    /// Appends tokens.
    fn copy(&self, range: Range<usize>, to: &mut Vec<u32>) {
        match self {
            Self::Bytes(bytes) => to.extend(bytes[range].iter().map(|b| u32::from(*b))),
            Self::Mapped(map, at, size) => {
                let bytes = &map[at + range.start * size..at + range.end * size];
                to.extend(bytes.chunks_exact(*size).map(token));
            }
        }
    }
}

/// A token of one, two or four bytes.
pub(super) fn token(bytes: &[u8]) -> u32 {
    let digit = |token, byte: &u8| token << 8 | u32::from(*byte);
    bytes.iter().rev().fold(0, digit)
}

impl TokenClips {
    fn windows_of(&self, length: usize) -> Cow<'_, Windows> {
        if length == self.windows.length {
            return Cow::Borrowed(&self.windows);
        }
        Cow::Owned(Windows::new(&self.texts, length, self.windows.cut))
    }

    /// A batch of windows, each shifted; `None` is one that does not count.
    fn batch(
        &self,
        windows: &Windows,
        chosen: impl Iterator<Item = Option<(usize, usize)>>,
    ) -> Batch {
        let (mut tokens, mut targets) = (Vec::new(), Vec::new());
        for window in chosen {
            let end = tokens.len() + windows.length;
            let label = window.map(|(window, shift)| {
                let (label, range) = windows.at(&self.texts, window, shift);
                self.stored.copy(range, &mut tokens);
                label
            });
            targets.push(label.unwrap_or(IGNORE));
            tokens.resize(end, IGNORE);
        }
        Batch {
            sequences: targets.len(),
            length: windows.length,
            inputs: Inputs::Tokens(tokens),
            targets,
        }
    }
}

impl Source for TokenClips {
    fn sequences(&self) -> u64 {
        self.windows.len() as u64
    }

    fn training(&self, picks: &[Pick]) -> Result<Batch> {
        let shift = |pick: &Pick| (pick.epoch_noise % self.windows.length as u64) as usize;
        let chosen = picks.iter().map(|p| Some((p.index as usize, shift(p))));
        Ok(self.batch(&self.windows, chosen))
    }

    fn counted(&self, picks: &[Pick]) -> Result<u64> {
        Ok(picks.len() as u64)
    }

    fn evaluation(&self, index: u64, length: usize, sequences: usize) -> Result<Option<Batch>> {
        let windows = self.windows_of(length.max(1));
        let count = windows.len();
        let sequences = sequences.clamp(1, count);
        let first = usize::try_from(index)
            .ok()
            .and_then(|i| i.checked_mul(sequences));
        let Some(first) = first.filter(|first| *first < count) else {
            return Ok(None);
        };
        let chosen = (first..first + sequences).map(|w| (w < count).then_some((w, 0)));
        Ok(Some(self.batch(&windows, chosen)))
    }

    fn targets(&self) -> u64 {
        self.sequences()
    }

    fn target_bytes(&self) -> Option<u64> {
        None
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn describe(&self) -> String {
        let tokens: usize = self.texts.iter().map(|text| text.tokens.len()).sum();
        format!(
            "{}: {} texts of {} classes, {tokens} tokens, {} sequences of up to {}",
            self.name,
            self.texts.len(),
            self.classes.len(),
            self.windows.len(),
            self.windows.length
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Sampler, Shard};
    use super::*;

    fn clips(lengths: &[usize], length: usize, cut: Cut) -> TokenClips {
        let mut end = 0;
        let text = |(label, len): (usize, &usize)| {
            end += len;
            Text {
                tokens: end - len..end,
                label: label as u32,
            }
        };
        let texts: Vec<Text> = lengths.iter().enumerate().map(text).collect();
        TokenClips {
            stored: Stored::Bytes((0..end as u8).collect()),
            windows: Windows::new(&texts, length, cut),
            texts,
            classes: Vec::new(),
            name: String::new(),
        }
    }

    fn tokens(batch: &Batch) -> &[u32] {
        match &batch.inputs {
            Inputs::Tokens(tokens) => tokens,
            Inputs::Frames { .. } => panic!("tokens are expected"),
        }
    }

    #[test]
    fn beginnings_are_padded_or_cut() {
        let clips = clips(&[2, 5], 3, Cut::Beginning);
        assert_eq!(clips.sequences(), 2);
        let batch = clips.evaluation(0, 3, 8).unwrap().unwrap();
        assert_eq!(tokens(&batch), [0, 1, IGNORE, 2, 3, 4]);
        assert_eq!(batch.targets, [0, 1]);
        let long = clips.evaluation(0, 6, 1).unwrap().unwrap();
        assert_eq!(tokens(&long)[1..], [1, IGNORE, IGNORE, IGNORE, IGNORE]);
        assert!(clips.evaluation(1, 3, 8).unwrap().is_none());
    }

    #[test]
    fn windows_show_every_token_of_their_text_and_no_other() {
        let clips = clips(&[7, 2, 6], 3, Cut::Windows);
        let all: Vec<Batch> = (0..)
            .map_while(|i| clips.evaluation(i, 3, 4).unwrap())
            .collect();
        let seen: Vec<u32> = all.iter().flat_map(|b| tokens(b).to_vec()).collect();
        let n = IGNORE;
        assert_eq!(
            seen,
            [
                0, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, n, 9, 10, 11, 12, 13, 14, n, n, n, n, n, n
            ]
        );
        assert_eq!(all[0].targets, [0, 0, 0, 1]);
        assert_eq!(all[1].targets, [2, 2, IGNORE, IGNORE]);
        // At another length there are other windows.
        assert_eq!(clips.evaluation(0, 8, 9).unwrap().unwrap().sequences, 3);
        let sampler = Sampler {
            sequences: clips.sequences(),
            batch: 6,
            seed: 1,
        };
        let mut starts = std::collections::BTreeSet::new();
        for step in 1..30 {
            let batch = clips
                .training(&sampler.step(step, 1, Shard::WHOLE)[0])
                .unwrap();
            for (window, label) in tokens(&batch).chunks(3).zip(&batch.targets) {
                let own = &clips.texts[*label as usize].tokens;
                let inside = |t: &u32| own.contains(&(*t as usize)) || (*t == n && *label == 1);
                assert!(window.iter().all(inside), "{window:?} of {label}");
                starts.insert(window[0]);
            }
        }
        // Windows begin at any place of a text that they fit behind.
        assert_eq!(starts, [0, 1, 2, 3, 4, 7, 9, 10, 11, 12].into());
    }
}
