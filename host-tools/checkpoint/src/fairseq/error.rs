//! What can be wrong with a fairseq file.

use super::pickle::PickleError;
use thiserror::Error;

/// Why a fairseq file was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum FairseqError {
    /// Written by torch before 1.6, or by `_use_new_zipfile_serialization=False`.
    #[error(
        "a torch file in the format used before version 1.6; load it with a current torch and save it again: torch.save(torch.load(old, weights_only=False), new)"
    )]
    OldFormat,
    /// The zip archive is damaged.
    #[error("the zip archive is damaged: {0}; copy the file again")]
    Zip(zip::result::ZipError),
    /// The zip archive ends early or cannot be read.
    #[error("cannot read {entry} of the zip archive: {cause}")]
    Entry {
        /// Name in the archive.
        entry: String,
        /// What the reader said; a failed checksum is among them.
        cause: std::io::Error,
    },
    /// The zip archive was not written by `torch.save`, or lost a part.
    #[error(
        "the zip archive has no {entry}: not a file written by torch.save, or an incomplete one"
    )]
    MissingEntry {
        /// Name in the archive.
        entry: String,
    },
    /// torch stores entries as they are; something packed the archive anew.
    #[error(
        "{entry} is compressed or encrypted ({method}), torch never does that; unpack the archive and pack it again without compression (zip -0)"
    )]
    Packed {
        /// Name in the archive.
        entry: String,
        /// Compression method.
        method: String,
    },
    /// An entry of another length than what it must hold.
    #[error("{entry} has {bytes} bytes, expected {expected}: the file is damaged")]
    EntrySize {
        /// Name in the archive.
        entry: String,
        /// Its length.
        bytes: u64,
        /// What the pickle says it must be; for the pickle itself, the most accepted.
        expected: u64,
    },
    /// Written on a big-endian machine.
    #[error(
        "the numbers are stored as {0:?}, expected \"little\" endian; save it again on an ordinary machine"
    )]
    ByteOrder(String),
    /// The description of the contents is damaged.
    #[error("{0}")]
    Pickle(PickleError),
    /// A torch file with something else in it.
    #[error("not a fairseq checkpoint: `{place}` is {found}, expected {expected}")]
    Structure {
        /// Where in the pickled dict.
        place: String,
        /// What is there; "missing" if nothing.
        found: String,
        /// What fairseq writes there.
        expected: &'static str,
    },
    /// Another network than the TNN language model of the public code.
    #[error("architecture {arch:?} is not supported, only the language models `tnn_v2_*`: {why}")]
    Architecture {
        /// Its name.
        arch: String,
        /// What is different about it.
        why: &'static str,
    },
    /// An option with a value that changes the network into one that cannot be represented.
    #[error("option {option} = {value} is not supported: {why}")]
    Option {
        /// Name in the Namespace.
        option: String,
        /// Value there.
        value: String,
        /// What it would need.
        why: &'static str,
    },
    /// An option that has no default is absent.
    #[error("option {option} is missing, and fairseq has no default for it")]
    MissingOption {
        /// Name in the Namespace.
        option: String,
    },
    /// An option of the wrong type.
    #[error("option {option} is {found}, expected {expected}")]
    OptionType {
        /// Name in the Namespace.
        option: String,
        /// Value there.
        found: String,
        /// Type expected.
        expected: &'static str,
    },
    /// A tensor that cannot be read.
    #[error("tensor {name}: {cause}")]
    Tensor {
        /// Name in the file.
        name: String,
        /// What is wrong.
        cause: TensorError,
    },
    /// Two names in the file mean the same tensor.
    #[error("two tensors of the file are both {name}")]
    SameName {
        /// Name after renaming.
        name: String,
    },
    /// Input and output embedding are said to be one matrix and are not.
    #[error(
        "share_decoder_input_output_embed is set, but decoder.embed_tokens.weight and decoder.output_projection.weight differ: the file was edited or damaged"
    )]
    HeadDiffers,
    /// The tensors together are larger than the file, which therefore lies.
    #[error(
        "the tensors take {bytes} bytes, but the file has only {file}: several share the same data, which no TNN does"
    )]
    SharedData {
        /// Bytes of all tensors.
        bytes: u64,
        /// Bytes of the file.
        file: u64,
    },
}

/// Why a tensor's description makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TensorError {
    /// Something else stands in its place.
    #[error("is {0}, expected a tensor")]
    NotATensor(String),
    /// A part of the description is missing or of the wrong type.
    #[error("damaged description: {part} is {found}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is there.
        found: String,
    },
    /// More elements than its storage has.
    #[error(
        "shape {shape:?} with strides {strides:?} at offset {offset} does not fit its storage of {storage} numbers"
    )]
    Layout {
        /// Dimensions.
        shape: Vec<usize>,
        /// Distance of neighbours along each dimension, in numbers.
        strides: Vec<usize>,
        /// First number used.
        offset: usize,
        /// Numbers stored.
        storage: usize,
    },
}
