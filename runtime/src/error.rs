//! What can be wrong with what the caller gives: blobs, memory, tokens, snapshots.

use crate::format;
use core::fmt;

/// Why bytes are not a model that this runtime can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModelError {
    /// The blob does not begin with `TOEP`.
    BadMagic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// Made by a newer `toeplite convert`, or not a blob.
    UnsupportedVersion {
        /// The blob's format version.
        found: u16,
    },
    /// The blob wants another numeric contract.
    UnsupportedContract {
        /// The blob's contract number.
        found: u16,
        /// That of the type which was asked to read it.
        expected: u16,
    },
    /// The blob is of another kind of model.
    UnsupportedTask {
        /// The blob's task number.
        found: u16,
        /// That of the type which was asked to read it.
        expected: u16,
    },
    /// The blob's weights are in an order that this version does not know.
    UnsupportedOrder {
        /// The blob's weight order.
        found: u16,
    },
    /// The blob's weights are packed for the instructions of other cores.
    OtherTarget {
        /// What they are packed for.
        packed_for: &'static str,
        /// What `toeplite convert --target` packs them for to run here.
        target: &'static str,
    },
    /// The model uses something that this build of the runtime leaves out.
    FeatureNeeded {
        /// The cargo feature of the `toeplite` crate to switch on.
        feature: &'static str,
    },
    /// Fewer or more bytes than the header says.
    WrongLength {
        /// Bytes that the header says the blob has (or the header's own size).
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// The blob lies at an address that is not a multiple of [`format::ALIGNMENT`].
    Misaligned {
        /// The address modulo the alignment.
        remainder: usize,
    },
    /// Bytes were changed after the blob was written.
    Corrupt {
        /// CRC-32 in the header.
        expected: u32,
        /// CRC-32 of the bytes.
        found: u32,
    },
    /// A header field has a value that no writer of this format writes.
    BadField {
        /// Byte offset of the field.
        offset: usize,
    },
    /// A section of the wrong place, kind, type or size.
    BadSection {
        /// Index in the section table.
        index: usize,
    },
    /// A number that is not finite, not in range, or a pole outside the unit circle.
    BadNumber {
        /// Index in the section table.
        section: usize,
        /// Index of the element.
        element: usize,
    },
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadMagic { found } => {
                write!(
                    f,
                    "not a Toeplite model: it begins with {found:02x?} instead of \"TOEP\""
                )
            }
            Self::UnsupportedVersion { found } => write!(
                f,
                "model format version {found}, but this runtime reads version {}: convert the checkpoint again, or update the runtime",
                format::VERSION
            ),
            Self::UnsupportedContract { found, expected } => {
                let name = |contract: &u16| match *contract {
                    format::CONTRACT_F32 => {
                        "f32: toeplite::Model or toeplite::classifier::Model reads it"
                    }
                    format::CONTRACT_FIXED => {
                        "fixed: toeplite::fixed::Model or toeplite::fixed::classifier::Model reads it"
                    }
                    _ => "unknown: a newer runtime may read it",
                };
                write!(
                    f,
                    "the model has numeric contract {found} ({}), but it was read as one of contract {expected}",
                    name(found)
                )
            }
            Self::UnsupportedTask { found, expected } => {
                let name = |task: &u16| match *task {
                    format::TASK_CAUSAL_LM => {
                        "it streams tokens: toeplite::Model reads it, with the contract fixed toeplite::fixed::Model"
                    }
                    format::TASK_WINDOW_LM => {
                        "it sees a window of tokens at once: toeplite::window::Model reads it"
                    }
                    format::TASK_CLASSIFIER => {
                        "it is a classifier: toeplite::classifier::Model reads it, with the contract fixed toeplite::fixed::classifier::Model"
                    }
                    format::TASK_WINDOW_CLASSIFIER => {
                        "it is a classifier of windows: toeplite::classifier::window::Model reads it"
                    }
                    _ => "unknown: a newer runtime may read it",
                };
                write!(
                    f,
                    "the model has task {found} ({}), but it was read as one of task {expected}",
                    name(found)
                )
            }
            Self::UnsupportedOrder { found } => write!(
                f,
                "weights in order {found}, which this runtime does not know: convert the checkpoint again, or update the runtime"
            ),
            Self::OtherTarget { packed_for, target } => write!(
                f,
                "the model's weights are packed for {packed_for}, and this core cannot read them: convert the checkpoint again with --target {target}"
            ),
            Self::FeatureNeeded { feature } => {
                write!(
                    f,
                    "the model needs the feature \"{feature}\" of the toeplite crate: add it to the dependency's features"
                )
            }
            Self::WrongLength { expected, found } => {
                write!(
                    f,
                    "the model should have {expected} bytes, but {found} were given: the file is cut off or has bytes appended"
                )
            }
            Self::Misaligned { remainder } => write!(
                f,
                "the model lies {remainder} bytes past a multiple of {}: embed it with toeplite::include_aligned!",
                format::ALIGNMENT
            ),
            Self::Corrupt { expected, found } => {
                write!(
                    f,
                    "the model is corrupt: its CRC-32 is {found:08x} and should be {expected:08x}; flash or copy it again"
                )
            }
            Self::BadField { offset } => write!(
                f,
                "the model's header field at byte {offset} has an impossible value"
            ),
            Self::BadSection { index } => write!(
                f,
                "section {index} of the model has the wrong place, kind, type or size"
            ),
            Self::BadNumber { section, element } => {
                write!(
                    f,
                    "number {element} of the model's section {section} is not finite or out of range"
                )
            }
        }
    }
}

