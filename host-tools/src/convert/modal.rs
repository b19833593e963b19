//! The one form that every conversion ends in: a FIR head and a bank of modes.

use ndarray::{Array1, Array2, Axis, s};
use num_complex::Complex64;
use std::ops::Range;
use thiserror::Error;

/// Lags after which a running power of a pole is computed afresh, so that its rounding errors
/// stay below `RESTART` units in the last place.
const RESTART: usize = 256;

/// A causal many-channel kernel as `taps` followed by a sum of decaying exponentials:
///
/// `kernel(i, c) = taps[i, c]` for `i < M`, and
/// `kernel(M + j, c) = Re sum_k residues[k, c] * (channel_decay[c] * poles[k])^j`.
///
/// A pole with a non-zero imaginary part stands for itself and its conjugate; its residue is
/// twice that of the pair's first member, so that the real part is the pair's sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Modal {
    /// FIR head, `[M, channels]`.
    pub taps: Array2<f64>,
    /// One pole a mode, `[K]`, real poles first.
    pub poles: Vec<Complex64>,
    /// `[K, channels]`.
    pub residues: Array2<Complex64>,
    /// Factor on every pole that depends on the channel, `[channels]`; absent means 1 (shared poles).
    pub channel_decay: Option<Vec<f64>>,
}

/// What makes a [`Modal`] unusable as a recurrence.
#[derive(Clone, Debug, PartialEq, Error)]
pub enum ModalError {
    /// A part of the form has another size than the rest.
    #[error("modal form: {what} has {found} where {expected} is needed")]
    Shape {
        /// The part and its axis.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The size that the other parts give it.
        expected: usize,
    },
    /// A number is infinite or not a number.
    #[error("modal form: {what} holds a number that is not finite")]
    NotFinite {
        /// The part.
        what: &'static str,
    },
    /// A pole lies outside the unit circle: its state would grow without bound.
    #[error("modal form: pole {mode} has modulus {modulus}, outside the unit circle")]
    Unstable {
        /// Index of the pole.
        mode: usize,
        /// Its modulus, times the largest channel decay.
        modulus: f64,
    },
    /// A pole without imaginary part comes after one that has one.
    #[error("modal form: real pole {mode} follows a complex one; real poles come first")]
    RealAfterComplex {
        /// Index of the real pole.
        mode: usize,
    },
}

impl Modal {
    /// A kernel of `taps` alone, `[lags, channels]`.
    pub fn from_taps(taps: Array2<f64>) -> Self {
        let channels = taps.ncols();
        Self {
            taps,
            poles: Vec::new(),
            residues: Array2::zeros((0, channels)),
            channel_decay: None,
        }
    }

    /// Channels of the kernel.
    pub fn channels(&self) -> usize {
        self.taps.ncols()
    }

    /// Length of the FIR head, `M`.
    pub fn fir_len(&self) -> usize {
        self.taps.nrows()
    }

    /// Real numbers of state a channel that the modes hold: one a real pole, two a complex one.
    pub fn order(&self) -> usize {
        self.poles
            .iter()
            .map(|p| if p.im == 0.0 { 1 } else { 2 })
            .sum()
    }

    /// Real numbers that a recurrence keeps between steps for one channel: the modes' states and
    /// the last `M` inputs.
    pub fn states_per_channel(&self) -> usize {
        self.fir_len() + self.order()
    }

    /// Largest modulus of a pole, channel decay included; 0 without poles.
    pub fn radius(&self) -> f64 {
        let largest = self.poles.iter().map(|p| p.norm()).fold(0.0, f64::max);
        largest * self.largest_decay()
    }

    fn largest_decay(&self) -> f64 {
        self.channel_decay
            .as_ref()
            .map_or(1.0, |d| d.iter().fold(0.0, |a, g| g.abs().max(a)))
    }

    /// The kernel that the form stands for at `lags`, `[lags, channels]`, in f64.
    ///
    /// The error grows as `lag * f64::EPSILON` relative to the modes (a property of any pole
    /// stored in f64), which leaves 10 digits at lag 100,000.
    pub fn kernel(&self, lags: Range<usize>) -> Array2<f64> {
        let mut out = Array2::zeros((lags.len(), self.channels()));
        let head = self.fir_len();
        let taps = lags.start.min(head)..lags.end.min(head);
        let split = taps.len();
        out.slice_mut(s![..split, ..])
            .assign(&self.taps.slice(s![taps, ..]));
        if split < lags.len() && !self.poles.is_empty() {
            let start = lags.start.max(head) - head;
            let tail = self.modes_kernel(start..start + lags.len() - split);
            out.slice_mut(s![split.., ..]).assign(&tail);
        }
        out
    }

