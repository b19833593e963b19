//! One step of a layer's Toeplitz operator.
//!
//! `y(t) = sum_{i<M} taps[i] x(t-i) + Re sum_k residue[k] s_k(t)` with
//! `s_k(t) = pole[k] s_k(t-1) + x(t-M)`: the realised kernel is `taps[i]` at lags below M and
//! `Re sum_k residue[k] pole[k]^j` at lag `M + j`.

use crate::format::LANES;
use crate::kernel::{self, modes, modes::Lanes};
use crate::layer::Recurrence;
use crate::memory::take;
use crate::probe::{Probe, Stage};

/// A layer's state: of each block the last M inputs, newest first; then of each block its modes.
struct State<'s> {
    past: &'s mut [Lanes],
    modes: &'s mut [Lanes],
}

/// Advances the layer by the input `x` and writes its output to `y`, both of `channels` numbers.
/// What leaves the taps takes the place of `x`.
///
/// States of block `visited` that have become tiny are made zero.
pub(crate) fn step<P: Probe>(
    r: &Recurrence<'_>,
    visited: usize,
    state: &mut [f32],
    x: &mut [f32],
    y: &mut [f32],
    probe: &mut P,
) {
    let blocks = x.len().div_ceil(LANES);
    let (taps, order) = (r.counts.taps, r.modes.order());
    let mut rest = state.as_chunks_mut().0;
    let state = State {
        past: take(&mut rest, taps * blocks),
        modes: take(&mut rest, order * blocks),
    };
    probe.enter(Stage::Fir);
    fir(r, state.past, x, y);
    probe.enter(Stage::Recurrence);
    advance_modes(r, state.modes, x, y);
    let start = order * visited;
    if let Some(block) = state.modes.get_mut(start..start + order) {
        modes::flush(block);
    }
}

fn fir(r: &Recurrence<'_>, past: &mut [Lanes], x: &mut [f32], y: &mut [f32]) {
    let rows = r.counts.taps;
    if rows == 0 {
        return y.fill(-0.0);
    }
    let (x, x_rest) = x.as_chunks_mut();
    let (y, y_rest) = y.as_chunks_mut();
    kernel::fir(rows, r.taps, past, x, y);
    // fewer than four channels
    if let Some((past, taps)) = last(past, x.len() * rows, r.taps) {
        let (mut x, mut y) = (padded(x_rest), [0.0; LANES]);
        modes::fir_block(taps, past, &mut x, &mut y);
        x_rest.iter_mut().zip(x).for_each(|(to, x)| *to = x);
        y_rest.iter_mut().zip(y).for_each(|(to, y)| *to = y);
    }
}

fn advance_modes(r: &Recurrence<'_>, state: &mut [Lanes], u: &[f32], y: &mut [f32]) {
    let (u, u_rest) = u.as_chunks();
    let (y, y_rest) = y.as_chunks_mut();
    kernel::modes(&r.modes, state, u, y);
    let start = u.len() * r.modes.order();
    if let Some((state, residues)) = last(state, start, r.modes.residues) {
        let mut lanes = padded(y_rest);
        let decay = r.modes.decay.get(u.len());
        modes::modes_block(
            &r.modes,
            decay,
            residues,
            state,
            &padded(u_rest),
            &mut lanes,
        );
        y_rest.iter_mut().zip(lanes).for_each(|(to, y)| *to = y);
    }
}

/// The rows from `start` on of `state` and of `coefficients`, if there are any.
fn last<'s, 'c>(
    state: &'s mut [Lanes],
    start: usize,
    coefficients: &'c [Lanes],
) -> Option<(&'s mut [Lanes], &'c [Lanes])> {
    let state = state.get_mut(start..)?;
    let coefficients = coefficients.get(start..)?;
    (!state.is_empty()).then_some((state, coefficients))
}

/// Fewer than four numbers, zeros after them.
fn padded(numbers: &[f32]) -> Lanes {
    let mut lanes = [0.0; LANES];
    lanes.iter_mut().zip(numbers).for_each(|(to, x)| *to = *x);
    lanes
}