/// Why the caller's memory cannot hold a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MemoryError {
    /// Too few bytes.
    TooSmall {
        /// Bytes that the model needs.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// The memory does not begin at a multiple of [`format::ALIGNMENT`]; use [`Memory`](crate::Memory).
    Misaligned {
        /// The address modulo the alignment.
        remainder: usize,
    },
}

impl fmt::Display for MemoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooSmall { needed, found } => write!(
                f,
                "the model needs {needed} bytes of memory, but {found} were given"
            ),
            Self::Misaligned { remainder } => {
                write!(
                    f,
                    "the session's memory lies {remainder} bytes past a multiple of {}: use toeplite::Memory",
                    format::ALIGNMENT
                )
            }
        }
    }
}

/// Why a step was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StepError {
    /// The token is not in the vocabulary. The session is unchanged by it.
    UnknownToken {
        /// The token given.
        token: u32,
        /// Tokens are below this number.
        vocabulary: usize,
    },
    /// A prefill without a token has no logits to return.
    NoTokens,
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownToken { token, vocabulary } => write!(
                f,
                "token {token} is not below the vocabulary's size, {vocabulary}"
            ),
            Self::NoTokens => f.write_str("prefill needs at least one token"),
        }
    }
}

/// Why a classifier did not take an input. The session is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InputError {
    /// The token is not in the vocabulary.
    UnknownToken {
        /// The token given.
        token: u32,
        /// Tokens are below this number.
        vocabulary: usize,
    },
    /// A token, for a model that takes frames.
    TakesFrames {
        /// Numbers of a frame.
        numbers: usize,
    },
    /// A frame, for a model that takes tokens.
    TakesTokens,
    /// A frame with more or fewer numbers than the model's have.
    FrameLength {
        /// Numbers of a frame of the model.
        expected: usize,
        /// Numbers of the frame given.
        found: usize,
    },
    /// A number of the frame is not finite, or beyond what the contract has, either way: 10^15, with the contract `fixed` 2^15.
    FrameNumber {
        /// Its place in the frame.
        element: usize,
    },
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownToken { token, vocabulary } => {
                let (token, vocabulary) = (*token, *vocabulary);
                StepError::UnknownToken { token, vocabulary }.fmt(f)
            }
            Self::TakesFrames { numbers } => write!(
                f,
                "the model takes frames of {numbers} numbers, not tokens: use push_frame"
            ),
            Self::TakesTokens => f.write_str("the model takes tokens, not frames: use push"),
            Self::FrameLength { expected, found } => write!(
                f,
                "the model takes frames of {expected} numbers, but one of {found} was given"
            ),
            Self::FrameNumber { element } => write!(
                f,
                "number {element} of the frame is not finite, or too large (1e15; with the contract fixed 32768): check the features' computation"
            ),
        }
    }
}

/// Why a clip has no class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClipError {
    /// The clip has no tokens or frames.
    Empty,
    /// More tokens or frames than the model's window has.
    TooLong {
        /// Tokens or frames given.
        positions: usize,
        /// Most of a clip.
        window: usize,
    },
    /// The model does not take one of them.
    Input {
        /// Which, counted from 0.
        position: usize,
        /// Why not.
        source: InputError,
    },
}

impl fmt::Display for ClipError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("a clip needs at least one token or frame"),
            Self::TooLong { positions, window } => write!(
                f,
                "the clip has {positions} tokens or frames, but the model's window {window}: give fewer, or convert the checkpoint again with --window {positions}"
            ),
            Self::Input { position, source } => {
                write!(f, "token or frame {position} of the clip: {source}")
            }
        }
    }
}

