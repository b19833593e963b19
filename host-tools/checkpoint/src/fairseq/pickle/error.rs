//! What can be wrong with a pickle.

use thiserror::Error;

/// Why a pickle could not be read, and where.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("pickle, byte {offset}: {kind}")]
pub struct PickleError {
    /// Offset of the instruction that failed.
    pub offset: usize,
    /// What is wrong with it.
    pub kind: PickleErrorKind,
}

/// What is wrong with a pickle.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PickleErrorKind {
    /// The data end inside an instruction, or before the one that ends every pickle.
    #[error("needs {needed} more bytes but {left} are left: the file is truncated or damaged")]
    Truncated {
        /// Bytes that the instruction still needs.
        needed: u64,
        /// Bytes there are.
        left: usize,
    },
    /// An instruction that torch and fairseq never write.
    #[error("unknown instruction {opcode:#04x}: not a pickle as torch writes it")]
    Opcode {
        /// Its first byte.
        opcode: u8,
    },
    /// A protocol newer than 5.
    #[error("pickle protocol {0}, this program reads up to 5")]
    Protocol(u8),
    /// The instruction takes more values than there are.
    #[error("takes a value that is not there")]
    EmptyStack,
    /// The instruction takes all values since a mark, and there is no mark.
    #[error("takes a mark that is not there")]
    NoMark,
    /// A reference to a value that was never stored.
    #[error("refers to stored value {0}, which does not exist")]
    Memo(u32),
    /// Keys without values.
    #[error("a dict with a key that has no value")]
    OddEntries,
    /// The instruction fills something that is not of its kind.
    #[error("fills {found}, expected {expected}")]
    Target {
        /// What it can fill.
        expected: &'static str,
        /// What it was given.
        found: &'static str,
    },
    /// A name that is no text.
    #[error("a class name that is no text")]
    Name,
    /// More bytes than any checkpoint's description has.
    #[error("{bytes} bytes, more than the {limit} accepted")]
    TooLarge {
        /// Length of the pickle.
        bytes: usize,
        /// Largest length accepted.
        limit: usize,
    },
    /// More values than any checkpoint's description has.
    #[error("more than {limit} values")]
    TooMany {
        /// Most values accepted.
        limit: usize,
    },
}
