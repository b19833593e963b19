//! Prefill in blocks, in integers.

use super::pass::Passage;
use super::session::Session;
use crate::block::Block;
use crate::error::{PrefillError, StepError};
use crate::session::Token;

impl Session<'_, '_> {
    /// [`prefill`](Self::prefill), bit for bit, in blocks: as many tokens at a time as `workspace` holds, by
    /// kernels that read the weights once for two. The workspace is free again afterwards; see
    /// [`prefill_memory_needed`](super::Model::prefill_memory_needed).
    ///
    /// # Errors
    /// [`PrefillError::Workspace`] if `workspace` is not aligned to 16 bytes or does not hold two tokens, the
    /// session being unchanged; otherwise those of `prefill`.
    pub fn prefill_in_blocks<T: Into<Token> + Copy>(
        &mut self,
        tokens: &[T],
        workspace: &mut [u8],
    ) -> Result<&[i32], PrefillError> {
        let mut block = Block::new(self.model.shape(), self.model.longest(), workspace)?;
        if tokens.is_empty() {
            return Err(StepError::NoTokens.into());
        }
        for tokens in tokens.chunks(block.tokens()) {
            if let Err(error) = self.advance_block(tokens, &mut block) {
                // what the layers left there are no logits
                self.scratch.divide().work.fill(0);
                return Err(error.into());
            }
        }
        Ok(self.head(&mut ()))
    }

    /// Embedding and all layers, of at most as many tokens as `block` holds.
    fn advance_block<T: Into<Token> + Copy>(
        &mut self,
        tokens: &[T],
        block: &mut Block<'_, i32>,
    ) -> Result<(), StepError> {
        let model = self.model;
        let (count, result) = block.embed(model.shape(), tokens, |row, x| model.embed(row, x));
        for (i, state) in self.kept.layers(&model).enumerate() {
            let layer = model.layer(i);
            let mut passage = Passage {
                model: &model,
                layer: &layer,
                state,
                probe: &mut (),
            };
            block.pass(count, &mut self.scratch.divide(), &mut passage);
        }
        block.copy_last(count, self.scratch.divide().x);
        result
    }
}
