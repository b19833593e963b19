//! Rounding of a [`Modal`] to f32, and what f32 arithmetic makes of it.

use super::modal::Modal;
use ndarray::{Array2, Zip};
use num_complex::Complex64;

/// Numbers smaller than this become zero, as the runtime's blobs have them
/// ([`toeplite::format::SMALLEST`]): 2^-50 is far below what f32 resolves beside coefficients of
/// ordinary size.
pub const FLUSH: f64 = toeplite::format::SMALLEST as f64;

/// The imaginary part of the complex pole that stands for a double real one.
pub const DOUBLE: f64 = 1.0 / (1u64 << 26) as f64;

/// States below this become zero, as in the runtime.
const STATE_FLUSH: f32 = toeplite::format::SMALLEST;

impl Modal {
    /// The nearest form whose numbers are all f32 values, safe to run as a recurrence:
    ///
    /// * a complex pole `a + ib` is kept as `a` and `b^2`, its residue `r` as `Re r` and `-b Im r`
    ///   ([`toeplite::kernel::modes`](mod@toeplite::kernel::modes)): those are f32 values;
    /// * every pole that was within the closed unit disc still is, exactly: of the four such points
    ///   around it the nearest one inside the disc is taken;
    /// * residues, taps, `a` and `b^2` below [`FLUSH`] are zero. A complex pole with `b^2 = 0` is a double
    ///   real one: it is returned with `b` = [`DOUBLE`].
    ///
    /// Poles that become real in this way move to the front.
    pub fn to_f32_safe(&self) -> Modal {
        let poles: Vec<Complex64> = (0..self.poles.len()).map(|k| self.pole(k)).collect();
        let mut modes: Vec<usize> = (0..poles.len()).collect();
        modes.sort_by_key(|&k| poles[k].im != 0.0);
        let residues = Array2::from_shape_fn(self.residues.dim(), |(row, c)| {
            let k = modes[row];
            let (was, b, r) = (self.poles[k].im, poles[k].im, self.residues[[k, c]]);
            let im = if b == 0.0 { 0.0 } else { round(r.im * was) / b };
            Complex64::new(round(r.re), im)
        });
        Modal {
            taps: self.taps.mapv(round),
            poles: modes.iter().map(|&k| poles[k]).collect(),
            residues,
            channel_decay: self
                .channel_decay
                .as_ref()
                .map(|d| d.iter().map(|g| round(*g)).collect()),
        }
    }

    /// Pole `k`, rounded; real if the imaginary part of its state does not reach any output.
    fn pole(&self, k: usize) -> Complex64 {
        let pole = self.poles[k];
        let reaches = |r: &Complex64| round(r.im * pole.im) != 0.0;
        if self.residues.row(k).iter().any(reaches) {
            round_pole(pole)
        } else {
            Complex64::new(round_pole(pole).re, 0.0)
        }
    }

    /// The first `lags` of the kernel as f32 arithmetic realises it: the impulse response of
    /// [`to_f32_safe`](Self::to_f32_safe), stepped in f32.
    ///
    /// A step is that of [`toeplite::kernel::modes`](mod@toeplite::kernel::modes), every operation rounded on its own. `x` reaches
    /// the modes `M` steps late. States below 2^-50 become zero at once, in the runtime a little later.
    pub fn impulse_f32(&self, lags: usize) -> Array2<f32> {
        let form = self.to_f32_safe();
        let mut out = Array2::zeros((lags, form.channels()));
        for lag in 0..lags.min(form.fir_len()) {
            for c in 0..form.channels() {
                out[[lag, c]] = form.taps[[lag, c]] as f32;
            }
        }
        match &form.channel_decay {
            None => form.step_shared(&mut out),
            Some(decay) => form.step_each(decay, &mut out),
        }
        out
    }

    /// Shared poles: an impulse leaves the same states in every channel.
    fn step_shared(&self, out: &mut Array2<f32>) {
        let lags = out.nrows();
        let modes: Vec<Mode> = self.poles.iter().map(|p| Mode::new(*p)).collect();
        let re = self.residues.mapv(|r| r.re as f32);
        let im = Array2::from_shape_fn(self.residues.dim(), |at| {
            modes[at.0].second_residue(self.residues[at])
        });
        let mut states = vec![(1f32, 0f32); modes.len()];
        for lag in self.fir_len()..lags {
            let mut row = out.row_mut(lag);
            for (k, state) in states.iter_mut().enumerate() {
                if *state == (0.0, 0.0) {
                    continue;
                }
                Zip::from(&mut row)
                    .and(re.row(k))
                    .and(im.row(k))
                    .for_each(|y, re, im| {
                        *y += re * state.0;
                        *y += im * state.1;
                    });
                *state = modes[k].step(*state);
            }
        }
    }

