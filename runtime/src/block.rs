//! Tokens on their way through the layers: one, or a block of them two by two, in both contracts.

use crate::error::{MemoryError, StepError};
use crate::format::ALIGNMENT;
use crate::memory::{self, take};
use crate::model::Shape;
use crate::session::Token;
use bytemuck::Pod;
use core::num::NonZero;

/// The numbers of a token on its way.
pub(crate) struct Scratch<'m, T> {
    /// Residual stream, `[dim]`.
    pub x: &'m mut [T],
    /// Input or output of a branch, `[dim]`.
    pub branch: &'m mut [T],
    /// u, v and y of the GTU; both halves of the GLU; the logits.
    pub work: &'m mut [T],
    /// Quantized input of a matrix, as [`Packing`](crate::format::Packing) has it; empty for f32 weights.
    pub quantized: &'m mut [u32],
}

/// The memory of a [`Scratch`] in one piece, which is divided at each use: what a token leaves there is needed by nobody but
/// [`work`](Self::work)'s readers.
pub(crate) struct Undivided<'m, T> {
    words: &'m mut [T],
    dim: usize,
    work: usize,
    quantized: usize,
}

impl<'m, T: Pod> Undivided<'m, T> {
    /// All of `words`, which [`scratch_bytes`](Longest::scratch_bytes) fit in.
    pub(crate) fn new(shape: &Shape, longest: Longest, words: &'m mut [T]) -> Self {
        const { assert!(size_of::<T>() == 4) };
        Self {
            words,
            dim: shape.dim,
            work: shape.work_words(),
            quantized: longest.quantized,
        }
    }

    /// The parts.
    #[inline(always)]
    pub(crate) fn divide(&mut self) -> Scratch<'_, T> {
        let mut rest = &mut *self.words;
        let x = take(&mut rest, self.dim);
        let branch = take(&mut rest, self.dim);
        let work = take(&mut rest, self.work);
        let quantized = take(&mut rest, self.quantized);
        Scratch {
            x,
            branch,
            work,
            quantized: bytemuck::try_cast_slice_mut(quantized).unwrap_or_default(),
        }
    }

    /// The first `count` numbers of the work: the logits, after the head.
    pub(crate) fn work(&self, count: usize) -> &[T] {
        let work = self.words.get(2 * self.dim..);
        work.and_then(|work| work.get(..count)).unwrap_or_default()
    }

    /// All of it, for others between calls.
    pub(crate) fn lend(&mut self) -> &mut [u32] {
        bytemuck::try_cast_slice_mut(self.words).unwrap_or_default()
    }
}

/// A layer that tokens pass through, one after the other or two at a time.
pub(crate) trait Pass<T> {
    /// Takes `N` tokens through the layer, in order. `joined` is for `N > 1`: the quantized inputs of all as
    /// products read them.
    fn pass<const N: usize>(&mut self, tokens: &mut [Scratch<'_, T>; N], joined: &mut [u32]);
}

/// The caller's workspace in a prefill.
pub(crate) struct Block<'w, T> {
    /// Known not to be zero wherever the block is kept: chunks of none would panic.
    dim: NonZero<usize>,
    /// Residual streams, `[tokens][dim]`.
    streams: &'w mut [T],
    /// What the second of two tokens needs beside its own. The session has the first one's.
    branch: &'w mut [T],
    work: &'w mut [T],
    quantized: &'w mut [u32],
    joined: &'w mut [u32],
}

/// Words of the longest quantized vector, and of two of them joined.
#[derive(Clone, Copy)]
pub(crate) struct Longest {
    pub quantized: usize,
    pub joined: usize,
}

impl Longest {
    /// Bytes of a session's [`Scratch`].
    pub(crate) fn scratch_bytes(self, shape: &Shape) -> usize {
        4 * (2 * shape.dim + shape.work_words() + self.quantized)
    }

    /// Bytes of the workspace of a prefill, of two tokens or more.
    pub(crate) fn workspace_bytes(self, shape: &Shape, tokens: usize) -> usize {
        let streams = tokens.max(2).saturating_mul(shape.dim);
        streams
            .saturating_add(self.second_words(shape))
            .saturating_mul(4)
    }

