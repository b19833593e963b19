//! One step of a layer's Toeplitz operator.
//!
//! `y(t) = sum_{i<M} taps[i] x(t-i) + Re sum_k residue[k] s_k(t)` with
//! `s_k(t) = pole[k] s_k(t-1) + x(t-M)`: the realised kernel is `taps[i]` at lags below M and
//! `Re sum_k residue[k] pole[k]^j` at lag `M + j`. The last M inputs lie in a ring.

use crate::kernel;
use crate::layer::Recurrence;
use crate::probe::{Probe, Stage};

/// Takes the first `n` words off `rest`; nothing if there are fewer.
pub(crate) fn take<'s>(rest: &mut &'s mut [f32], n: usize) -> &'s mut [f32] {
    match core::mem::take(rest).split_at_mut_checked(n) {
        Some((first, after)) => {
            *rest = after;
            first
        }
        None => &mut [],
    }
}

/// Advances the layer by the input `x` and writes its output to `y`, both of `channels` numbers.
///
/// `oldest` is the ring's row that `x` will replace; `state` is the ring, then the modes' states.
pub(crate) fn step<P: Probe>(
    r: &Recurrence<'_>,
    oldest: &mut u32,
    state: &mut [f32],
    x: &[f32],
    y: &mut [f32],
    probe: &mut P,
) {
    probe.enter(Stage::Fir);
    let channels = x.len();
    let mut modes = state;
    let ring = take(&mut modes, r.counts.taps * channels);
    y.fill(0.0);
    convolve(r, *oldest as usize, ring, x, y);
    probe.enter(Stage::Recurrence);
    // what leaves the ring enters the modes; without a ring that is the input itself
    let row = *oldest as usize * channels;
    let leaving = ring.get_mut(row..row.wrapping_add(channels));
    advance_modes(r, modes, leaving.as_deref().unwrap_or(x), y);
    if let Some(row) = leaving {
        row.iter_mut().zip(x).for_each(|(old, new)| *old = *new);
    }
    let next = *oldest + 1;
    *oldest = if next < r.counts.taps as u32 { next } else { 0 };
}

/// The FIR head: tap 0 on `x`, tap `i` on the input `i` steps ago.
fn convolve(r: &Recurrence<'_>, oldest: usize, ring: &[f32], x: &[f32], y: &mut [f32]) {
    let channels = x.len();
    if channels == 0 {
        return;
    }
    let mut row = oldest;
    for (i, taps) in r.taps.chunks_exact(channels).enumerate() {
        let past = ring
            .get(row * channels..)
            .and_then(|ring| ring.get(..channels));
        let input = if i == 0 { x } else { past.unwrap_or(&[]) };
        kernel::fir(taps, input, y);
        // the newest row is the one before the oldest, in the ring's order
        row = if row == 0 { r.counts.taps - 1 } else { row - 1 };
    }
}

fn advance_modes(r: &Recurrence<'_>, modes: &mut [f32], x: &[f32], y: &mut [f32]) {
    let channels = x.len();
    if channels == 0 {
        return;
    }
    let mut modes = modes.chunks_exact_mut(channels);
    let mut residues = r.residues.chunks_exact(channels);
    let decay = r.channel_decay;
    for pole in r.real_poles {
        if let (Some(state), Some(residues)) = (modes.next(), residues.next()) {
            kernel::modes_real(*pole, decay, residues, x, state, y);
        }
    }
    for pole in r.complex_poles.as_chunks::<2>().0 {
        let state = (modes.next(), modes.next());
        let residue = (residues.next(), residues.next());
        if let ((Some(re), Some(im)), (Some(r_re), Some(r_im))) = (state, residue) {
            kernel::modes_complex(*pole, decay, [r_re, r_im], x, [re, im], y);
        }
    }
}
