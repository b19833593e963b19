//! Recurrences of the contract `fixed`: taps, poles and residues as integers.

use super::super::writer::{Section, WriteError};
use super::{section_i16, section_i32};
use crate::convert::modal::Modal;
use ndarray::Array2;
use num_complex::Complex64;
use toeplite::fixed::Bounds;
use toeplite::fixed::model::Mode;

/// Largest magnitude of an input, and what a channel's outputs stay below.
const INPUT: f64 = 32_768.0;
const LIMIT: f64 = 2_147_483_648.0;
/// Share of a mode's largest state that states usually have; what rounding keeps alive matters in
/// proportion.
const USUAL_STATE: f64 = 1.0 / 64.0;
/// Places after the point that outputs usually have more than inputs; residues are rounded to as many, and
/// those of the state that products leave out, less those of the input.
const USUAL_FRACTION: i32 = 13;
/// Largest share of a pole's distance to the unit circle that rounding may move it.
const LARGEST_ERROR: f64 = 0.25;

/// A layer's recurrence in integers.
pub(super) struct Fixed {
    channels: usize,
    taps: Vec<i16>,
    modes: Vec<Mode>,
    residues: Vec<i32>,
    counts: [usize; 3],
    /// Places after the point of the output less those of the input.
    pub fraction: i32,
}

/// A mode with its bounds and the pole that it has in integers.
struct Rounded {
    mode: Mode,
    bounds: Bounds,
    pole: Complex64,
}

impl Fixed {
    /// Rounds the recurrence of layer `layer`.
    pub fn of(modal: &Modal, layer: usize) -> Result<Self, WriteError> {
        let too_large = |what: &str| WriteError::TooLargeForFixed {
            what: format!("{what} of the recurrence of layer {layer}"),
        };
        let modes: Vec<Rounded> = modal
            .poles
            .iter()
            .map(|pole| {
                let what =
                    || format!("pole as close to the unit circle as {pole} in layer {layer}");
                Rounded::of(*pole).ok_or_else(|| WriteError::NotInFixed { what: what() })
            })
            .collect::<Result<_, _>>()?;
        let taps = taps(modal);
        // as many places as all channels have room for
        let (fraction, taps, residues) = (0..=30)
            .rev()
            .find_map(|fraction| {
                let (taps, residues) = integers(modal, &taps, &modes, fraction)?;
                Some((fraction, taps, residues))
            })
            .ok_or_else(|| too_large("the kernel"))?;
        let real = modal.poles.iter().filter(|p| p.im == 0.0).count();
        Ok(Self {
            channels: modal.channels(),
            taps,
            modes: modes.into_iter().map(|rounded| rounded.mode).collect(),
            residues,
            counts: [modal.fir_len(), real, modal.poles.len() - real],
            fraction,
        })
    }

    /// The recurrence that the integers stand for.
    pub fn stored(&self) -> Modal {
        let [taps, _, _] = self.counts;
        let taps = taps + usize::from(!self.modes.is_empty());
        let channels = self.channels;
        let unit = f64::from(-self.fraction).exp2();
        let taps = Array2::from_shape_fn((taps, channels), |(lag, c)| {
            f64::from(self.taps[lag * channels + c]) * unit
        });
        let residues = Array2::from_shape_fn((self.modes.len(), channels), |(k, c)| {
            let (mode, residue) = (&self.modes[k], self.residues[k * channels + c]);
            let unit = f64::from(-places(self.fraction, mode)).exp2();
            let (re, im) = match mode.im {
                0 => (f64::from(residue), 0.0),
                _ => (f64::from(residue as i16), f64::from(residue >> 16)),
            };
            Complex64::new(re, im) * unit
        });
        Modal {
            taps,
            poles: self.modes.iter().map(pole_of).collect(),
            residues,
            channel_decay: None,
        }
    }

    /// The section of counts.
    pub fn counts(&self) -> Section {
        let [taps, real, complex] = self.counts.map(|n| n as u32);
        Section::u32([taps, real, complex, 0, self.fraction as u32])
    }

    /// The sections of taps, poles and residues.
    pub fn sections(self) -> [Section; 3] {
        let record = |mode: &Mode| {
            let shifts = [mode.low, mode.down].map(|x| x as i16);
            let [low, down] = shifts;
            let (re, im) = (mode.re as i16, mode.im as i16);
            let [input, rest] = [mode.input, mode.rest].map(|x| x as i16);
            let high = [mode.high, mode.high >> 16].map(|x| x as i16);
            [re, im, low, down, input, rest, high[0], high[1]]
        };
        [
            section_i16(self.taps),
            section_i16(self.modes.iter().flat_map(record)),
            section_i32(self.residues),
        ]
    }
}

