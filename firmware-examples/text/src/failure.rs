//! What can go wrong, as an exit status and a line of text.

/// Why the program ended early. The discriminant is QEMU's exit status.
#[derive(Clone, Copy)]
pub enum Failure {
    /// The command line is not understood.
    Arguments = 2,
    /// The bytes in flash are not a model that this runtime reads.
    Model = 3,
    /// The model needs another amount of memory than the constant says.
    Prediction = 4,
    /// The session memory was refused.
    Memory = 5,
    /// The known-answer test gave other logits than the host's.
    SelfTest = 6,
    /// The model refused a token.
    Step = 7,
    /// Instructions are to be counted on a machine that does not count them.
    Counting = 8,
    /// The command line does not fit its buffer.
    LongLine = 9,
    /// There is nothing to begin with.
    NoPrompt = 10,
}

impl Failure {
    /// What is wrong and what to do. Texts without numbers: `core::fmt`, which would print the
    /// runtime's own errors, has paths that panic.
    pub fn message(self) -> &'static str {
        match self {
            Self::Arguments => {
                "arguments: [generate|hash|cost] [tokens=N] [steps=N] [temperature=X] [top-k=N] \
                 [seed=N] [prompt=TEXT TO THE END OF THE LINE]"
            }
            Self::Model => "the model blob is refused; `toeplite inspect` says why",
            Self::Prediction => {
                "the model needs another amount of memory than MEMORY_BYTES; convert it again, and \
                 build with the model_meta.rs of that same conversion"
            }
            Self::Memory => {
                "the session memory is refused; build with the model's own model_meta.rs"
            }
            Self::SelfTest => {
                "the known-answer test failed: this core computes other logits than the host did"
            }
            Self::Step => {
                "the model refused a token that is not in its vocabulary; text as a prompt needs a \
                 byte-level model, of 256 tokens"
            }
            Self::NoPrompt => {
                "the prompt is empty; give at least one character, %0A for the end of a line"
            }
            Self::LongLine => {
                "the command line, the binary's path included, is longer than 512 bytes; shorten the prompt"
            }
            Self::Counting => {
                "this machine does not count instructions exactly; run QEMU with the -icount of the \
                 board's config.toml"
            }
        }
    }

    /// QEMU's exit status.
    pub fn status(self) -> u8 {
        self as u8
    }
}
