//! Rounding of a [`Modal`] to f32, and what f32 arithmetic makes of it.

use super::modal::Modal;
use ndarray::{Array2, Zip};
use num_complex::Complex64;

/// Numbers smaller than this become zero, as the runtime's blobs have them
/// ([`toeplite::format::SMALLEST`]): 2^-50 is far below what f32 resolves beside coefficients of
/// ordinary size.
pub const FLUSH: f64 = toeplite::format::SMALLEST as f64;

/// States below this become zero, as in the runtime.
const STATE_FLUSH: f32 = toeplite::format::SMALLEST;

impl Modal {
    /// The nearest form whose numbers are all f32 values, safe to run as a recurrence:
    ///
    /// * every pole that was within the closed unit disc still is, exactly: of the four f32 points
    ///   around it the nearest one inside the disc is taken;
    /// * residues, taps and parts of poles below [`FLUSH`] are zero.
    ///
    /// Poles that become real in this way move to the front.
    pub fn to_f32_safe(&self) -> Modal {
        let poles: Vec<Complex64> = self.poles.iter().map(|p| round_pole(*p)).collect();
        let mut modes: Vec<usize> = (0..poles.len()).collect();
        modes.sort_by_key(|&k| poles[k].im != 0.0);
        let residues = Array2::from_shape_fn(self.residues.dim(), |(row, c)| {
            let (k, r) = (modes[row], self.residues[[modes[row], c]]);
            let im = if poles[k].im == 0.0 { 0.0 } else { r.im };
            Complex64::new(round(r.re), round(im))
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

    /// The first `lags` of the kernel as f32 arithmetic realises it: the impulse response of
    /// [`to_f32_safe`](Self::to_f32_safe), stepped in f32.
    ///
    /// A step is `state <- pole * state + x` (the channel decay, where there is one, multiplies
    /// `pole * state`), then `y = sum of Re(residue * state)` over the modes in order; every
    /// operation is rounded on its own. `x` reaches the modes `M` steps late.
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
        let (re, im) = (
            self.residues.mapv(|r| r.re as f32),
            self.residues.mapv(|r| r.im as f32),
        );
        let mut states = vec![(1f32, 0f32); self.poles.len()];
        for lag in self.fir_len()..lags {
            let mut row = out.row_mut(lag);
            for (k, state) in states.iter_mut().enumerate() {
                if *state == (0.0, 0.0) {
                    continue;
                }
                Zip::from(&mut row)
                    .and(re.row(k))
                    .and(im.row(k))
                    .for_each(|y, re, im| *y += re * state.0 - im * state.1);
                *state = multiply(self.poles[k], *state);
            }
        }
    }

    /// Poles that differ by channel: one channel after the other.
    fn step_each(&self, decay: &[f64], out: &mut Array2<f32>) {
        let lags = out.nrows();
        for (c, g) in decay.iter().enumerate() {
            let mut states = vec![(1f32, 0f32); self.poles.len()];
            for lag in self.fir_len()..lags {
                for (k, state) in states.iter_mut().enumerate() {
                    let r = self.residues[[k, c]];
                    out[[lag, c]] += r.re as f32 * state.0 - r.im as f32 * state.1;
                    let turned = multiply(self.poles[k], *state);
                    *state = (flush(turned.0 * *g as f32), flush(turned.1 * *g as f32));
                }
            }
        }
    }
}

/// `pole * state` in f32, each operation rounded.
fn multiply(pole: Complex64, state: (f32, f32)) -> (f32, f32) {
    let (re, im) = (pole.re as f32, pole.im as f32);
    (
        flush(re * state.0 - im * state.1),
        flush(im * state.0 + re * state.1),
    )
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

/// The nearest of the four f32 points around `pole` that lies in the closed unit disc; towards
/// zero in both parts where none does (then `pole` itself lies outside).
fn round_pole(pole: Complex64) -> Complex64 {
    let mut best = Complex64::new(towards_zero(pole.re), towards_zero(pole.im));
    let inner = best;
    for re in [inner.re, away_from_zero(pole.re)] {
        for im in [inner.im, away_from_zero(pole.im)] {
            let candidate = Complex64::new(re, im);
            let nearer = (candidate - pole).norm_sqr() < (best - pole).norm_sqr();
            if nearer && within_unit_disc(candidate) {
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

/// Whether `re^2 + im^2 <= 1` holds exactly for parts that are f32 values: their squares are exact
/// in f64, and the rounding error of the sum decides where the sum rounds to 1.
fn within_unit_disc(p: Complex64) -> bool {
    let (a, b) = (p.re * p.re, p.im * p.im);
    let sum = a + b;
    let (large, small) = if a > b { (a, b) } else { (b, a) };
    let lost = small - (sum - large);
    sum < 1.0 || (sum == 1.0 && lost <= 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn poles_on_or_inside_the_circle_stay_there(radius in 0.999f64..=1.0, turn in -3.2f64..3.2) {
            let pole = Complex64::from_polar(radius, turn);
            let rounded = round_pole(pole);
            prop_assert_eq!(rounded.re, f64::from(rounded.re as f32));
            prop_assert_eq!(rounded.im, f64::from(rounded.im as f32));
            prop_assert!(within_unit_disc(rounded));
            prop_assert!((rounded - pole).norm() < 1.0e-7);
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
