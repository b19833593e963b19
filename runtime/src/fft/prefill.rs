//! The methods for users.

use super::workspace::{Needs, split};
use crate::error::PrefillError;
use crate::model::Model;
use crate::session::{Session, Token};

impl Session<'_, '_> {
    /// [`prefill_in_blocks`](Self::prefill_in_blocks), with long FIR heads by FFT: those of layers that have 64
    /// to 1024 taps and no modes, where a block has so many tokens that it takes fewer instructions. See the guide for
    /// how many, and what it saves. All else, a last block of few tokens too, is as in `prefill_in_blocks`.
    ///
    /// It is the only method that does not give the bits of stepping: an FFT rounds otherwise than a sum. With f32
    /// weights, logits and the state of later layers differ by some 1e-6 of their size; integer weights take
    /// activations rounded to 8 bits, of which a few then fall to the other side. Every target gives the same bits for the
    /// same number of tokens and size of workspace.
    ///
    /// # Errors
    /// [`PrefillError::Workspace`] if `workspace` is not aligned to 16 bytes or does not hold two tokens, the
    /// session being unchanged; otherwise those of [`prefill`](Self::prefill).
    pub fn prefill_by_fft<T: Into<Token> + Copy>(
        &mut self,
        tokens: &[T],
        workspace: &mut [u8],
    ) -> Result<&[f32], PrefillError> {
        let (mut block, mut long) = split(&self.model, workspace)?;
        self.fill(tokens, &mut block, &mut long)
    }
}

impl Model<'_> {
    /// Bytes of a workspace for [`prefill_by_fft`](Session::prefill_by_fft) that takes `tokens` at a time, at least
    /// two; the same on every target.
    ///
    /// A token takes `4 (dim + 2 channels + 2)` bytes; the FFTs 5, 10, 20 or 40 KB where the longest kernel has up to 128,
    /// 256, 512 or 1024 taps. For a model without long FIR heads it is
    /// [`prefill_memory_needed`](Self::prefill_memory_needed).
    pub fn prefill_by_fft_memory_needed(&self, tokens: usize) -> usize {
        Needs::of(self).bytes(tokens)
    }
}