    /// `Re sum_k residues[k] * poles[k]^j`, times the channel decay, for `j` in `steps`.
    fn modes_kernel(&self, steps: Range<usize>) -> Array2<f64> {
        let modes = self.poles.len();
        let mut powers = Array2::zeros((steps.len(), 2 * modes));
        for (k, pole) in self.poles.iter().enumerate() {
            for (row, p) in Powers::new(*pole, steps.start)
                .take(steps.len())
                .enumerate()
            {
                powers[[row, k]] = p.re;
                powers[[row, modes + k]] = -p.im;
            }
        }
        let mut parts = Array2::zeros((2 * modes, self.channels()));
        parts
            .slice_mut(s![..modes, ..])
            .assign(&self.residues.mapv(|r| r.re));
        parts
            .slice_mut(s![modes.., ..])
            .assign(&self.residues.mapv(|r| r.im));
        let mut out = powers.dot(&parts);
        if let Some(decay) = &self.channel_decay {
            for (mut column, g) in out.axis_iter_mut(Axis(1)).zip(decay) {
                let factors = Powers::new(Complex64::new(*g, 0.0), steps.start).map(|p| p.re);
                column *= &Array1::from_iter(factors.take(steps.len()));
            }
        }
        out
    }

    /// A bound a channel of what the modes add to the kernel, in absolute value, over `lags` lags
    /// from lag `from` on: `sum_k |residue[k]| |pole[k]|^j`. Infinite where a mode does not decay
    /// and `lags` is `usize::MAX`.
    pub fn modes_l1(&self, from: usize, lags: usize) -> Vec<f64> {
        let most = if lags == usize::MAX {
            f64::INFINITY
        } else {
            lags as f64
        };
        let steps = from.saturating_sub(self.fir_len()) as f64;
        (0..self.channels())
            .map(|c| {
                let decay = self.channel_decay.as_ref().map_or(1.0, |d| d[c].abs());
                let mode = |(pole, residue): (&Complex64, &Complex64)| {
                    let (radius, size) = (pole.norm() * decay, residue.norm());
                    if size == 0.0 {
                        return 0.0;
                    }
                    size * radius.powf(steps) * (1.0 / (1.0 - radius).max(0.0)).min(most)
                };
                self.poles
                    .iter()
                    .zip(self.residues.column(c))
                    .map(mode)
                    .sum()
            })
            .collect()
    }

    /// The same kernel for some of the channels only, in the order given.
    ///
    /// # Panics
    /// If a channel does not exist.
    pub fn select_channels(&self, channels: &[usize]) -> Self {
        Self {
            taps: self.taps.select(Axis(1), channels),
            poles: self.poles.clone(),
            residues: self.residues.select(Axis(1), channels),
            channel_decay: self
                .channel_decay
                .as_ref()
                .map(|d| channels.iter().map(|&c| d[c]).collect()),
        }
    }

    /// Moves a decay that all channels share into the poles.
    pub fn fold_uniform_decay(mut self) -> Self {
        let Some(decay) = &self.channel_decay else {
            return self;
        };
        let uniform = decay.first().copied().unwrap_or(1.0);
        if decay.iter().all(|g| *g == uniform) {
            self.poles.iter_mut().for_each(|p| *p *= uniform);
            self.channel_decay = None;
        }
        self
    }

    /// Checks that the parts fit together and that the recurrence cannot blow up: all numbers
    /// finite, real poles first, every pole times every channel decay within the closed unit disc
    /// (poles on the circle itself are what [`etsc`](super::etsc) gives for a kernel without decay).
    ///
    /// # Errors
    /// The first thing found wrong.
    pub fn validate(&self) -> Result<(), ModalError> {
        self.check_shapes()?;
        let finite = |what, ok| {
            if ok {
                Ok(())
            } else {
                Err(ModalError::NotFinite { what })
            }
        };
        finite("taps", self.taps.iter().all(|x| x.is_finite()))?;
        finite("poles", self.poles.iter().all(|x| x.is_finite()))?;
        finite("residues", self.residues.iter().all(|x| x.is_finite()))?;
        let decay = self.channel_decay.as_deref().unwrap_or(&[]);
        finite("channel decay", decay.iter().all(|x| x.is_finite()))?;
        let mut complex_seen = false;
        for (mode, pole) in self.poles.iter().enumerate() {
            let modulus = pole.norm() * self.largest_decay();
            // One unit in the last place of slack: hypot of a point on the circle may round up.
            if modulus > 1.0 + f64::EPSILON {
                return Err(ModalError::Unstable { mode, modulus });
            }
            if pole.im == 0.0 && complex_seen {
                return Err(ModalError::RealAfterComplex { mode });
            }
            complex_seen |= pole.im != 0.0;
        }
        Ok(())
    }