/// Why a classifier's mean cannot forget so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DecayError {
    /// A factor that is not within 0 to 1, or a half-life that is not above 0 and at most 100,000 inputs.
    OutOfRange,
    /// The model is one that looks at the last position alone: there is no mean.
    LastPosition,
}

impl fmt::Display for DecayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OutOfRange => {
                "a decay's factor is from 0 to 1, its half-life above 0 and at most 100000 inputs"
            }
            Self::LastPosition => {
                "the model was trained to tell the class at the last position: it has no mean that could forget, and needs none"
            }
        })
    }
}

/// Why a prefill in blocks was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PrefillError {
    /// As of [`Session::prefill`](crate::Session::prefill).
    Step(StepError),
    /// The workspace does not hold two tokens, or is not aligned. The session is unchanged.
    Workspace(MemoryError),
}

impl From<StepError> for PrefillError {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

impl From<MemoryError> for PrefillError {
    fn from(error: MemoryError) -> Self {
        Self::Workspace(error)
    }
}

impl fmt::Display for PrefillError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(error) => error.fmt(f),
            Self::Workspace(MemoryError::TooSmall { needed, found }) => write!(
                f,
                "a prefill in blocks needs a workspace of at least {needed} bytes, but {found} were given: see prefill_memory_needed, prefill_by_fft_memory_needed"
            ),
            Self::Workspace(error) => write!(f, "the workspace: {error}"),
        }
    }
}

/// Why a window gave no logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowError {
    /// There are no tokens, or one is not in the vocabulary. The session has no logits afterwards.
    Step(StepError),
    /// More tokens than the model's window has. The session has no logits afterwards.
    TooLong {
        /// Tokens given.
        tokens: usize,
        /// Most tokens of a window.
        window: usize,
    },
    /// Logits of a position that the last run did not have.
    NoPosition {
        /// The position.
        position: usize,
        /// Tokens of the last run; 0 before the first and after an error.
        tokens: usize,
    },
}

impl From<StepError> for WindowError {
    fn from(error: StepError) -> Self {
        Self::Step(error)
    }
}

impl fmt::Display for WindowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step(StepError::NoTokens) => f.write_str("a window needs at least one token"),
            Self::Step(error) => error.fmt(f),
            Self::TooLong { tokens, window } => write!(
                f,
                "{tokens} tokens were given, but the model's window has {window}: give fewer at a time, or convert the checkpoint again with --window {tokens}"
            ),
            Self::NoPosition { position, tokens } => write!(
                f,
                "there are no logits at position {position}: the last run had {tokens} tokens"
            ),
        }
    }
}

/// Why a snapshot was not written or restored. The session is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The buffer or the snapshot has the wrong number of bytes.
    WrongLength {
        /// Bytes of a snapshot of this model.
        needed: usize,
        /// Bytes given.
        found: usize,
    },
    /// Not a snapshot of this version.
    BadHeader,
    /// A snapshot of another model.
    OtherModel {
        /// This model's [`identity`](crate::Model::identity).
        expected: u32,
        /// That of the snapshot's model.
        found: u32,
    },
    /// Bytes were changed after the snapshot was saved.
    Corrupt,
}

impl fmt::Display for SnapshotError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WrongLength { needed, found } => write!(
                f,
                "a snapshot of this model has {needed} bytes, not {found}"
            ),
            Self::BadHeader => f.write_str("not a session snapshot of this version"),
            Self::OtherModel { expected, found } => {
                write!(
                    f,
                    "the snapshot is of model {found:08x}, but this is model {expected:08x}"
                )
            }
            Self::Corrupt => {
                f.write_str("the snapshot is corrupt: its checksum or its contents are wrong")
            }
        }
    }
}

/// The device computed other logits than the host that wrote the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelfTestError {
    /// Hash of the logits on the host.
    pub expected: u64,
    /// Hash of the logits here.
    pub found: u64,
}

impl fmt::Display for SelfTestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "self-test failed: logits hash to {:016x} instead of {:016x}; check the FPU's mode (no flush to zero), the flash and the compiler's flags (no fast-math)",
            self.found, self.expected
        )
    }
}

impl core::error::Error for ModelError {}
impl core::error::Error for MemoryError {}
impl core::error::Error for StepError {}
impl core::error::Error for InputError {}
impl core::error::Error for ClipError {}
impl core::error::Error for DecayError {}
impl core::error::Error for PrefillError {}
impl core::error::Error for WindowError {}
impl core::error::Error for SnapshotError {}
impl core::error::Error for SelfTestError {}