    /// Poles that differ by channel: one channel after the other.
    fn step_each(&self, decay: &[f64], out: &mut Array2<f32>) {
        let lags = out.nrows();
        let modes: Vec<Mode> = self.poles.iter().map(|p| Mode::new(*p)).collect();
        for (c, g) in decay.iter().enumerate() {
            let mut states = vec![(1f32, 0f32); modes.len()];
            for lag in self.fir_len()..lags {
                for (k, state) in states.iter_mut().enumerate() {
                    let r = self.residues[[k, c]];
                    out[[lag, c]] += r.re as f32 * state.0;
                    out[[lag, c]] += modes[k].second_residue(r) * state.1;
                    let turned = modes[k].step(*state);
                    *state = (flush(turned.0 * *g as f32), flush(turned.1 * *g as f32));
                }
            }
        }
    }
}

/// A pole as the runtime keeps it. A real one has `b = 0`, and a second state that stays zero.
struct Mode {
    a: f32,
    b: f64,
}

impl Mode {
    fn new(pole: Complex64) -> Self {
        let (a, b) = (pole.re as f32, pole.im);
        Self { a, b }
    }

    /// What the second state is multiplied by.
    fn second_residue(&self, residue: Complex64) -> f32 {
        (-residue.im * self.b) as f32
    }

    /// A step without input, each operation rounded.
    fn step(&self, (p, w): (f32, f32)) -> (f32, f32) {
        if self.b == 0.0 {
            return (flush(self.a * p), 0.0);
        }
        let square = round(self.b * self.b) as f32;
        (flush(self.a * p - square * w), flush(p + self.a * w))
    }
}

fn flush(x: f32) -> f32 {
    if x.abs() < STATE_FLUSH { 0.0 } else { x }
}

/// Nearest f32 value, or zero below [`FLUSH`]. What f32 cannot hold saturates at its largest number.
fn round(x: f64) -> f64 {
    if x.abs() < FLUSH {
        0.0
    } else {
        f64::from((x as f32).clamp(f32::MIN, f32::MAX))
    }
}

/// The nearest of the four points around `pole` whose real part and whose square of the imaginary
/// part are f32 values, and which lies in the closed unit disc; towards zero in both parts where none
/// does (then `pole` itself lies outside).
pub(super) fn round_pole(pole: Complex64) -> Complex64 {
    let square = pole.im * pole.im;
    let point = |re, square: f64| {
        let b = if square == 0.0 && pole.im != 0.0 {
            DOUBLE
        } else {
            square.sqrt()
        };
        Complex64::new(re, b.copysign(pole.im))
    };
    let (re, inner) = (towards_zero(pole.re), towards_zero(square));
    let mut best = point(re, inner);
    for re in [re, away_from_zero(pole.re)] {
        for square in [inner, away_from_zero(square)] {
            let candidate = point(re, square);
            let nearer = (candidate - pole).norm_sqr() < (best - pole).norm_sqr();
            if nearer && within_unit_disc(re, square) {
                best = candidate;
            }
        }
    }
    best
}

/// The largest f32 no larger in size than `x`.
fn towards_zero(x: f64) -> f64 {
    if x.abs() < FLUSH {
        return 0.0;
    }
    let nearest = x as f32;
    if f64::from(nearest).abs() <= x.abs() {
        return f64::from(nearest);
    }
    f64::from(f32::from_bits(nearest.to_bits() - 1))
}

/// The smallest f32 no smaller in size than `x`.
fn away_from_zero(x: f64) -> f64 {
    if x.abs() < FLUSH {
        return 0.0;
    }
    let nearest = x as f32;
    if f64::from(nearest).abs() >= x.abs() {
        return f64::from(nearest);
    }
    f64::from(f32::from_bits(nearest.to_bits() + 1))
}