    /// Words of what the second of two tokens needs.
    pub(crate) fn second_words(self, shape: &Shape) -> usize {
        shape.dim + shape.layer_words() + self.quantized + self.joined
    }
}

impl<'w, T: Pod> Block<'w, T> {
    pub(crate) fn new(
        shape: &Shape,
        longest: Longest,
        workspace: &'w mut [u8],
    ) -> Result<Self, MemoryError> {
        const { assert!(size_of::<T>() == 4 && ALIGNMENT.is_multiple_of(4)) };
        let needed = longest.workspace_bytes(shape, 2);
        let words = memory::words(workspace, needed)?;
        Ok(Self::of_words(shape, longest, words))
    }

    /// In all of `rest`, which holds two tokens.
    pub(crate) fn of_words(shape: &Shape, longest: Longest, mut rest: &'w mut [T]) -> Self {
        let branch = take(&mut rest, shape.dim);
        let work = take(&mut rest, shape.layer_words());
        let quantized = take(&mut rest, longest.quantized);
        let joined = take(&mut rest, longest.joined);
        Self {
            dim: NonZero::new(shape.dim).unwrap_or(NonZero::<usize>::MIN),
            streams: rest,
            branch,
            work,
            quantized: bytemuck::try_cast_slice_mut(quantized).unwrap_or_default(),
            joined: bytemuck::try_cast_slice_mut(joined).unwrap_or_default(),
        }
    }

    /// How many tokens it holds.
    pub(crate) fn tokens(&self) -> usize {
        (self.streams.len() / self.dim).max(1)
    }

    /// The residual streams of `tokens` by `embed`, which is given the row of each; up to the first that
    /// is unknown. How many those are.
    pub(crate) fn embed<K: Into<Token> + Copy>(
        &mut self,
        shape: &Shape,
        tokens: &[K],
        mut embed: impl FnMut(usize, &mut [T]),
    ) -> (usize, Result<(), StepError>) {
        let streams = self.streams.chunks_exact_mut(self.dim.get());
        for (i, (token, x)) in tokens.iter().zip(streams).enumerate() {
            match shape.row((*token).into()) {
                Ok(row) => embed(row, x),
                Err(error) => return (i, Err(error)),
            }
        }
        (tokens.len(), Ok(()))
    }

    /// The residual stream of token `index`.
    pub(crate) fn stream_mut(&mut self, index: usize) -> &mut [T] {
        let start = index.saturating_mul(self.dim.get());
        let end = start.saturating_add(self.dim.get());
        self.streams.get_mut(start..end).unwrap_or_default()
    }

    /// Takes the first `count` tokens through `layer`, two by two; the first of two in the place of
    /// `session`'s own.
    pub(crate) fn pass(
        &mut self,
        count: usize,
        session: &mut Scratch<'_, T>,
        layer: &mut impl Pass<T>,
    ) {
        let streams = self
            .streams
            .get_mut(..count * self.dim.get())
            .unwrap_or_default();
        let mut streams = streams.chunks_exact_mut(self.dim.get());
        while let Some(x) = streams.next() {
            let first = Scratch {
                x,
                branch: session.branch,
                work: session.work,
                quantized: session.quantized,
            };
            match streams.next() {
                Some(x) => {
                    let second = Scratch {
                        x,
                        branch: self.branch,
                        work: self.work,
                        quantized: self.quantized,
                    };
                    layer.pass(&mut [first, second], self.joined);
                }
                None => layer.pass(&mut [first], &mut []),
            }
        }
    }

    /// Copies the residual stream of the last of `count` tokens to `x`, for the head.
    pub(crate) fn copy_last(&self, count: usize, x: &mut [T]) {
        let last = self.streams.chunks_exact(self.dim.get()).take(count).last();
        x.iter_mut()
            .zip(last.unwrap_or_default())
            .for_each(|(to, from)| *to = *from);
    }
}
