//! Tokens of a block through a layer whose Toeplitz operator is done to all of them at once.

use crate::block::{Block, Pass, Scratch};
use crate::math::activate;
use crate::pass::{Passage, copy};
use core::slice::{ChunksExact, ChunksExactMut};

/// Room for u and v of the GTU of each token, later u and y: `[tokens][2 * channels]`.
pub(crate) struct Gates<'w>(pub &'w mut [f32]);

impl Gates<'_> {
    /// Takes the first `count` tokens of `block` through `layer`. Between u and v and the rest of the layer,
    /// `operator` is given the rows of all tokens and puts y in the place of v.
    pub fn pass(
        &mut self,
        block: &mut Block<'_, f32>,
        count: usize,
        session: &mut Scratch<'_, f32>,
        layer: &mut Passage<'_, ()>,
        operator: impl FnOnce(&mut Passage<'_, ()>, &mut [f32]),
    ) {
        let width = (2 * layer.shape.channels).max(1);
        let gates = self.0.get_mut(..count * width).unwrap_or_default();
        let rows = gates.chunks_exact_mut(width);
        block.pass(count, session, &mut Before { layer, rows });
        operator(layer, gates);
        let rows = gates.chunks_exact(width);
        block.pass(count, session, &mut After { layer, rows });
    }
}

/// A layer up to its Toeplitz operator. Keeps each token's u and v in a row.
struct Before<'l, 'p, 'g> {
    layer: &'l mut Passage<'p, ()>,
    rows: ChunksExactMut<'g, f32>,
}

impl Pass<f32> for Before<'_, '_, '_> {
    fn pass<const N: usize>(&mut self, tokens: &mut [Scratch<'_, f32>; N], joined: &mut [u32]) {
        self.layer.before_operator(tokens, joined);
        for (s, row) in tokens.iter_mut().zip(&mut self.rows) {
            let (uv, _) = s.gtu(self.layer.shape);
            activate(self.layer.shape.gtu_act, uv);
            copy(uv, row);
        }
    }
}

/// A layer from its Toeplitz operator on. Each token's u and y are in a row.
struct After<'l, 'p, 'g> {
    layer: &'l mut Passage<'p, ()>,
    rows: ChunksExact<'g, f32>,
}

impl Pass<f32> for After<'_, '_, '_> {
    fn pass<const N: usize>(&mut self, tokens: &mut [Scratch<'_, f32>; N], joined: &mut [u32]) {
        for (s, row) in tokens.iter_mut().zip(&mut self.rows) {
            let (u, from) = row.split_at(row.len() / 2);
            let (_, y) = s.gtu(self.layer.shape);
            copy(from, y);
            self.layer.gate(u, y);
        }
        self.layer.after_operator(tokens, joined);
    }
}
