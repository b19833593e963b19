//! A window being run.

use super::model::Model;
use super::operator::{CHANNELS, Group, Operator};
use crate::block::{Block, Scratch};
use crate::error::{MemoryError, SelfTestError, StepError, WindowError};
use crate::gates::Gates;
use crate::hash::LogitsHash;
use crate::memory::{self, take};
use crate::pass::Passage;
use crate::session::Token;

/// Memory to run windows in, and the logits of the last one.
pub struct Session<'a, 'm> {
    model: Model<'a>,
    /// Residual streams of the window.
    pub(crate) block: Block<'m, f32>,
    gates: Gates<'m>,
    /// Inputs of a group of channels, a row a token.
    column: &'m mut [Group],
    /// States of a group of channels.
    state: &'m mut [f32],
    /// Without a residual stream of its own.
    pub(crate) scratch: Scratch<'m, f32>,
    /// Tokens of the last run.
    tokens: usize,
}

impl<'a, 'm> Session<'a, 'm> {
    pub(super) fn new(model: Model<'a>, memory: &'m mut [u8]) -> Result<Self, MemoryError> {
        let needed = model.memory_needed();
        let words: &mut [f32] = memory::words(memory, needed)?;
        let mut rest = words.get_mut(..needed / 4).unwrap_or_default();
        let (shape, longest) = (model.shape(), model.inner.longest());
        let gates = take(&mut rest, 2 * shape.channels * shape.window);
        let column = take(&mut rest, CHANNELS * shape.window);
        let state = take(&mut rest, model.state_words());
        let branch = take(&mut rest, shape.dim);
        let work = take(&mut rest, model.inner.shape().work_words());
        let quantized = take(&mut rest, longest.quantized);
        Ok(Self {
            model,
            block: Block::of_words(shape, longest, rest),
            gates: Gates(gates),
            column: column.as_chunks_mut().0,
            state,
            scratch: Scratch {
                x: &mut [],
                branch,
                work,
                quantized: bytemuck::try_cast_slice_mut(quantized).unwrap_or_default(),
            },
            tokens: 0,
        })
    }

    /// The model that runs.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// Takes the tokens of a window through all layers, from a state of rest: what was run before has no influence.
    ///
    /// # Errors
    /// [`WindowError::Step`] without tokens or of an unknown one, [`WindowError::TooLong`] of more than
    /// [`Model::window`]. There are no logits then.
    pub fn run<T: Into<Token> + Copy>(&mut self, tokens: &[T]) -> Result<(), WindowError> {
        self.tokens = 0;
        let model = self.model.inner;
        let (count, shape) = (tokens.len(), model.shape());
        if count == 0 {
            return Err(StepError::NoTokens.into());
        }
        if count > shape.window {
            return Err(WindowError::TooLong {
                tokens: count,
                window: shape.window,
            });
        }
        let embedding = model.embedding();
        let (_, known) = self.block.embed(shape, tokens, |row, x| {
            embedding.row(row, shape.embed_scale, x);
        });
        known?;
        self.run_layers(count);
        self.tokens = count;
        Ok(())
    }

    /// Takes the first `count` positions through all layers, whose residual streams have begun.
    pub(crate) fn run_layers(&mut self, count: usize) {
        for layer in 0..self.model.layers() {
            self.pass(layer, count);
        }
    }

    /// Tokens of the last run; 0 before the first and after an error.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// The logits `[vocabulary]` at a position of the last run, counted from 0. The head is computed for this
    /// position alone, at each call.
    ///
    /// # Errors
    /// [`WindowError::NoPosition`].
    pub fn logits(&mut self, position: usize) -> Result<&[f32], WindowError> {
        let tokens = self.tokens;
        if position >= tokens {
            return Err(WindowError::NoPosition { position, tokens });
        }
        self.block.copy_last(position + 1, self.scratch.branch);
        Ok(self.scratch.head(&self.model.inner, &mut ()))
    }

    /// Runs the model's known-answer test: the logits of a window must hash to what the host computed when
    /// it wrote the model. There are no logits afterwards.
    ///
    /// # Errors
    /// [`SelfTestError`] with both hashes.
    pub fn self_test(&mut self) -> Result<(), SelfTestError> {
        let (expected, tokens) = self.model.known_answer();
        // a checked model's tokens are known and no more than a window's
        let found = self.hash_run(tokens).unwrap_or_default();
        self.tokens = 0;
        match expected == found {
            true => Ok(()),
            false => Err(SelfTestError { expected, found }),
        }
    }

    /// The hash of the logits at every position of a run over `tokens`.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn hash_run<T: Into<Token> + Copy>(&mut self, tokens: &[T]) -> Result<u64, WindowError> {
        self.run(tokens)?;
        let mut hash = LogitsHash::new();
        for position in 0..tokens.len() {
            hash.update(self.logits(position)?);
        }
        Ok(hash.finish())
    }

    /// Takes `count` tokens through a layer.
    fn pass(&mut self, index: usize, count: usize) {
        let shape = self.model.shape();
        let layer = self.model.layer(index);
        let mut operator = Operator {
            shape,
            forward: layer.recurrence,
            backward: self.model.backward(index),
            column: self.column,
            state: self.state,
        };
        let mut passage = Passage {
            shape,
            layer: &layer,
            // the operator is not the passage's
            visited: 0,
            state: &mut [],
            probe: &mut (),
        };
        let (block, scratch) = (&mut self.block, &mut self.scratch);
        self.gates
            .pass(block, count, scratch, &mut passage, |_, rows| {
                operator.apply(rows);
            });
    }
}
