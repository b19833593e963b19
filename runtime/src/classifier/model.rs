//! A checked view of a classifier's blob.

use super::pool;
use super::session::Session;
use crate::error::{InputError, MemoryError, ModelError};
use crate::format::{self, ElementType};
use crate::layer::Layer;
use crate::matrix::Matrix;
use crate::model::Shape;
use crate::model::check::options;

/// Numbers of a frame are no larger: so no number that is computed from a checked model overflows at once.
const LARGEST: f32 = 1e15;

/// What a classifier looks at. The discriminant is the number in the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Pooling {
    /// The mean over all positions.
    Mean = 0,
    /// The last position.
    Last = 1,
}

impl Pooling {
    /// The pooling that a number of the blob names.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Mean),
            1 => Some(Self::Last),
            _ => None,
        }
    }

    /// What the options of a checked model say.
    pub(super) fn read(model: &crate::Model<'_>, task: u16) -> Result<Self, ModelError> {
        let index = options(model.layers(), task);
        Self::of(model.section(index)).ok_or(ModelError::BadSection { index })
    }

    /// What the numbers of the section of options say.
    pub(crate) fn of(options: &[u32]) -> Option<Self> {
        options.get(1).copied().and_then(Self::from_number)
    }
}

/// What a classifier is given at each step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A token, by [`Session::push`].
    Tokens {
        /// Tokens are below this number.
        vocabulary: usize,
    },
    /// Several numbers, by [`Session::push_frame`].
    Frames {
        /// How many.
        numbers: usize,
    },
}

impl Input {
    pub(crate) fn of(shape: &Shape) -> Self {
        match *shape {
            Shape {
                frame_dim: 0,
                vocabulary,
                ..
            } => Self::Tokens { vocabulary },
            Shape { frame_dim, .. } => Self::Frames { numbers: frame_dim },
        }
    }

    /// Whether a frame of so many numbers is one.
    pub(crate) fn check_length(self, found: usize) -> Result<(), InputError> {
        match self {
            Self::Tokens { .. } => Err(InputError::TakesTokens),
            Self::Frames { numbers } if numbers == found => Ok(()),
            Self::Frames { numbers } => Err(InputError::FrameLength {
                expected: numbers,
                found,
            }),
        }
    }

    /// Whether `frame` is one of so many numbers, all of which can be computed with.
    pub(super) fn check_frame(self, frame: &[f32]) -> Result<(), InputError> {
        self.check_length(frame.len())?;
        let good = |x: &f32| x.abs() <= LARGEST;
        match frame.iter().position(|x| !good(x)) {
            Some(element) => Err(InputError::FrameNumber { element }),
            None => Ok(()),
        }
    }
}

/// A classifier in flash (or any memory), checked once, read in place.
///
/// A `Model` is a view: copying it copies no weights.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    pub(super) inner: crate::Model<'a>,
    pooling: Pooling,
}

impl<'a> Model<'a> {
    /// Checks `bytes` as [`toeplite::Model::from_bytes`](crate::Model::from_bytes) does, and makes a view of them.
    ///
    /// # Errors
    /// [`ModelError`] says what is wrong and where; [`ModelError::UnsupportedTask`] of a language model.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let inner = crate::Model::of_task(bytes, format::TASK_CLASSIFIER)?;
        let pooling = Pooling::read(&inner, format::TASK_CLASSIFIER)?;
        Ok(Self { inner, pooling })
    }

    /// Dimensions and options.
    pub fn shape(&self) -> &Shape {
        self.inner.shape()
    }

    /// What it is given.
    pub fn input(&self) -> Input {
        Input::of(self.shape())
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.shape().outputs
    }

    /// What it looks at.
    pub fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.inner.layers()
    }

    /// Bytes of the blob.
    pub fn blob_bytes(&self) -> usize {
        self.inner.blob_bytes()
    }

    /// A number that tells models apart: the blob's CRC-32.
    pub fn identity(&self) -> u32 {
        self.inner.identity()
    }

    /// Whether any section is of this type.
    pub fn has(&self, element: ElementType) -> bool {
        self.inner.has(element)
    }

    /// Layer `index`, counted from 0. A layer past the last has empty matrices.
    pub fn layer(&self, index: usize) -> Layer<'a> {
        self.inner.layer(index)
    }

    /// The head, `[classes, dim]`.
    pub fn head(&self) -> Matrix<'a> {
        self.inner.head()
    }

    /// Hash of the known-answer test, and its tokens or the numbers that its frames follow from
    /// ([`known_frame`](format::known_frame)).
    pub fn known_answer(&self) -> (u64, &'a [u32]) {
        self.inner.known_answer()
    }

    /// Bytes of memory that a session of this model needs: that of [a language
    /// model](crate::Model::memory_needed), and `4 * dim` for the last position or `8 * (dim + 1)` for the mean.
    pub fn memory_needed(&self) -> usize {
        self.inner.memory_needed() + 4 * self.pool_words()
    }

    /// Bytes of that memory which a session lends between its calls, see [`Session::scratch`].
    pub fn scratch_bytes(&self) -> usize {
        self.inner.scratch_bytes()
    }

    /// A session in `memory`, at the start of a sequence.
    ///
    /// # Errors
    /// [`MemoryError`] if `memory` is smaller than [`memory_needed`](Self::memory_needed) or not
    /// aligned; see [`Memory`](crate::Memory).
    pub fn session<'m>(&self, memory: &'m mut [u8]) -> Result<Session<'a, 'm>, MemoryError> {
        Session::new(*self, memory)
    }

    pub(super) fn pool_words(&self) -> usize {
        pool::words(self.pooling, self.shape().dim)
    }

    /// The map of frames, `[dim, frame_dim]`. Empty where the input is tokens.
    pub(super) fn frames(&self) -> Matrix<'a> {
        let options = options(self.layers(), format::TASK_CLASSIFIER);
        self.inner.frames(options + 1)
    }
}
