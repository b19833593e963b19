//! The Toeplitz operator of a layer over a window: two recurrences, four channels at a time.

use crate::format::LANES;
use crate::kernel::modes::Lanes;
use crate::layer::Recurrence;
use crate::model::Shape;
use crate::recurrence;

/// A layer's recurrences, and room to run them.
pub(super) struct Operator<'o> {
    pub shape: &'o Shape,
    /// Over the tokens from the first to the last.
    pub forward: Recurrence<'o>,
    /// From the last to the first.
    pub backward: Recurrence<'o>,
    /// Inputs of a block of channels, a row a token.
    pub column: &'o mut [Lanes],
    /// Of a block of channels.
    pub state: &'o mut [f32],
}

impl Operator<'_> {
    /// Puts y in the place of v, of all tokens: `rows` are their u and v.
    pub fn apply(&mut self, rows: &mut [f32]) {
        for block in 0..self.shape.blocks() {
            self.apply_to(block, rows);
        }
    }

    fn apply_to(&mut self, block: usize, rows: &mut [f32]) {
        let (width, start) = (2 * self.shape.channels, self.shape.channels + LANES * block);
        let width = width.max(1);
        let column = self.column.get_mut(..rows.len() / width);
        let column = column.unwrap_or_default();
        for (x, v) in column.iter_mut().zip(from(start, width, rows)) {
            // a last block may have fewer channels
            *x = [0.0; LANES];
            x.iter_mut().zip(v).for_each(|(to, v)| *to = *v);
        }
        let mut forward = Run::new(&self.forward, block, self.shape, self.state);
        for (x, v) in column.iter().zip(from(start, width, rows)) {
            let y = forward.step(x);
            v.iter_mut().zip(y).for_each(|(v, y)| *v = y);
        }
        let mut backward = Run::new(&self.backward, block, self.shape, self.state);
        // an input comes out at the token before it
        let before = from(start, width, rows).rev().skip(1);
        for (x, v) in column.iter().rev().zip(before) {
            let y = backward.step(x);
            v.iter_mut().zip(y).for_each(|(v, y)| *v += y);
        }
    }
}

/// Of each token's row what begins at `start`.
fn from(
    start: usize,
    width: usize,
    rows: &mut [f32],
) -> impl DoubleEndedIterator<Item = &mut [f32]> {
    let rows = rows.chunks_exact_mut(width);
    rows.map(move |row| row.get_mut(start..).unwrap_or_default())
}

/// One block's recurrence on its way.
struct Run<'r> {
    recurrence: Recurrence<'r>,
    shape: &'r Shape,
    block: usize,
    state: &'r mut [f32],
    /// The block whose tiny states are made zero at the next step: one after the other, as in a step of all.
    visited: usize,
}

impl<'r> Run<'r> {
    /// From a state of zero.
    fn new(all: &Recurrence<'r>, block: usize, shape: &'r Shape, state: &'r mut [f32]) -> Self {
        let state = state.get_mut(..LANES * all.states()).unwrap_or_default();
        state.fill(0.0);
        Self {
            recurrence: all.block(block),
            shape,
            block,
            state,
            visited: 0,
        }
    }

    fn step(&mut self, x: &Lanes) -> Lanes {
        let (mut x, mut y) = (*x, [0.0; LANES]);
        // of the one block that there is here, or of none
        let visited = usize::from(self.visited != self.block);
        recurrence::step(
            &self.recurrence,
            visited,
            self.state,
            &mut x,
            &mut y,
            &mut (),
        );
        self.visited = self.shape.visited_after(self.visited);
        y
    }
}
