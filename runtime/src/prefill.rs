//! Prefill in blocks: layer after layer, two tokens at a time, so that weights are read half as often.

use crate::block::{Block, Scratch};
use crate::error::{PrefillError, StepError};
use crate::format::LANES;
use crate::memory::take;
use crate::pass::Passage;
use crate::session::{Session, Token};

/// How a block of tokens passes through a layer.
pub(crate) trait Way {
    /// Takes the first `count` tokens of `block` through `layer`, with the session's own scratch space.
    fn pass(
        &mut self,
        block: &mut Block<'_, f32>,
        count: usize,
        session: &mut Scratch<'_, f32>,
        layer: &mut Passage<'_, ()>,
    );
}

/// As steps do, two tokens at a time.
impl Way for () {
    fn pass(
        &mut self,
        block: &mut Block<'_, f32>,
        count: usize,
        session: &mut Scratch<'_, f32>,
        layer: &mut Passage<'_, ()>,
    ) {
        block.pass(count, session, layer);
    }
}

impl Session<'_, '_> {
    /// [`prefill`](Self::prefill), bit for bit, in blocks: as many tokens at a time as `workspace` holds, by
    /// kernels that read the weights once for two. The workspace is free again afterwards; see
    /// [`prefill_memory_needed`](crate::Model::prefill_memory_needed).
    ///
    /// # Errors
    /// [`PrefillError::Workspace`] if `workspace` is not aligned to 16 bytes or does not hold two tokens, the
    /// session being unchanged; otherwise those of `prefill`.
    pub fn prefill_in_blocks<T: Into<Token> + Copy>(
        &mut self,
        tokens: &[T],
        workspace: &mut [u8],
    ) -> Result<&[f32], PrefillError> {
        let mut block = Block::new(self.model.shape(), self.model.longest(), workspace)?;
        self.fill(tokens, &mut block, &mut ())
    }

    /// Takes `tokens` in blocks of as many as `block` holds, `way` through the layers.
    pub(crate) fn fill<T: Into<Token> + Copy>(
        &mut self,
        tokens: &[T],
        block: &mut Block<'_, f32>,
        way: &mut impl Way,
    ) -> Result<&[f32], PrefillError> {
        if tokens.is_empty() {
            return Err(StepError::NoTokens.into());
        }
        for tokens in tokens.chunks(block.tokens()) {
            if let Err(error) = self.advance_block(tokens, block, way) {
                // what the layers left there are no logits
                self.scratch.divide().work.fill(0.0);
                return Err(error.into());
            }
        }
        Ok(self.head(&mut ()))
    }

    /// Embedding and all layers, of at most as many tokens as `block` holds.
    fn advance_block<T: Into<Token> + Copy>(
        &mut self,
        tokens: &[T],
        block: &mut Block<'_, f32>,
        way: &mut impl Way,
    ) -> Result<(), StepError> {
        let shape = *self.model.shape();
        let embedding = self.model.embedding();
        let (count, result) = block.embed(&shape, tokens, |row, x| {
            embedding.row(row, shape.embed_scale, x);
        });
        let mut rest = &mut *self.state;
        let mut visited = *self.visited as usize;
        for i in 0..shape.layers {
            let layer = self.model.layer(i);
            let mut passage = Passage {
                shape: &shape,
                layer: &layer,
                visited: *self.visited as usize,
                state: take(
                    &mut rest,
                    layer.recurrence.states() * LANES * shape.blocks(),
                ),
                probe: &mut (),
            };
            way.pass(block, count, &mut self.scratch.divide(), &mut passage);
            visited = passage.visited;
        }
        *self.visited = visited as u32;
        block.copy_last(count, self.scratch.divide().x);
        result
    }
}