/// The taps, one row a lag. With modes there is one more, their share of the newest input: the outputs
/// of modes are taken before their step.
fn taps(modal: &Modal) -> Vec<Vec<f64>> {
    let rows = modal.taps.rows().into_iter();
    let mut taps: Vec<Vec<f64>> = rows.map(|row| row.to_vec()).collect();
    if !modal.poles.is_empty() {
        let columns = modal.residues.columns().into_iter();
        taps.push(columns.map(|r| r.iter().map(|r| r.re).sum()).collect());
    }
    taps
}

/// Taps and residues with `fraction` places, if they and all sums of outputs fit.
fn integers(
    modal: &Modal,
    taps: &[Vec<f64>],
    modes: &[Rounded],
    fraction: i32,
) -> Option<(Vec<i16>, Vec<i32>)> {
    let channels = modal.channels();
    let mut sums = vec![0f64; channels];
    let mut rounded_taps = Vec::new();
    for row in taps {
        for (tap, sum) in row.iter().zip(&mut sums) {
            let tap = integer(tap * f64::from(fraction).exp2())?;
            *sum += INPUT * f64::from(tap).abs();
            rounded_taps.push(tap);
        }
    }
    let mut residues = Vec::new();
    for (k, rounded) in modes.iter().enumerate() {
        let mode = &rounded.mode;
        let unit = f64::from(places(fraction, mode)).exp2();
        let row = modal.residues.row(k);
        for (residue, sum) in row.iter().zip(&mut sums) {
            let residue = residue * rounded.pole * unit;
            let re = integer(residue.re)?;
            let im = if mode.im == 0 && modal.poles[k].im == 0.0 {
                None
            } else {
                Some(integer(residue.im)?)
            };
            let size = f64::from(re).abs() + im.map_or(0.0, |im| f64::from(im).abs());
            *sum += size * rounded.bounds.high as f64;
            // a real mode has the number itself, a complex one its parts in the word's halves
            residues.push(match im {
                None => i32::from(re),
                Some(im) => i32::from(im) << 16 | i32::from(re as u16),
            });
        }
    }
    sums.iter()
        .all(|sum| *sum < LIMIT)
        .then_some((rounded_taps, residues))
}

/// Places of a mode's residues where the output has `fraction` more than the input.
fn places(fraction: i32, mode: &Mode) -> i32 {
    fraction - mode.input as i32 + mode.low as i32
}

/// The pole that a mode has in integers.
fn pole_of(mode: &Mode) -> Complex64 {
    let unit = f64::from(mode.low + mode.down).exp2();
    Complex64::new(f64::from(mode.re), f64::from(mode.im)) / unit + 1.0
}

/// `x` rounded to 16 bits, if it fits.
fn integer(x: f64) -> Option<i16> {
    let x = x.round();
    (x.abs() <= 32_767.0).then_some(x as i16)
}

impl Rounded {
    /// The best of all ways to store a pole.
    fn of(pole: Complex64) -> Option<Self> {
        let candidates = (8..=14).filter_map(|low| Self::with_low(pole, low));
        candidates
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, rounded)| rounded)
    }

    /// The pole with `low` places of the state left out of products, and how bad that is.
    fn with_low(pole: Complex64, low: u32) -> Option<(f64, Self)> {
        let less = pole - 1.0;
        let size = less.re.abs().max(less.im.abs());
        // coefficients have a bit more than the places left out, or products would not fit
        let fits = |down: &u32| size * f64::from(low + down).exp2() <= f64::from(low).exp2();
        let down = (0..=30 - low).rev().find(fits).unwrap_or(0);
        if size * f64::from(low + down).exp2() > 32_766.0 {
            return None;
        }
        let unit = f64::from(low + down).exp2();
        let mut mode = Mode {
            re: (less.re * unit).round() as i32,
            im: (less.im * unit).round() as i32,
            low,
            down,
            input: 0,
            rest: 0,
            high: u32::MAX,
        };
        if pole.im != 0.0 && mode.im == 0 {
            mode.im = pole.im.signum() as i32; // complex modes stay complex
        }
        let bounds = stable(&mut mode)?;
        let found = pole_of(&mode);
        // a pole on the unit circle has no rate of decay to compare with
        let gap = (1.0 - pole.norm()).max(1e-6);
        let alive = bounds.alive as f64 / (bounds.state as f64 * USUAL_STATE);
        let error = (found - pole).norm() / gap;
        if error > LARGEST_ERROR {
            return None;
        }
        let residue = f64::from(-places(USUAL_FRACTION, &mode)).exp2();
        let badness = error + alive + residue;
        let rounded = Self {
            mode,
            bounds,
            pole: found,
        };
        Some((badness, rounded))
    }
}

