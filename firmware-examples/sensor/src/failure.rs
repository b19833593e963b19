//! What can go wrong, as an exit status and a line of text.

/// Why the program ended early.
#[derive(Clone, Copy)]
pub enum Failure {
    /// The command line is not understood.
    Arguments,
    /// The command line does not fit its buffer.
    LongLine,
    /// The bytes in flash are not a classifier that this runtime reads.
    Model,
    /// model_meta.rs is of another conversion.
    OtherMeta,
    /// The model takes other frames than the front end gives, or has other classes.
    OtherFrontEnd,
    /// Memory was refused.
    Memory,
    /// The known-answer test gave other logits than the host's.
    SelfTest,
    /// There is no such file.
    NoFile,
    /// The file ends within a sample.
    Cut,
    /// The model refused a frame.
    Frame,
}

impl Failure {
    /// What is wrong and what to do. Texts without numbers: `core::fmt`, which would print the
    /// libraries' own errors, has paths that panic.
    pub fn message(self) -> &'static str {
        match self {
            Self::Arguments => {
                "arguments: samples=FILE [every=FRAMES] [half-life=FRAMES] [smoothing=0..1] [threshold=0..1]"
            }
            Self::LongLine => {
                "the command line, the binary's path included, is longer than 384 bytes; give a shorter path"
            }
            Self::Model => {
                "the model blob is refused: a causal classifier of the contract that model_meta.rs is for, packed for this core or for all, is expected; `toeplite inspect` says more"
            }
            Self::OtherMeta => {
                "the model is not that of model_meta.rs; convert it again, and build with both files of one conversion"
            }
            Self::OtherFrontEnd => {
                "the model takes other frames, or has other classes, than the front end in model_meta.rs; convert the \
                 checkpoint again, with the front_end.json of its training data beside it"
            }
            Self::Memory => "memory is refused; build with the model's own model_meta.rs",
            Self::SelfTest => {
                "the known-answer test failed: this core computes other logits than the host did"
            }
            Self::NoFile => {
                "the samples cannot be opened; give samples=FILE, from the folder QEMU was started in, %20 for a space, at most 255 bytes"
            }
            Self::Cut => {
                "the file ends within a sample: 16-bit little-endian integers of all channels are expected, sample by sample"
            }
            Self::Frame => "the model refused a frame",
        }
    }

    /// QEMU's exit status.
    pub fn status(self) -> u8 {
        match self {
            Self::Arguments => 2,
            Self::Model => 3,
            Self::OtherMeta => 4,
            Self::Memory => 5,
            Self::SelfTest => 6,
            Self::Frame => 7,
            Self::LongLine => 9,
            Self::OtherFrontEnd => 10,
            Self::NoFile => 11,
            Self::Cut => 12,
        }
    }
}
