//! Sequences of tokens with a class each.

use memmap2::Mmap;
use std::borrow::Cow;
use std::ops::Range;

/// Texts with a label each, and the sequences that a classifier reads of them.
///
/// What a sequence is of a text longer than itself, its [`Cut`] says; a shorter text is a sequence as it is.
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
pub enum Cut {
    /// The beginning is read.
    Beginning,
    /// All is read, window by window; the last window ends with the text.
    Windows,
}

/// How texts become windows of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Windows {
    /// Tokens of a sequence.
    length: usize,
    cut: Cut,
    /// Windows of all texts before each, and of all.
    before: Vec<usize>,
}

impl Windows {
    pub(super) fn new(texts: &[Text], length: usize, cut: Cut) -> Self {
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

    /// Tokens of a window, unless its text is shorter.
    pub fn length(&self) -> usize {
        self.length
    }

    /// How many windows there are.
    pub fn len(&self) -> usize {
        self.before[self.before.len() - 1]
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
    /// The clips of `texts`, a label and tokens below 256 each, in sequences of `length`.
    pub fn in_memory(
        name: String,
        classes: Vec<String>,
        texts: impl IntoIterator<Item = (u32, Vec<u8>)>,
        length: usize,
        cut: Cut,
    ) -> Self {
        let mut bytes = Vec::new();
        let text = |(label, own): (u32, Vec<u8>)| {
            let start = bytes.len();
            bytes.extend(own);
            Text {
                tokens: start..bytes.len(),
                label,
            }
        };
        let texts: Vec<Text> = texts.into_iter().map(text).collect();
        Self {
            windows: Windows::new(&texts, length, cut),
            stored: Stored::Bytes(bytes),
            texts,
            classes,
            name,
        }
    }

    /// Names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// The sequences of the length that was asked for.
    pub fn windows(&self) -> &Windows {
        &self.windows
    }

    /// The sequences of another length.
    pub fn windows_of(&self, length: usize) -> Cow<'_, Windows> {
        if length == self.windows.length {
            return Cow::Borrowed(&self.windows);
        }
        Cow::Owned(Windows::new(&self.texts, length, self.windows.cut))
    }

    /// Appends the tokens of one of the `windows` to `to`, and says what its label is; all windows begin `shift` later.
    ///
    /// # Panics
    /// There is no such window.
    pub fn read(&self, windows: &Windows, window: usize, shift: usize, to: &mut Vec<u32>) -> u32 {
        let (label, range) = windows.at(&self.texts, window, shift);
        self.stored.copy(range, to);
        label
    }

    /// What they are, in words.
    pub fn describe(&self) -> String {
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
