//! Classifiers that look ahead, too: a window of tokens or of frames in, its class out.
//!
//! A bidirectional network cannot stream. It runs over a clip of at most [`Model::window`] positions, in memory that
//! depends on the window alone:
//!
//! ```no_run
//! use toeplite::{Memory, classifier::window::Model};
//! # mod model_meta { pub const MEMORY_BYTES: usize = 4096; }
//! # macro_rules! include_aligned { ($path:expr) => { &[] } }
//!
//! static MODEL: &[u8] = include_aligned!("keywords.toep");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::from_bytes(MODEL)?;
//! let mut memory = Memory::<{ model_meta::MEMORY_BYTES }>::new();
//! let mut session = model.session(memory.as_mut_slice())?;
//! session.self_test()?;
//! let clip = [0.0; 49 * 10];                      // 49 frames of 10 numbers, one after the other
//! let logits = session.run_frames(&clip)?;        // [classes]
//! # let _ = logits;
//! # Ok(()) }
//! ```
//!
//! # Numbers
//! Layers are those of [`window`](crate::window#numbers), the rest is that of [`classifier`](super#numbers).

use super::model::{Input, Pooling};
use super::pool::{self, Decay};
use crate::error::{ClipError, InputError, MemoryError, ModelError, SelfTestError};
use crate::format::{self, ElementType, known_frame};
use crate::hash::LogitsHash;
use crate::layer::{Layer, Recurrence};
use crate::matrix::Matrix;
use crate::memory;
use crate::model::Shape;
use crate::model::check::options;
use crate::norm::norm;
use crate::pass::copy;
use crate::session::Token;

/// A classifier in flash (or any memory) that sees a window, checked once, read in place.
///
/// A `Model` is a view: copying it copies no weights.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    inner: crate::window::Model<'a>,
    pooling: Pooling,
}

impl<'a> Model<'a> {
    /// Checks `bytes` as [`toeplite::Model::from_bytes`](crate::Model::from_bytes) does, and makes a view of them.
    ///
    /// # Errors
    /// [`ModelError`] says what is wrong and where; [`ModelError::UnsupportedTask`] of other models.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let task = format::TASK_WINDOW_CLASSIFIER;
        let inner = crate::window::Model::of_task(bytes, task)?;
        let pooling = Pooling::read(&inner.inner, task)?;
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

    /// Most tokens or frames of a clip.
    pub fn window(&self) -> usize {
        self.inner.window()
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

    /// Layer `index`, counted from 0, with its forward recurrence. A layer past the last has empty matrices.
    pub fn layer(&self, index: usize) -> Layer<'a> {
        self.inner.layer(index)
    }

    /// Layer `index`'s backward recurrence: its kernel at index `i` is the layer's at lag `-1 - i`.
    pub fn backward(&self, index: usize) -> Recurrence<'a> {
        self.inner.backward(index)
    }

    /// Hash of the known-answer test, and its tokens or the numbers that its frames follow from
    /// ([`known_frame`]).
    pub fn known_answer(&self) -> (u64, &'a [u32]) {
        self.inner.known_answer()
    }

    /// Bytes of memory that a session of this model needs: that of [a language
    /// model](crate::window::Model::memory_needed) of the same window, and `4 * dim` for the last position or `8 * (dim + 1)`
    /// for the mean.
    pub fn memory_needed(&self) -> usize {
        let pooled = 4 * self.pool_words();
        self.inner.memory_needed().saturating_add(pooled)
    }

    /// A session in `memory`.
    ///
    /// # Errors
    /// [`MemoryError`] if `memory` is smaller than [`memory_needed`](Self::memory_needed) or not
    /// aligned; see [`Memory`](crate::Memory).
    pub fn session<'m>(&self, memory: &'m mut [u8]) -> Result<Session<'a, 'm>, MemoryError> {
        Session::new(*self, memory)
    }

    fn pool_words(&self) -> usize {
        pool::words(self.pooling, self.shape().dim)
    }

    /// The map of frames, `[dim, frame_dim]`. Empty where the input is tokens.
    fn frames(&self) -> Matrix<'a> {
        let options = options(self.layers(), format::TASK_WINDOW_CLASSIFIER);
        self.inner.inner.frames(options + 1)
    }
}

/// Memory to run clips in.
pub struct Session<'a, 'm> {
    model: Model<'a>,
    inner: crate::window::Session<'a, 'm>,
    /// What [`pool`] keeps.
    pooled: &'m mut [f32],
}

impl<'a, 'm> Session<'a, 'm> {
    fn new(model: Model<'a>, memory: &'m mut [u8]) -> Result<Self, MemoryError> {
        let words: &mut [f32] = memory::words(memory, model.memory_needed())?;
        let (inner, rest) = words
            .split_at_mut_checked(model.inner.memory_needed() / 4)
            .unwrap_or_default();
        let inner = bytemuck::try_cast_slice_mut(inner).unwrap_or_default();
        Ok(Self {
            model,
            inner: model.inner.session(inner)?,
            pooled: rest.get_mut(..model.pool_words()).unwrap_or_default(),
        })
    }

