//! One step of a layer's Toeplitz operator.

use super::model::{Mode, Recurrence};

/// What a layer keeps between steps.
pub(super) struct State<'s> {
    /// The ring's row that the next input replaces, and the mode that rests next.
    pub places: &'s mut [u32; 2],
    /// The last inputs, `[M, channels]`.
    pub ring: &'s mut [i16],
    /// Of each mode, the real ones first: `[channels]`, or `[channels, 2]` where it is complex.
    pub modes: &'s mut [i32],
}

/// The FIR head: `y` of the newest input `x` and of those in the ring.
pub(super) fn convolve(r: &Recurrence<'_>, state: &State<'_>, x: &[i32], y: &mut [i32]) {
    let channels = x.len();
    y.fill(0);
    if channels == 0 {
        return;
    }
    let mut taps = r.taps.chunks_exact(channels);
    if let Some(taps) = taps.next() {
        for ((y, x), tap) in y.iter_mut().zip(x).zip(taps) {
            *y = i32::from(*tap) * x;
        }
    }
    let [oldest, _] = *state.places;
    let mut index = oldest as usize;
    let mut past = || {
        // the newest row is the one before the oldest, in the ring's order
        index = if index == 0 { r.counts.taps } else { index }.wrapping_sub(1);
        state
            .ring
            .get(index.wrapping_mul(channels)..)
            .unwrap_or(&[])
    };
    while let Some(row) = taps.next() {
        let x = past();
        match taps.next() {
            // two at once, for `y` is read and written once
            Some(more) => two_taps([row, more], [x, past()], y),
            None => one_tap(row, x, y),
        }
    }
}

fn one_tap(taps: &[i16], x: &[i16], y: &mut [i32]) {
    for ((y, x), tap) in y.iter_mut().zip(x).zip(taps) {
        *y += i32::from(*tap) * i32::from(*x);
    }
}

fn two_taps([taps, more]: [&[i16]; 2], [x, w]: [&[i16]; 2], y: &mut [i32]) {
    for ((((y, x), tap), w), other) in y.iter_mut().zip(x).zip(taps).zip(w).zip(more) {
        *y += i32::from(*tap) * i32::from(*x) + i32::from(*other) * i32::from(*w);
    }
}

/// The modes: `y` of their states, then their step by the input that leaves the ring, which `x`
/// enters. Afterwards `x` is the input that left.
pub(super) fn advance(r: &Recurrence<'_>, state: &mut State<'_>, x: &mut [i32], y: &mut [i32]) {
    let channels = x.len();
    let [oldest, resting] = &mut *state.places;
    let row = *oldest as usize * channels;
    let leaving = state.ring.get_mut(row..).unwrap_or(&mut []);
    for (x, old) in x.iter_mut().zip(leaving) {
        let newest = *x as i16;
        *x = (*old).into();
        *old = newest;
    }
    let next = *oldest + 1;
    *oldest = if next < r.counts.taps as u32 { next } else { 0 };

    let (mut states, mut residues) = (&mut *state.modes, r.residues);
    for index in 0..r.counts.real + r.counts.complex {
        let Some(mode) = r.mode(index) else { return };
        let width = if index < r.counts.real { 1 } else { 2 } * channels;
        let Some((s, rest)) = states.split_at_mut_checked(width) else {
            return;
        };
        let Some((residue, after)) = residues.split_at_checked(channels) else {
            return;
        };
        (states, residues) = (rest, after);
        if index < r.counts.real {
            real(&mode, residue, x, s, y);
        } else {
            complex(&mode, residue, x, s.as_chunks_mut().0, y);
        }
        if index as u32 == *resting {
            rest_small(&mode, index < r.counts.real, s);
        }
    }
    let next = *resting + 1;
    *resting = if next < (r.counts.real + r.counts.complex) as u32 {
        next
    } else {
        0
    };
}

/// A real mode of every channel.
fn real(mode: &Mode, residues: &[i32], x: &[i32], states: &mut [i32], y: &mut [i32]) {
    let (low, down, input, e) = (mode.low, mode.down, mode.input, mode.re);
    for (((s, x), r), y) in states.iter_mut().zip(x).zip(residues).zip(y) {
        let high = *s >> low;
        *y += r * high;
        *s = *s + ((e * high) >> down) + (x << input);
    }
}

/// A complex mode of every channel.
fn complex(mode: &Mode, residues: &[i32], x: &[i32], states: &mut [[i32; 2]], y: &mut [i32]) {
    let (low, down, input) = (mode.low, mode.down, mode.input);
    let (a, b) = (mode.re, mode.im);
    for ((([p, q], x), r), y) in states.iter_mut().zip(x).zip(residues).zip(y) {
        let (re, im) = (*p >> low, *q >> low);
        *y += i32::from(*r as i16) * re - (r >> 16) * im;
        *p = *p + ((a * re - b * im) >> down) + (x << input);
        *q += (a * im + b * re) >> down;
    }
}

