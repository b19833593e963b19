//! The recurrence: FIR head and modes, four channels at a time.
//!
//! State and coefficients of four channels lie side by side, `[rows][4]`, and a block's rows one
//! after the other, so that one pointer walks through each, cores with an FPU load a row of four by one
//! instruction, and compilers vectorize over the four.

use crate::format::{LANES, SMALLEST};

/// Four channels' numbers.
pub type Lanes = [f32; LANES];

/// Coefficients of the modes. Rows of residues: one a real mode, two a complex one.
#[derive(Clone, Copy, Debug)]
pub struct Modes<'a> {
    /// The real ones, then of each complex one the real part and the square of the imaginary part.
    pub poles: &'a [f32],
    /// How many are real.
    pub real: usize,
    /// `[blocks][order]`.
    pub residues: &'a [Lanes],
    /// `[blocks]`: factors on every pole; empty for poles shared by all channels.
    pub decay: &'a [Lanes],
}

impl Modes<'_> {
    /// Rows of state a block.
    pub fn order(&self) -> usize {
        self.poles.len()
    }

    /// The real poles, and the complex ones.
    fn split(&self) -> (&[f32], &[[f32; 2]]) {
        let (real, complex) = self.poles.split_at(self.real.min(self.poles.len()));
        (real, complex.as_chunks().0)
    }
}

/// The FIR head of four channels, with `past` the last inputs, newest first:
/// `y = taps[0] x + taps[1] past[0] + ...`. Then `x` enters the past, and becomes the input that
/// leaves it. Sums begin with -0, to which adding changes nothing.
pub fn fir_block(taps: &[Lanes], past: &mut [Lanes], x: &mut Lanes, y: &mut Lanes) {
    *y = [-0.0; LANES];
    for (taps, past) in taps.iter().zip(past) {
        for ((y, tap), x) in y.iter_mut().zip(taps).zip(&*x) {
            *y += tap * x;
        }
        core::mem::swap(past, x);
    }
}

/// The modes of four channels: from the input `u`, adds to `y`.
///
/// A real mode: `s <- pole s + u`, `y += r s`. A complex mode `a + ib` is kept as `p`, the real part of
/// its state, and `w`, the imaginary part divided by `b`, which spares a multiplication:
/// `p <- (a p - b^2 w) + u`, `w <- p + a w` (with the old p), `y += r0 p`, `y += r1 w`. A decay
/// multiplies what is added to `u`, and `p + a w`.
pub fn modes_block(
    modes: &Modes<'_>,
    decay: Option<&Lanes>,
    residues: &[Lanes],
    state: &mut [Lanes],
    u: &Lanes,
    y: &mut Lanes,
) {
    let (real_poles, complex_poles) = modes.split();
    // a factor of 1 changes no bit
    let g = decay.unwrap_or(&[1.0; LANES]);
    let (real, complex) = state.split_at_mut(real_poles.len().min(state.len()));
    let (r_real, r_complex) = residues.split_at(real_poles.len().min(residues.len()));
    for ((pole, s), r) in real_poles.iter().zip(real).zip(r_real) {
        for i in 0..LANES {
            s[i] = g[i] * (pole * s[i]) + u[i];
            y[i] += r[i] * s[i];
        }
    }
    let complex = complex.as_chunks_mut::<2>().0.iter_mut();
    let residues = r_complex.as_chunks::<2>().0;
    for (([a, c], [p, w]), [r0, r1]) in complex_poles.iter().zip(complex).zip(residues) {
        for i in 0..LANES {
            let (turned, next) = (a * p[i] - c * w[i], p[i] + a * w[i]);
            p[i] = g[i] * turned + u[i];
            w[i] = g[i] * next;
            y[i] += r0[i] * p[i];
            y[i] += r1[i] * w[i];
        }
    }
}

/// Zeros where states are below 2^-50, so that silence dies out instead of creeping through
/// subnormal numbers.
pub fn flush(state: &mut [Lanes]) {
    for s in state.as_flattened_mut() {
        if s.to_bits() & 0x7FFF_FFFF < SMALLEST.to_bits() {
            *s = 0.0;
        }
    }
}