    /// The model that runs.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// The logits `[classes]` of a clip of tokens. What was run before has no influence.
    ///
    /// # Errors
    /// [`ClipError`].
    pub fn run<T: Into<Token> + Copy>(&mut self, tokens: &[T]) -> Result<&[f32], ClipError> {
        if let Input::Frames { numbers } = self.model.input() {
            let source = InputError::TakesFrames { numbers };
            return Err(ClipError::Input {
                position: 0,
                source,
            });
        }
        let count = self.check_length(tokens.len())?;
        let model = self.model.inner.inner;
        let (shape, embedding) = (model.shape(), model.embedding());
        let (position, known) = self.inner.block.embed(shape, tokens, |row, x| {
            embedding.row(row, shape.embed_scale, x);
        });
        if known.is_err() {
            let token = tokens.get(position).map_or(0, |token| (*token).into().0);
            let vocabulary = shape.vocabulary;
            let source = InputError::UnknownToken { token, vocabulary };
            return Err(ClipError::Input { position, source });
        }
        Ok(self.classify(count))
    }

    /// The logits `[classes]` of a clip of frames, whose numbers lie one frame after the other. What was run before
    /// has no influence.
    ///
    /// # Errors
    /// [`ClipError`].
    pub fn run_frames(&mut self, frames: &[f32]) -> Result<&[f32], ClipError> {
        let input = self.model.input();
        let numbers = self.model.shape().frame_dim.max(1);
        let count = self.check_length(frames.len().div_ceil(numbers))?;
        for (position, frame) in frames.chunks(numbers).enumerate() {
            let checked = input.check_frame(frame);
            checked.map_err(|source| ClipError::Input { position, source })?;
            let x = self.inner.block.stream_mut(position);
            let quantized = &mut *self.inner.scratch.quantized;
            self.model.frames().multiply(frame, quantized, x);
        }
        Ok(self.classify(count))
    }

    /// Runs the model's known-answer test: the logits of a clip must hash to what the host computed when it wrote
    /// the model.
    ///
    /// # Errors
    /// [`SelfTestError`] with both hashes.
    pub fn self_test(&mut self) -> Result<(), SelfTestError> {
        let (expected, numbers) = self.model.known_answer();
        // a checked model's tokens are known, and its clip is no longer than a window
        let found = self.hash_inputs(numbers).unwrap_or_default();
        match expected == found {
            true => Ok(()),
            false => Err(SelfTestError { expected, found }),
        }
    }

    /// The hash of the logits of a clip: of the tokens `numbers`, or of the frames that follow from them
    /// ([`known_frame`]).
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn hash_inputs(&mut self, numbers: &[u32]) -> Result<u64, ClipError> {
        let logits = match self.model.input() {
            Input::Tokens { .. } => self.run(numbers)?,
            Input::Frames { numbers: width } => {
                let count = self.check_length(numbers.len())?;
                for (position, number) in numbers.iter().enumerate() {
                    let s = &mut self.inner.scratch;
                    let frame = s.work.get_mut(..width).unwrap_or_default();
                    known_frame(*number, frame);
                    let x = self.inner.block.stream_mut(position);
                    self.model.frames().multiply(frame, s.quantized, x);
                }
                self.classify(count)
            }
        };
        let mut hash = LogitsHash::new();
        hash.update(logits);
        Ok(hash.finish())
    }

    /// As many positions, if the window has so many.
    fn check_length(&self, positions: usize) -> Result<usize, ClipError> {
        let window = self.model.window();
        match positions {
            0 => Err(ClipError::Empty),
            _ if positions > window => Err(ClipError::TooLong { positions, window }),
            _ => Ok(positions),
        }
    }

    /// From the start of the first `count` residual streams to the logits.
    #[inline(never)]
    fn classify(&mut self, count: usize) -> &[f32] {
        self.inner.run_layers(count);
        let model = self.model.inner.inner;
        let s = &mut self.inner.scratch;
        let first = match self.model.pooling {
            Pooling::Mean => 0,
            Pooling::Last => count.saturating_sub(1),
        };
        self.pooled.fill(0.0);
        for position in first..count {
            copy(self.inner.block.stream_mut(position), s.branch);
            norm(model.shape().final_norm, model.final_norm(), s.branch);
            pool::take_in(self.model.pooling, Decay::NONE, s.branch, self.pooled);
        }
        pool::pooled(self.model.pooling, self.pooled, s.branch);
        s.head_of_normed(&model, &mut ())
    }
}
