//! A checked view of the blob of a model that sees a window.

use super::operator::CHANNELS;
use super::session::Session;
use crate::error::{MemoryError, ModelError};
use crate::format::{self, ElementType, Global};
use crate::layer::{Layer, Recurrence, RecurrenceSections};
use crate::model::Shape;

/// A model in flash (or any memory) that sees a window of tokens, checked once, read in place.
///
/// A `Model` is a view: copying it copies no weights.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    pub(crate) inner: crate::Model<'a>,
    /// Words of state of a group of channels, in the layer and direction that has most.
    state_words: usize,
}

impl<'a> Model<'a> {
    /// Checks `bytes` as [`toeplite::Model::from_bytes`](crate::Model::from_bytes) does, and makes a view of them.
    ///
    /// # Errors
    /// [`ModelError`] says what is wrong and where; [`ModelError::UnsupportedTask`] of a model that streams.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        Self::of_task(bytes, format::TASK_WINDOW_LM)
    }

    /// [`from_bytes`](Self::from_bytes) for a task. Classifiers must not leave this crate as they are: their
    /// sessions give no logits of tokens.
    pub(crate) fn of_task(bytes: &'a [u8], task: u16) -> Result<Self, ModelError> {
        let inner = crate::Model::of_task(bytes, task)?;
        let (_, tokens) = inner.known_answer();
        if tokens.len() > inner.shape().window {
            let index = Global::SelfTest as usize;
            return Err(ModelError::BadSection { index });
        }
        let mut model = Self {
            inner,
            state_words: 0,
        };
        let directions = |i| [inner.layer(i).recurrence, model.backward(i)].map(|r| r.states());
        let most = (0..inner.layers()).flat_map(directions).max();
        model.state_words = CHANNELS * most.unwrap_or(0);
        Ok(model)
    }

    /// Dimensions and options.
    pub fn shape(&self) -> &Shape {
        self.inner.shape()
    }

    /// Most tokens of a window.
    pub fn window(&self) -> usize {
        self.shape().window
    }

    /// Number of tokens that the model knows.
    pub fn vocab_size(&self) -> usize {
        self.inner.vocab_size()
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

    /// Whether any matrix is of this type.
    pub fn has(&self, element: ElementType) -> bool {
        self.inner.has(element)
    }

    /// Layer `index`, counted from 0, with its forward recurrence. A layer past the last has empty matrices.
    pub fn layer(&self, index: usize) -> Layer<'a> {
        self.inner.layer(index)
    }

    /// Layer `index`'s backward recurrence: its kernel at index `i` is the layer's at lag `-1 - i`.
    pub fn backward(&self, index: usize) -> Recurrence<'a> {
        let at = RecurrenceSections::backward(index, self.layers());
        Recurrence::read(&self.inner, &at)
    }

    /// Hash and tokens of the known-answer test.
    pub fn known_answer(&self) -> (u64, &'a [u32]) {
        self.inner.known_answer()
    }

    /// Bytes of memory that a session of this model needs: `4 * (dim + 2 * channels + 16)` a token of the window, and
    /// scratch space for two tokens, the states of 16 channels and the logits of one position.
    pub fn memory_needed(&self) -> usize {
        let window = self.window().saturating_mul(self.token_words());
        let words = window.saturating_add(self.state_words + self.scratch_words());
        words.saturating_mul(4)
    }

    /// A session in `memory`, without logits as yet.
    ///
    /// # Errors
    /// [`MemoryError`] if `memory` is smaller than [`memory_needed`](Self::memory_needed) or not
    /// aligned; see [`Memory`](crate::Memory).
    pub fn session<'m>(&self, memory: &'m mut [u8]) -> Result<Session<'a, 'm>, MemoryError> {
        Session::new(*self, memory)
    }

    pub(super) fn state_words(&self) -> usize {
        self.state_words
    }

    /// Words of a token of the window: residual stream, u and v, and a place in a group's column.
    fn token_words(&self) -> usize {
        self.shape().dim + 2 * self.shape().channels + CHANNELS
    }

    /// Words of what two tokens need that pass through a layer together, and the logits.
    fn scratch_words(&self) -> usize {
        let (shape, longest) = (self.shape(), self.inner.longest());
        let first = shape.dim + shape.work_words() + longest.quantized;
        first + longest.second_words(shape)
    }
}