/// [`fir_block`] for blocks of channels one after the other, `rows` taps each.
pub fn fir(rows: usize, taps: &[Lanes], past: &mut [Lanes], x: &mut [Lanes], y: &mut [Lanes]) {
    if rows == 0 {
        y.as_flattened_mut().fill(-0.0);
        return;
    }
    let blocks = taps.chunks_exact(rows).zip(past.chunks_exact_mut(rows));
    for ((taps, past), (x, y)) in blocks.zip(x.iter_mut().zip(y)) {
        fir_block(taps, past, x, y);
    }
}

/// [`modes_block`] for blocks of channels one after the other.
pub fn modes(modes: &Modes<'_>, state: &mut [Lanes], u: &[Lanes], y: &mut [Lanes]) {
    let order = modes.order();
    if order == 0 {
        return;
    }
    let blocks = modes
        .residues
        .chunks_exact(order)
        .zip(state.chunks_exact_mut(order));
    for (i, ((residues, state), (u, y))) in blocks.zip(u.iter().zip(y)).enumerate() {
        modes_block(modes, modes.decay.get(i), residues, state, u, y);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    fn run(modes_: &Modes<'_>, inputs: &[f32]) -> Vec<f32> {
        let mut state = vec![[0.0; LANES]; modes_.order()];
        let step = |x: &f32| {
            let mut y = [[0.0; LANES]];
            modes(modes_, &mut state, &[[*x; LANES]], &mut y);
            y[0][1]
        };
        inputs.iter().map(step).collect()
    }

    proptest! {
        /// The kernel is `Re(residue pole^j)`, with the decay a factor on the pole.
        #[test]
        fn modes_are_powers_of_their_poles(radius in 0.1f64..0.999, turn in 0.01f64..3.1, re in -2f64..2.0, im in -2f64..2.0, decay in 0.5f64..1.0, decayed: bool) {
            let (a, b) = (radius * libm::cos(turn), radius * libm::sin(turn));
            let rows = [[0.5; LANES], [re as f32; LANES], [(-im * b) as f32; LANES]];
            let modes = Modes {
                poles: &[-0.75, a as f32, (b * b) as f32],
                real: 1,
                residues: &rows,
                decay: if decayed { &[[decay as f32; LANES]] } else { &[] },
            };
            let mut impulse = [0f32; 40];
            impulse[0] = 1.0;
            let g = if decayed { decay } else { 1.0 };
            for (j, y) in run(&modes, &impulse).iter().enumerate() {
                let j = j as f64;
                let power = libm::pow(g * radius, j);
                let turned = re * libm::cos(turn * j) - im * libm::sin(turn * j);
                let real = if (j as usize).is_multiple_of(2) { 0.5 } else { -0.5 } * libm::pow(0.75 * g, j);
                let want = power * turned + real;
                prop_assert!((f64::from(*y) - want).abs() < 1e-4, "{} {} {}", j, y, want);
            }
        }

        #[test]
        fn a_fir_head_is_a_convolution(taps in prop::collection::vec(-1f32..1.0, 0..9), x in prop::collection::vec(-1f32..1.0, 1..30)) {
            let lanes: Vec<Lanes> = taps.iter().map(|t| [*t; LANES]).collect();
            let mut past = vec![[0.0; LANES]; taps.len()];
            for t in 0..x.len() {
                let (mut input, mut y) = ([[x[t]; LANES]], [[1.0; LANES]]);
                fir(taps.len(), &lanes, &mut past, &mut input, &mut y);
                let want: f32 = (0..taps.len().min(t + 1)).map(|i| taps[i] * x[t - i]).sum();
                prop_assert!((y[0][2] - want).abs() < 1e-5);
                let leaving = t.checked_sub(taps.len()).map_or(0.0, |t| x[t]);
                prop_assert_eq!(input[0][2], leaving);
            }
        }
    }

    #[test]
    fn only_states_below_the_smallest_become_zero() {
        let mut state = [
            [SMALLEST, -SMALLEST, SMALLEST / 1.01, -1e-40],
            [1.0, -0.0, 0.0, -2.0],
        ];
        flush(&mut state);
        assert_eq!(
            state,
            [[SMALLEST, -SMALLEST, 0.0, 0.0], [1.0, 0.0, 0.0, -2.0]]
        );
    }
}
