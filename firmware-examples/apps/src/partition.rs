//! Which model runs: that of the partition, or the one compiled in.
//!
//! Firmware looks at the partition when it starts. Whatever is there, it goes on: an image that it cannot use is refused for a
//! [`Refusal`], which it tells, and the model compiled in runs instead.

#[cfg(feature = "partition")]
use toeplite::MemoryError;
use toeplite::ModelError;
use toeplite::image::{Image, ImageError};

/// Where the model that runs comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Origin {
    /// The partition: its image passed all checks and its known-answer test.
    Partition,
    /// The firmware, for what is wrong with the partition.
    BuiltIn(Refusal),
}

impl Origin {
    /// `partition` or `built-in`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Partition => "partition",
            Self::BuiltIn(_) => "built-in",
        }
    }

    /// Why the partition's model is not the one: [`Refusal::message`] and [`Refusal::sizes`].
    pub fn reason(&self) -> Option<(&'static str, Option<(usize, usize)>)> {
        match self {
            Self::Partition => None,
            Self::BuiltIn(refusal) => Some((refusal.message(), refusal.sizes())),
        }
    }
}

/// Why an image is not used.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no good image; [`ImageError::Empty`] is no fault.
    Image(ImageError),
    /// The model is not for this firmware, or not good.
    Model(ModelError),
    /// A model of tokens that are no bytes.
    NoText {
        /// Tokens that it knows.
        vocabulary: usize,
    },
    /// The model takes no frames of numbers.
    NoFrames,
    /// The image lacks the names of the classes.
    NoClasses,
    /// The image lacks the audio front end.
    NoFrontEnd,
    /// The front end cannot be used.
    #[cfg(feature = "keyword")]
    FrontEnd(toeplite_audio::stored::StoredError),
    /// The board takes samples at other rates than the front end's.
    Rate {
        /// Samples a second of the front end.
        needed: u32,
        /// The board's highest.
        found: u32,
    },
    /// Frames of the front end and of the model differ.
    OtherFrames {
        /// Numbers that the model takes.
        needed: usize,
        /// Bands of the front end.
        found: usize,
    },
    /// Names and classes differ.
    OtherClasses {
        /// Classes of the model.
        needed: usize,
        /// Names in the image.
        found: usize,
    },
    /// The firmware set too little memory aside.
    Budget {
        /// What for.
        of: Budget,
        /// What the image needs.
        needed: usize,
        /// What there is.
        found: usize,
    },
    /// The known-answer test gave other logits than the host's.
    SelfTest,
}

/// What the firmware sets aside, whatever model comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Bytes of session memory.
    Session,
    /// Samples of a frame.
    Frame,
    /// Bytes of session memory that the session lends to the front end.
    Work,
    /// Bands of a frame.
    Bands,
    /// Classes.
    Classes,
}

impl Refusal {
    /// What is wrong and what to do, without numbers: `core::fmt`, which would print them, has paths that panic.
    pub fn message(&self) -> &'static str {
        match self {
            Self::Image(error) => error.message(),
            Self::Model(error) => model(error),
            Self::NoText { .. } => {
                "the model's tokens are no bytes: this firmware writes text of byte-level models"
            }
            Self::NoFrames => "the model takes tokens: this firmware hears frames of sounds",
            Self::NoClasses => {
                "the image has no names of classes: make it by `toeplite image --front-end`"
            }
            Self::NoFrontEnd => {
                "the image has no audio front end: make it by `toeplite image --front-end`"
            }
            #[cfg(feature = "keyword")]
            Self::FrontEnd(error) => error.message(),
            Self::Rate { .. } => {
                "the front end takes samples at another rate than this board's microphone gives exactly"
            }
            Self::OtherFrames { .. } => {
                "the model takes other frames than the image's front end gives: both must be of one checkpoint"
            }
            Self::OtherClasses { .. } => {
                "the image names another number of classes than the model has"
            }
            Self::Budget { of, .. } => match of {
                Budget::Session => {
                    "the model needs more session memory than the firmware set aside"
                }
                Budget::Frame => {
                    "the front end's frames have more samples than the firmware has room for"
                }
                Budget::Work => {
                    "the front end's spectrum needs more of the session memory than the model leaves it; build with more TOEPLITE_SESSION_BYTES"
                }
                Budget::Bands => "the front end has more bands than the firmware has room for",
                Budget::Classes => "the model has more classes than the firmware has room for",
            },
            Self::SelfTest => {
                "the known-answer test failed: this core computes other logits than the host did"
            }
        }
    }

    /// What the image needs, and what there is, where that is what is wrong.
    pub fn sizes(&self) -> Option<(usize, usize)> {
        match *self {
            Self::Image(ImageError::TooLong { length, partition }) => Some((length, partition)),
            Self::Rate { needed, found } => Some((needed as usize, found as usize)),
            Self::OtherFrames { needed, found }
            | Self::OtherClasses { needed, found }
            | Self::Budget { needed, found, .. } => Some((needed, found)),
            _ => None,
        }
    }

    /// Refuses what needs more than is set aside.
    pub fn unless_enough(of: Budget, needed: usize, found: usize) -> Result<(), Self> {
        match needed <= found {
            true => Ok(()),
            false => Err(Self::Budget { of, needed, found }),
        }
    }
}

impl From<ImageError> for Refusal {
    fn from(error: ImageError) -> Self {
        Self::Image(error)
    }
}

impl From<ModelError> for Refusal {
    fn from(error: ModelError) -> Self {
        Self::Model(error)
    }
}

/// The image that `partition` begins with.
///
/// # Errors
/// [`Refusal::Image`].
pub fn image(partition: &[u8]) -> Result<Image<'_>, Refusal> {
    Ok(Image::from_bytes(partition)?)
}

/// Refuses session memory that is too small.
#[cfg(feature = "partition")]
pub(crate) fn memory(error: MemoryError, needed: usize) -> Refusal {
    let found = match error {
        MemoryError::TooSmall { found, .. } => found,
        // no memory of ours lies elsewhere than at a multiple of 16
        _ => 0,
    };
    let of = Budget::Session;
    Refusal::Budget { of, needed, found }
}

fn model(error: &ModelError) -> &'static str {
    match error {
        ModelError::UnsupportedVersion { .. } => {
            "the model is of another format version: convert it by this firmware's version of toeplite"
        }
        ModelError::UnsupportedContract { .. } => {
            "the model has another numeric contract than this firmware computes: convert it with the other --contract"
        }
        ModelError::UnsupportedTask { .. } => {
            "the model is of another kind: this firmware cannot use it"
        }
        ModelError::UnsupportedOrder { .. } => {
            "the model's weights lie in an order that this firmware does not know: update it"
        }
        ModelError::OtherTarget { .. } => {
            "the model's weights are packed for another core: convert it with this core's --target"
        }
        ModelError::FeatureNeeded { .. } => {
            "the model needs a feature of the runtime (gelu or int4) that this firmware is built without"
        }
        ModelError::Corrupt { .. } => "the model is corrupt: its checksum is another",
        _ => "the image has no good model: `toeplite inspect` says more",
    }
}
