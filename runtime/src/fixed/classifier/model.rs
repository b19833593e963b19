//! A checked view of a classifier's blob.

use super::pool;
use super::session::Session;
use crate::classifier::{Input, Pooling};
use crate::error::{MemoryError, ModelError};
use crate::fixed::model::{self, Layer, Matrix};
use crate::format::{ElementType, Global, TASK_CLASSIFIER};
use crate::model::Shape;
use crate::model::check::options;

/// A classifier in flash (or any memory), checked once, read in place.
///
/// A `Model` is a view: copying it copies no weights.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    pub(super) inner: model::Model<'a>,
    pooling: Pooling,
}

impl<'a> Model<'a> {
    /// Checks `bytes` as [`fixed::Model::from_bytes`](model::Model::from_bytes) does, and makes a view of them.
    ///
    /// # Errors
    /// [`ModelError`] says what is wrong and where; [`ModelError::UnsupportedTask`] of a language model.
    #[inline(never)] // its numbers are not to stay on the stack of who called it
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let inner = model::Model::of_task(bytes, TASK_CLASSIFIER)?;
        let index = options(inner.layers(), TASK_CLASSIFIER);
        let pooling = Pooling::of(inner.section(index));
        let pooling = pooling.ok_or(ModelError::BadSection { index })?;
        Ok(Self { inner, pooling })
    }

    /// Dimensions and options. The factor on the embedding is 1.
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

    /// Places after the point of the residual stream.
    pub fn fraction(&self) -> i32 {
        self.inner.fraction()
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

    /// The map of frames, `[dim, frame_dim]`. Without biases where the input is tokens: the embedding.
    pub fn frames(&self) -> Matrix<'a> {
        let bias = options(self.layers(), TASK_CLASSIFIER) + 1;
        let [weights, scale] = [Global::Embedding as usize, Global::EmbeddingScale as usize];
        self.inner.matrix([weights, scale, bias])
    }

    /// Hash of the known-answer test, and its tokens or the numbers that its frames follow from
    /// ([`known_frame`](crate::format::known_frame)).
    pub fn known_answer(&self) -> (u64, &'a [u32]) {
        self.inner.known_answer()
    }

    /// Bytes of memory that a session of this model needs: that of [a language
    /// model](model::Model::memory_needed), and `8 * (dim + 1)`.
    pub fn memory_needed(&self) -> usize {
        self.inner.memory_needed() + 4 * self.pool_words()
    }

    /// Bytes of that memory which a session lends between its calls, see [`Session::scratch`].
    pub fn scratch_bytes(&self) -> usize {
        self.inner.longest().scratch_bytes(self.shape())
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
        pool::words(self.shape().dim)
    }
}