/// Zeros for states so small that rounding might keep them alive.
fn rest_small(mode: &Mode, is_real: bool, states: &mut [i32]) {
    let (half, all) = (1u32 << mode.rest, 2u32 << mode.rest);
    let small = |x: i32| (x as u32).wrapping_add(half) < all;
    if is_real {
        for s in states {
            *s = if small(*s) { 0 } else { *s };
        }
    } else {
        for s in states.as_chunks_mut::<2>().0 {
            let [p, q] = *s;
            *s = if small(p) && small(q) { [0; 2] } else { *s };
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::super::check::Bounds;
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    /// A mode with the largest input and the smallest rest that its bounds allow, if it has any.
    fn stable(re: i32, im: i32, low: u32, down: u32) -> Option<(Mode, Bounds)> {
        let modes = (0..=15).rev().flat_map(|input| {
            (0..=30).map(move |rest| Mode {
                re,
                im,
                low,
                down,
                input,
                rest,
                high: u32::MAX,
            })
        });
        modes
            .filter_map(|mode| Bounds::of(&mode).map(|bounds| (mode, bounds)))
            .next()
    }

    proptest! {
        /// With overflow checks: the worst inputs leave no state outside of its bounds, and silence ends
        /// at exactly zero.
        #[test]
        fn states_stay_in_bounds_and_silence_decays_to_zero(
            radius in 0.0f64..0.999,
            angle in prop_oneof![Just(0.0), Just(core::f64::consts::PI), 0.0f64..3.1],
            low in 8u32..14,
            inputs in prop::collection::vec(prop_oneof![Just(i16::MIN), Just(i16::MAX), any::<i16>()], 1..200),
        ) {
            let (re, im) = (radius * libm::cos(angle) - 1.0, radius * libm::sin(angle));
            let is_real = angle == 0.0 || angle == core::f64::consts::PI;
            let im = if is_real { 0.0 } else { im };
            let size = re.abs().max(im.abs());
            let down = (0..=30 - low).rev().find(|down| libm::ldexp(size, (low + down) as i32) <= libm::ldexp(1.0, low as i32)).unwrap_or(0);
            let part = |x: f64| libm::round(libm::ldexp(x, (low + down) as i32)) as i32;
            let Some((mode, bounds)) = stable(part(re), part(im), low, down) else {
                return Ok(());
            };
            let mut state = [0i32; 2];
            let step = |state: &mut [i32; 2], x: i32| {
                let mut y = [0];
                if is_real {
                    real(&mode, &[1], &[x], &mut state[..1], &mut y);
                } else {
                    complex(&mode, &[-65_535], &[x], core::slice::from_mut(state), &mut y);
                }
            };
            let modulus = |[p, q]: [i32; 2]| i64::from(p) * i64::from(p) + i64::from(q) * i64::from(q);
            let largest = (bounds.state * bounds.state) as i64;
            for x in inputs.iter().cycle().take(3000) {
                step(&mut state, (*x).into());
                prop_assert!(modulus(state) <= largest);
            }
            for _ in 0..200_000 {
                step(&mut state, 0);
                rest_small(&mode, is_real, &mut state);
                if state == [0; 2] {
                    break;
                }
            }
            prop_assert_eq!(state, [0; 2]);
            step(&mut state, 0);
            prop_assert_eq!(state, [0; 2]);
        }
    }

    /// A whole layer: the ring empties, and every mode's turn to rest comes.
    #[test]
    fn a_layer_falls_silent() {
        let (first, _) = stable(-21, 0, 11, 0).unwrap();
        let (second, _) = stable(-21, 100, 11, 0).unwrap();
        let record = |mode: Mode| {
            let Mode { re, im, .. } = mode;
            let shifts = [mode.low, mode.down, mode.input, mode.rest];
            let [low, down, input, rest] = shifts.map(|x| x as i16);
            [re as i16, im as i16, low, down, input, rest, -1, -1]
        };
        let records = [record(first), record(second)];
        let recurrence = Recurrence {
            counts: crate::layer::Counts {
                taps: 2,
                real: 1,
                complex: 1,
                has_channel_decay: false,
            },
            fraction: 0,
            taps: &[1, 2, 3, 4, 5, 6],
            modes: &records,
            residues: &[1, 2, 3 + (4 << 16), 5 + (6 << 16)],
        };
        let (mut places, mut ring, mut modes) = ([0; 2], [0; 4], [0; 6]);
        let mut run = |input: [i32; 2]| {
            let (mut x, mut y) = (input, [0; 2]);
            let mut state = State {
                places: &mut places,
                ring: &mut ring,
                modes: &mut modes,
            };
            convolve(&recurrence, &state, &x, &mut y);
            advance(&recurrence, &mut state, &mut x, &mut y);
            y
        };
        assert_eq!(run([100, -100]), [100, -200]);
        assert_eq!(run([0, 0]), [300, -400]);
        assert_eq!(run([0, 0]), [500, -600]);
        let outputs: Vec<_> = (0..20_000).map(|_| run([0, 0])).collect();
        assert!(outputs[0] != [0; 2] && outputs[19_999] == [0; 2]);
        assert_eq!((ring, modes), ([0; 4], [0; 6]));
    }
}
