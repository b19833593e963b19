//! Training and validation data, as batches.
//!
//! A [`Source`] holds one file's (or folder's) sequences and gives those that it is asked for; a
//! [`Sampler`] says which sequences a step reads. Which ones is a function of the seed and the step
//! alone, so that a run's position in its data is its step number.

mod draw;
mod error;
mod frames;
mod masking;
mod order;
mod sampler;
mod shift;
pub mod sounds;
mod sources;
mod text;
mod token_cache;
mod token_clips;
mod tokenizer;
mod tokens;
mod windows;

pub use draw::Draw;
pub use error::DataError;
pub use frames::Frames;
pub use order::Permutation;
pub use sampler::{Pick, Sampler, Shard};
pub use shift::Shift;
pub use sounds::Sounds;
pub use sources::Sources;
pub use text::TextSet;
pub use toeplite_clips::{
    ClipError, Clips, FrameSet, Framing, Masking, Reads, TextFolders, TokenClips, mix,
};
pub use tokenizer::TextTokenizer;
pub use tokens::Tokens;
pub use windows::{Copies, Windowing, WindowsError, scaled_by};

/// What [`Source`]s return.
pub type Result<T, E = DataError> = std::result::Result<T, E>;

/// Sequences of equal length and what is to be predicted of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Number of sequences.
    pub sequences: usize,
    /// Positions of a sequence.
    pub length: usize,
    /// What the network reads, sequence after sequence.
    pub inputs: Inputs,
    /// What it is to say: one number a position (language models) or one a sequence (classifiers).
    /// [`IGNORE`](crate::device::IGNORE) does not count.
    pub targets: Vec<u32>,
}

/// What a network reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Inputs {
    /// One token a position; behind the end of a classifier's sequence
    /// [`IGNORE`](crate::device::IGNORE), which the network does not see.
    Tokens(Vec<u32>),
    /// `width` numbers a position.
    Frames {
        /// Numbers of a position.
        width: usize,
        /// `[sequences, length, width]`.
        values: Vec<f32>,
    },
}

impl Batch {
    /// Targets that count.
    pub fn counted(&self) -> u64 {
        let counts = |t: &&u32| **t != crate::device::IGNORE;
        self.targets.iter().filter(counts).count() as u64
    }

    /// Positions of all sequences.
    pub fn positions(&self) -> usize {
        self.sequences * self.length
    }
}

/// Sequences to learn from or to be judged by.
pub trait Source: Send + Sync {
    /// Sequences of one epoch.
    fn sequences(&self) -> u64;

    /// The sequences of `picks`, in that order.
    ///
    /// # Errors
    /// The file has changed underneath, or holds what the network cannot read.
    fn training(&self, picks: &[Pick]) -> Result<Batch>;

    /// Targets that count of the sequences of `picks`: those of [`Source::training`]'s batch.
    ///
    /// # Errors
    /// As [`Source::training`].
    fn counted(&self, picks: &[Pick]) -> Result<u64>;

    /// The `index`-th batch of an evaluation in windows of `length`, `None` after the last one. The
    /// batches together hold every target once. All have `sequences` sequences where the network
    /// allows it: missing ones are filled with targets that do not count.
    ///
    /// # Errors
    /// As [`Source::training`].
    fn evaluation(&self, index: u64, length: usize, sequences: usize) -> Result<Option<Batch>>;

    /// Targets of an evaluation of everything: the expected number where masks are drawn at random.
    fn targets(&self) -> u64;

    /// Bytes that the targets of an evaluation stand for, where the data is text.
    fn target_bytes(&self) -> Option<u64>;

    /// Whether each token stands for one byte.
    fn tokens_are_bytes(&self) -> bool {
        false
    }

    /// Names of the classes, by label, of data for classifiers.
    fn classes(&self) -> &[String] {
        &[]
    }

    /// Who speaks in a clip, where that is known.
    fn speaker(&self, _clip: u64) -> Option<&str> {
        None
    }

    /// Samples a second, of sounds.
    fn rate(&self) -> Option<u32> {
        None
    }

    /// What made the frames, where that is known: it goes with the network's checkpoints.
    fn front_end(&self) -> Option<toeplite_checkpoint::AnyFrontEnd> {
        None
    }

    /// What the data is, in words.
    fn describe(&self) -> String;
}
