//! The caller's workspace in a prefill by FFT.

use super::convolution::{Convolution, Table, is_long, is_worth};
use crate::block::{Block, Pass, Scratch};
use crate::error::MemoryError;
use crate::layer::{Counts, Layer};
use crate::math::activate;
use crate::memory::{self, take};
use crate::model::Model;
use crate::pass::{Passage, copy};
use crate::prefill::Way;
use core::slice::{ChunksExact, ChunksExactMut};

/// Words of the workspace: so many, and so many more a token.
#[derive(Clone, Copy)]
pub(super) struct Needs {
    fixed: usize,
    token: usize,
    /// Most taps of the layers that FFTs are for; 0 if there are none.
    taps: usize,
}

impl Needs {
    pub(super) fn of(model: &Model<'_>) -> Self {
        let shape = model.shape();
        let taps = (0..shape.layers)
            .map(|i| Layer::counts(model, i))
            .filter(is_long)
            .map(|counts| counts.taps)
            .max();
        let second = model.longest().second_words(shape);
        match taps {
            None => Self {
                fixed: second,
                token: shape.dim,
                taps: 0,
            },
            Some(taps) => {
                let [fixed, with_token] = [0, 1].map(|tokens| Convolution::words(taps, tokens));
                Self {
                    fixed: second + fixed,
                    token: shape.dim + 2 * shape.channels + (with_token - fixed),
                    taps,
                }
            }
        }
    }

    pub(super) fn bytes(self, tokens: usize) -> usize {
        let tokens = tokens.max(2).saturating_mul(self.token);
        tokens.saturating_add(self.fixed).saturating_mul(4)
    }

    /// How many tokens so many words hold.
    fn tokens(self, words: usize) -> usize {
        words.saturating_sub(self.fixed) / self.token.max(1)
    }
}

/// What the layers with long kernels need beside a [`Block`].
pub(super) struct Long<'w> {
    /// u and v of the GTU, later u and y, `[tokens][2 * channels]`.
    gates: &'w mut [f32],
    convolution: Convolution<'w>,
}

/// Splits `workspace`.
pub(super) fn split<'w>(
    model: &Model<'_>,
    workspace: &'w mut [u8],
) -> Result<(Block<'w, f32>, Long<'w>), MemoryError> {
    let needs = Needs::of(model);
    let shape = model.shape();
    let mut rest: &mut [f32] = memory::words(workspace, needs.bytes(2))?;
    let tokens = needs.tokens(rest.len());
    let longest = model.longest();
    let words = longest.second_words(shape) + tokens * shape.dim;
    let block = Block::of_words(shape, longest, take(&mut rest, words));
    // empty if no layer is long
    let gates = take(&mut rest, tokens * 2 * shape.channels);
    let convolution = Convolution::new(needs.taps, tokens, &mut rest);
    Ok((block, Long { gates, convolution }))
}

impl Way for Long<'_> {
    fn pass(
        &mut self,
        block: &mut Block<'_, f32>,
        count: usize,
        session: &mut Scratch<'_, f32>,
        layer: &mut Passage<'_, ()>,
    ) {
        let operator = &layer.layer.recurrence;
        let Counts { taps, .. } = operator.counts;
        if !is_long(&operator.counts) || !is_worth(taps, count) {
            return block.pass(count, session, layer);
        }
        let channels = layer.shape.channels;
        let width = 2 * channels;
        let gates = self.gates.get_mut(..count * width).unwrap_or_default();
        let rows = gates.chunks_exact_mut(width);
        block.pass(count, session, &mut Before { layer, rows });
        let v = &mut Table {
            numbers: gates,
            width,
            first: channels,
            channels,
        };
        let past = layer.state.as_chunks_mut().0;
        self.convolution.fir(taps, operator.taps, past, v);
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
