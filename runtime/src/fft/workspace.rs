//! The caller's workspace in a prefill by FFT.

use super::convolution::{Convolution, Table, is_long, is_worth};
use crate::block::{Block, Scratch};
use crate::error::MemoryError;
use crate::gates::Gates;
use crate::layer::{Counts, RecurrenceSections};
use crate::memory::{self, take};
use crate::model::Model;
use crate::pass::Passage;
use crate::prefill::Way;

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
            .map(|i| Counts::read(model, &RecurrenceSections::forward(i)))
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
    gates: Gates<'w>,
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
    let gates = Gates(take(&mut rest, tokens * 2 * shape.channels));
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
        let counts = layer.layer.recurrence.counts;
        let Counts { taps, .. } = counts;
        if !is_long(&counts) || !is_worth(taps, count) {
            return block.pass(count, session, layer);
        }
        let channels = layer.shape.channels;
        let convolution = &mut self.convolution;
        let fir = |layer: &mut Passage<'_, ()>, rows: &mut [f32]| {
            let v = &mut Table {
                numbers: rows,
                width: 2 * channels,
                first: channels,
                channels,
            };
            let past = layer.state.as_chunks_mut().0;
            convolution.fir(taps, layer.layer.recurrence.taps, past, v);
        };
        self.gates.pass(block, count, session, layer, fir);
    }
}