/// Finds the largest input and the smallest rest with which `mode` is stable, moving its pole
/// inwards by at most a unit a part.
fn stable(mode: &mut Mode) -> Option<Bounds> {
    let (re, im) = (mode.re, mode.im);
    let unit = 1 << (mode.low + mode.down);
    for inwards in 0..=1 {
        mode.re = re - inwards * (unit + re).signum();
        mode.im = im
            - if im.abs() > 1 {
                inwards * im.signum()
            } else {
                0
            };
        for input in (0..=15).rev() {
            (mode.input, mode.rest) = (input, 30);
            if let Some(bounds) = Bounds::of(mode) {
                mode.rest = bounds.alive.next_power_of_two().trailing_zeros();
                mode.high = bounds.high as u32;
                return Bounds::of(mode);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn poles_inside_the_circle_stay_there_and_hardly_move(radius in 0f64..0.999, angle in 0f64..3.1) {
            for pole in [Complex64::from_polar(radius, angle), Complex64::new(radius, 0.0), Complex64::new(-radius, 0.0)] {
                let rounded = Rounded::of(pole).unwrap();
                prop_assert!(rounded.pole.norm() < 1.0);
                // In the stored integers too, where the runtime's own proof that silence ends holds.
                let mode = rounded.mode;
                let unit = 1i64 << (mode.low + mode.down);
                let (re, im) = (unit + i64::from(mode.re), i64::from(mode.im));
                prop_assert!(re * re + im * im < unit * unit);
                prop_assert_eq!(Bounds::of(&mode), Some(rounded.bounds));
                prop_assert!((rounded.pole - pole).norm() < 1e-3, "{pole} {}", rounded.pole);
                prop_assert_eq!(pole.im == 0.0, rounded.mode.im == 0);
            }
        }
    }

    proptest! {
        /// What the integers stand for is the recurrence, lag by lag.
        #[test]
        fn stored_recurrences_are_close(
            taps in 0usize..4,
            poles in prop::collection::vec((0f64..0.9, prop::option::of(0.1f64..3.0)), 0..6),
            numbers in prop::collection::vec(-1f64..1.0, 64),
        ) {
            const CHANNELS: usize = 3;
            let mut numbers = numbers.into_iter().cycle();
            let mut next = || numbers.next().unwrap();
            let mut poles: Vec<_> = poles
                .into_iter()
                .map(|(radius, angle)| Complex64::from_polar(radius, angle.unwrap_or(0.0)))
                .collect();
            poles.sort_by_key(|pole| pole.im != 0.0);
            let taps = Array2::from_shape_fn((taps, CHANNELS), |_| next());
            let residues = Array2::from_shape_fn((poles.len(), CHANNELS), |(k, _)| {
                Complex64::new(next(), if poles[k].im == 0.0 { 0.0 } else { next() })
            });
            let modal = Modal { taps, poles, residues, channel_decay: None };
            let stored = Fixed::of(&modal, 0).unwrap().stored();
            let (lags, rounding) = (0..200, 4e-3 * (1.0 + modal.poles.len() as f64));
            for (is, was) in stored.kernel(lags.clone()).iter().zip(&modal.kernel(lags)) {
                prop_assert!((is - was).abs() < rounding, "{is} {was}");
            }
        }
    }

    #[test]
    fn usual_poles_keep_their_rate_of_decay() {
        for gamma in [0.9f64, 0.99, 0.999, 0.9999] {
            let rounded = Rounded::of(Complex64::new(gamma, 0.0)).unwrap();
            let rate = (1.0 - rounded.pole.re) / (1.0 - gamma);
            assert!((rate - 1.0).abs() < 1e-3, "{gamma}: {rate}");
        }
    }
}
