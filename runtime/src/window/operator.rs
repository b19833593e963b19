//! The Toeplitz operator of a layer over a window: two recurrences, a few channels at a time.
//!
//! What a step costs beside its sums is shared by the channels that take it together, and a token of the window
//! needs room for their inputs. On a Cortex-M4F a token of the bundled model of 32 x 2 takes 82,448 instructions with 4
//! channels at a time. Predicted with 16: 69,000, for 48 bytes more a token; measured: 71,489.

use crate::format::LANES;
use crate::layer::Recurrence;
use crate::model::Shape;
use crate::recurrence;
use core::ops::Range;

/// Blocks of four channels that are run together.
const BLOCKS: usize = 4;
/// Channels whose recurrences are run together: memory holds the states of so many.
pub const CHANNELS: usize = BLOCKS * LANES;
/// A number of each channel of a group.
pub(super) type Group = [f32; CHANNELS];

/// A layer's recurrences, and room to run them.
pub(super) struct Operator<'o> {
    pub shape: &'o Shape,
    /// Over the tokens from the first to the last.
    pub forward: Recurrence<'o>,
    /// From the last to the first.
    pub backward: Recurrence<'o>,
    /// Inputs of a group of channels, a row a token.
    pub column: &'o mut [Group],
    /// Of a group of channels.
    pub state: &'o mut [f32],
}

impl Operator<'_> {
    /// Puts y in the place of v, of all tokens: `rows` are their u and v.
    pub fn apply(&mut self, rows: &mut [f32]) {
        for first in (0..self.shape.channels).step_by(CHANNELS) {
            let channels = first..self.shape.channels.min(first + CHANNELS);
            self.apply_to(channels, rows);
        }
    }

    fn apply_to(&mut self, channels: Range<usize>, rows: &mut [f32]) {
        let width = (2 * self.shape.channels).max(1);
        let v = [self.shape.channels + channels.start, channels.len()];
        let column = self.column.get_mut(..rows.len() / width);
        let column = column.unwrap_or_default();
        for (x, v) in column.iter_mut().zip(each(rows, width, v)) {
            x.iter_mut().zip(v).for_each(|(to, v)| *to = *v);
        }
        let mut forward = Run::new(&self.forward, &channels, self.shape, self.state);
        for (x, v) in column.iter().zip(each(rows, width, v)) {
            forward.step(x, v, |v, y| *v = y);
        }
        let mut backward = Run::new(&self.backward, &channels, self.shape, self.state);
        // an input comes out at the token before it
        let before = each(rows, width, v).rev().skip(1);
        for (x, v) in column.iter().rev().zip(before) {
            backward.step(x, v, |v, y| *v += y);
        }
    }
}

/// Of each token's row `count` numbers from `start` on.
fn each(
    rows: &mut [f32],
    width: usize,
    [start, count]: [usize; 2],
) -> impl DoubleEndedIterator<Item = &mut [f32]> {
    let rows = rows.chunks_exact_mut(width);
    rows.map(move |row| row.get_mut(start..start + count).unwrap_or_default())
}

/// The recurrence of a group of channels on its way.
struct Run<'r> {
    recurrence: Recurrence<'r>,
    shape: &'r Shape,
    /// The first of its blocks.
    first: usize,
    state: &'r mut [f32],
    /// The block whose tiny states are made zero at the next step: one after the other, as in a step of all.
    visited: usize,
}

impl<'r> Run<'r> {
    /// From a state of zero.
    fn new(
        all: &Recurrence<'r>,
        channels: &Range<usize>,
        shape: &'r Shape,
        state: &'r mut [f32],
    ) -> Self {
        let blocks = channels.start / LANES..channels.end.div_ceil(LANES);
        let words = LANES * blocks.len() * all.states();
        let state = state.get_mut(..words).unwrap_or_default();
        state.fill(0.0);
        Self {
            first: blocks.start,
            recurrence: all.blocks(blocks),
            shape,
            state,
            visited: 0,
        }
    }

    /// Gives each number of `v`, of as many as there are channels, and the output of its channel to `put`.
    fn step(&mut self, x: &Group, v: &mut [f32], put: impl Fn(&mut f32, f32)) {
        let (mut x, mut y) = (*x, [0.0; CHANNELS]);
        let (Some(x), Some(y)) = (x.get_mut(..v.len()), y.get_mut(..v.len())) else {
            return;
        };
        // past the last for a block of another group
        let visited = self.visited.checked_sub(self.first).unwrap_or(BLOCKS);
        recurrence::step(&self.recurrence, visited, self.state, x, y, &mut ());
        v.iter_mut().zip(y).for_each(|(v, y)| put(v, *y));
        self.visited = self.shape.visited_after(self.visited);
    }
}