    fn check_shapes(&self) -> Result<(), ModalError> {
        let channels = self.channels();
        let decays = self.channel_decay.as_ref().map_or(channels, Vec::len);
        for (what, found, expected) in [
            ("residues (modes)", self.residues.nrows(), self.poles.len()),
            ("residues (channels)", self.residues.ncols(), channels),
            ("channel decay", decays, channels),
        ] {
            if found != expected {
                return Err(ModalError::Shape {
                    what,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}

/// The powers `base^start, base^(start+1), ...`, each correct to about `exponent * EPSILON`.
struct Powers {
    base: Complex64,
    next: usize,
    current: Complex64,
}

impl Powers {
    fn new(base: Complex64, start: usize) -> Self {
        Self {
            base,
            next: start,
            current: power(base, start),
        }
    }
}

impl Iterator for Powers {
    type Item = Complex64;

    fn next(&mut self) -> Option<Complex64> {
        let now = self.current;
        self.next += 1;
        self.current = if self.next.is_multiple_of(RESTART) {
            power(self.base, self.next)
        } else {
            now * self.base
        };
        Some(now)
    }
}

/// `base^exponent` by repeated squaring; `0^0` is 1.
fn power(base: Complex64, mut exponent: usize) -> Complex64 {
    let (mut square, mut out) = (base, Complex64::new(1.0, 0.0));
    while exponent > 0 {
        if exponent & 1 == 1 {
            out *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn example() -> Modal {
        Modal {
            taps: array![[3.0, -1.0]],
            poles: vec![Complex64::new(0.9, 0.0), Complex64::from_polar(0.99, 0.3)],
            residues: array![
                [Complex64::new(2.0, 0.0), Complex64::new(0.5, 0.0)],
                [Complex64::new(0.25, -1.0), Complex64::new(0.0, 0.0)]
            ],
            channel_decay: None,
        }
    }

    #[test]
    fn kernel_is_taps_then_modes_wherever_the_range_starts() {
        let m = example();
        assert_eq!((m.order(), m.states_per_channel()), (3, 4));
        let all = m.kernel(0..600);
        assert_eq!(all.row(0), m.taps.row(0));
        for lag in [1, 2, 300, 599] {
            let j = (lag - 1) as f64;
            let want = 2.0 * 0.9f64.powf(j)
                + (Complex64::new(0.25, -1.0) * Complex64::from_polar(0.99f64.powf(j), 0.3 * j)).re;
            assert!((all[[lag, 0]] - want).abs() < 1e-12);
        }
        for start in [0, 1, 2, 255, 257] {
            let part = m.kernel(start..600);
            assert!(
                (&part - &all.slice(s![start.., ..]))
                    .iter()
                    .all(|d| d.abs() < 1e-12)
            );
        }
        assert_eq!(m.kernel(5..5).nrows(), 0);
    }

    #[test]
    fn far_lags_keep_ten_digits() {
        let radius = 1.0 - 1e-6;
        let m = Modal {
            taps: Array2::zeros((0, 1)),
            poles: vec![Complex64::from_polar(radius, 1.0)],
            residues: array![[Complex64::new(1.0, 0.0)]],
            channel_decay: None,
        };
        let want = (100_000.0 * f64::ln(radius)).exp() * 100_000f64.cos();
        assert!((m.kernel(100_000..100_001)[[0, 0]] - want).abs() < 1e-10);
        assert!(m.kernel(1 << 40..(1 << 40) + 1)[[0, 0]].abs() < 1e-300);
    }

    #[test]
    fn channel_decay_multiplies_the_poles_and_a_uniform_one_folds_into_them() {
        let mut m = example();
        m.channel_decay = Some(vec![0.9, 0.5]);
        let (plain, decayed) = (example().kernel(1..40), m.kernel(1..40));
        for j in 0..39 {
            assert!((decayed[[j, 1]] - plain[[j, 1]] * 0.5f64.powi(j as i32)).abs() < 1e-14);
        }
        assert_eq!(m.clone().fold_uniform_decay(), m);
        m.channel_decay = Some(vec![0.9, 0.9]);
        let folded = m.clone().fold_uniform_decay();
        assert_eq!(folded.channel_decay, None);
        let difference = folded.kernel(0..40) - m.kernel(0..40);
        assert!(difference.iter().all(|d| d.abs() < 1e-14));
    }

    #[test]
    fn unusable_forms_are_named() {
        assert_eq!(example().validate(), Ok(()));
        let mut m = example();
        m.poles[0].re = -1.01;
        assert!(matches!(
            m.validate(),
            Err(ModalError::Unstable { mode: 0, .. })
        ));
        m.channel_decay = Some(vec![0.9, 0.9]);
        assert_eq!(m.validate(), Ok(()));
        m.channel_decay = Some(vec![0.9]);
        assert!(matches!(m.validate(), Err(ModalError::Shape { .. })));
        let mut m = example();
        m.poles.swap(0, 1);
        assert_eq!(m.validate(), Err(ModalError::RealAfterComplex { mode: 1 }));
        let mut m = example();
        m.residues[[1, 1]].im = f64::NAN;
        assert_eq!(
            m.validate(),
            Err(ModalError::NotFinite { what: "residues" })
        );
    }
}