/// Whether the runtime takes a pole of these f32 values.
fn within_unit_disc(re: f64, square: f64) -> bool {
    toeplite::format::within_unit_disc(re as f32, square as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::reduced::upper_half;
    use ndarray::array;
    use proptest::prelude::*;
    use std::f64::consts::PI;

    proptest! {
        #[test]
        fn poles_on_or_inside_the_circle_stay_there(radius in 0.999f64..=1.0, turn in -3.2f64..3.2) {
            let pole = Complex64::from_polar(radius, turn);
            let rounded = round_pole(pole);
            prop_assert_eq!(rounded.re, f64::from(rounded.re as f32));
            let square = f64::from((rounded.im * rounded.im) as f32);
            prop_assert!((rounded.im.abs() - square.sqrt()).abs() < 1e-16);
            prop_assert!(within_unit_disc(rounded.re, square));
            prop_assert_eq!(round_pole(rounded), rounded);
            prop_assert!((rounded - pole).norm() < 1.0e-7 + 1e-8 / pole.im.abs().max(1e-3));
        }
    }

    /// A pole as a reduction leaves it, and as it is stored.
    fn stored(pole: Complex64) -> Complex64 {
        round_pole(upper_half(vec![pole])[0])
    }

    proptest! {
        /// A real state in f32 falls with every step, even by the slowest pole that a reduction has.
        #[test]
        fn the_slowest_real_pole_brings_every_state_nearer_to_zero(state in 1.0f32..2.0, exponent in -49i32..60) {
            let mode = Mode::new(stored(Complex64::new(1.0, 0.0)));
            let state = state * (f64::from(exponent)).exp2() as f32;
            for sign in [1.0, -1.0] {
                let (next, _) = mode.step((sign * state, 0.0));
                prop_assert!(next.abs() < state && next * sign >= 0.0);
            }
        }

        /// Poles of reductions stay strictly inside the circle as they are stored, and without input their
        /// states end at exactly zero, in no more steps than the pole itself would need twice over.
        #[test]
        fn silence_decays_to_exactly_zero(radius in 0.0f64..0.999, turn in 0.0f64..PI, start in -1.0f32..1.0) {
            for pole in [Complex64::from_polar(radius, turn), Complex64::new(radius, 0.0), Complex64::new(-radius, 0.0)] {
                let pole = stored(pole);
                prop_assert!(pole.norm() < 1.0);
                let mode = Mode::new(pole);
                let mut state = (start, 0.0);
                // from the size that a unit input builds up to, down to 2^-50
                let needed = (1e6 / FLUSH).ln() / -pole.norm().max(1e-9).ln();
                let steps = (0..2 * needed as usize + 4).find(|_| {
                    let ended = state == (0.0, 0.0);
                    state = mode.step(state);
                    ended
                });
                prop_assert!(steps.is_some(), "{pole}: {state:?}");
            }
        }

        /// At the largest radii too.
        #[test]
        fn poles_outside_are_stored_inside(radius in 0.999f64..1.1, turn in 0.0f64..PI) {
            for pole in [Complex64::from_polar(radius, turn), Complex64::new(radius, 0.0), Complex64::new(-radius, 0.0)] {
                prop_assert!(stored(pole).norm() < 1.0);
            }
        }
    }

    #[test]
    fn small_numbers_vanish_and_a_pole_that_becomes_real_moves_to_the_front() {
        let m = Modal {
            taps: array![[1e-16, 0.1]],
            poles: vec![Complex64::new(0.5, 0.5), Complex64::new(0.9, 1e-17)],
            residues: array![
                [Complex64::new(1.0, 1.0), Complex64::new(1.0, 1e-20)],
                [Complex64::new(0.1, 7.0), Complex64::new(1e-40, 7.0)]
            ],
            channel_decay: None,
        };
        let r = m.to_f32_safe();
        assert_eq!(r.validate(), Ok(()));
        assert_eq!((r.order(), r.poles[0].im), (3, 0.0));
        assert_eq!(r.taps, array![[0.0, f64::from(0.1f32)]]);
        assert_eq!(r.residues[[0, 0]], Complex64::new(f64::from(0.1f32), 0.0));
        assert_eq!(r.residues[[0, 1]], Complex64::new(0.0, 0.0));
        assert_eq!(r.residues[[1, 1]], Complex64::new(1.0, 0.0));
        assert!(
            (r.kernel(0..50) - m.kernel(0..50))
                .iter()
                .all(|d| d.abs() < 1e-6)
        );
    }

    #[test]
    fn f32_steps_follow_the_kernel_with_and_without_channel_decay() {
        let mut m = Modal {
            taps: array![[3.0, -1.0], [0.0, 2.0]],
            poles: vec![Complex64::new(-0.8, 0.0), Complex64::from_polar(0.99, 0.3)],
            residues: array![
                [Complex64::new(2.0, 0.0), Complex64::new(0.5, 0.0)],
                [Complex64::new(0.25, -1.0), Complex64::new(-1.0, 0.5)]
            ],
            channel_decay: None,
        };
        for decay in [None, Some(vec![0.97, 0.9])] {
            m.channel_decay = decay;
            let (exact, stepped) = (m.kernel(0..400), m.impulse_f32(400));
            for (a, b) in exact.iter().zip(&stepped) {
                assert!((a - f64::from(*b)).abs() < 3e-6);
            }
        }
    }
}
