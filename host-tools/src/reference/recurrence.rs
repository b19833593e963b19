//! Token mixing by the recurrence that a conversion gives: a FIR head and a bank of modes.

use super::error::expect_len;
use super::mix::{Mix, expect_same_channels};
use super::{Real, ReferenceError};
use crate::convert::modal::Modal;
use ndarray::{Array2, ArrayView2, ArrayViewMut2, s};
use num_complex::Complex64;
use std::ops::Range;

/// Channels stepped together: a bank's states and coefficients then stay in the fastest cache.
const BLOCK: usize = 64;

/// Every layer's [`Modal`] stepped position by position in `T`, from a state of zero at the
/// start of the sequence.
///
/// A mode's state is `s <- pole * s + v[i - M]` after a head of `M` taps, and the output
/// `y[i] = sum_m taps[m] v[i - m] + Re sum_k residues[k] s_k`.
#[derive(Clone, Debug)]
pub struct ModalMix<T> {
    /// `[layer][block of channels]`.
    layers: Vec<Vec<Bank<T>>>,
    channels: usize,
}

impl<T: Real> ModalMix<T> {
    /// The recurrences of all layers, in order; coefficients are rounded to `T` once, here.
    ///
    /// # Errors
    /// There are none, they differ in channels, or the parts of one contradict each other.
    pub fn new(layers: &[Modal]) -> Result<Self, ReferenceError> {
        expect_same_channels(layers.iter().map(|modal| modal.taps.ncols()))?;
        for (layer, modal) in layers.iter().enumerate() {
            check(layer, modal)?;
        }
        let channels = layers[0].taps.ncols();
        let blocks = |modal| {
            let starts = (0..channels).step_by(BLOCK);
            let ranges = starts.map(|start| start..(start + BLOCK).min(channels));
            ranges.map(|range| Bank::new(modal, range)).collect()
        };
        Ok(Self {
            layers: layers.iter().map(blocks).collect(),
            channels,
        })
    }
}

impl<T: Real> Mix<T> for ModalMix<T> {
    fn layers(&self) -> usize {
        self.layers.len()
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn mix(&self, layer: usize, v: ArrayView2<T>) -> Array2<T> {
        assert_eq!(v.ncols(), self.channels, "channels");
        let mut y = Array2::zeros(v.dim());
        // A copy of the block's columns makes every step read and write plain slices.
        for bank in &self.layers[layer] {
            let v = v.slice(s![.., bank.channels.clone()]);
            let v = v.as_standard_layout();
            bank.run(v.view(), y.slice_mut(s![.., bank.channels.clone()]));
        }
        y
    }
}

/// The sum of a recurrence from the first position to the last and one from the last to the first, whose kernel at
/// index `i` is the operator's at lag `-1 - i`.
#[derive(Clone, Debug)]
pub struct TwoSidedMix<T> {
    forward: ModalMix<T>,
    backward: ModalMix<T>,
}

impl<T: Real> TwoSidedMix<T> {
    /// # Errors
    /// The two differ in layers or channels.
    pub fn new(forward: ModalMix<T>, backward: ModalMix<T>) -> Result<Self, ReferenceError> {
        expect_len(0, "backward layers", forward.layers(), backward.layers())?;
        expect_len(0, "backward channels", forward.channels, backward.channels)?;
        Ok(Self { forward, backward })
    }
}

impl<T: Real> Mix<T> for TwoSidedMix<T> {
    fn layers(&self) -> usize {
        self.forward.layers()
    }

    fn channels(&self) -> usize {
        self.forward.channels
    }

    fn mix(&self, layer: usize, v: ArrayView2<T>) -> Array2<T> {
        let mut y = self.forward.mix(layer, v);
        let back = self.backward.mix(layer, v.slice(s![..;-1, ..]));
        // what comes out at a position is of those after it
        let last = y.nrows().saturating_sub(1);
        let mut before = y.slice_mut(s![..last, ..]);
        before += &back.slice(s![..last;-1, ..]);
        y
    }
}

fn check(layer: usize, modal: &Modal) -> Result<(), ReferenceError> {
    let (modes, channels) = (modal.poles.len(), modal.taps.ncols());
    expect_len(layer, "rows of residues", modes, modal.residues.nrows())?;
    expect_len(
        layer,
        "columns of residues",
        channels,
        modal.residues.ncols(),
    )?;
    match &modal.channel_decay {
        Some(decay) => expect_len(layer, "channel_decay", channels, decay.len()),
        None => Ok(()),
    }
}

/// One block of channels of a layer. All matrices are flat, a row of `channels` numbers a tap or
/// mode.
#[derive(Clone, Debug)]
struct Bank<T> {
    channels: Range<usize>,
    taps: Vec<T>,
    real: RealModes<T>,
    complex: ComplexModes<T>,
}

#[derive(Clone, Debug, Default)]
struct RealModes<T> {
    pole: Vec<T>,
    residue: Vec<T>,
}

#[derive(Clone, Debug, Default)]
struct ComplexModes<T> {
    pole_re: Vec<T>,
    pole_im: Vec<T>,
    residue_re: Vec<T>,
    residue_im: Vec<T>,
}

impl<T: Real> Bank<T> {
    fn new(modal: &Modal, channels: Range<usize>) -> Self {
        let taps = modal.taps.slice(s![.., channels.clone()]);
        let mut bank = Self {
            channels: channels.clone(),
            taps: taps.iter().map(|&tap| T::of(tap)).collect(),
            real: RealModes::default(),
            complex: ComplexModes::default(),
        };
        for (residues, &pole) in modal.residues.rows().into_iter().zip(&modal.poles) {
            for channel in channels.clone() {
                let decay = modal.channel_decay.as_ref().map_or(1.0, |d| d[channel]);
                bank.push(pole, pole * decay, residues[channel]);
            }
        }
        bank
    }

    /// Adds one channel of a mode; whether the mode is real is the shared pole's to say.
    fn push(&mut self, shared: Complex64, pole: Complex64, residue: Complex64) {
        if shared.im == 0.0 {
            self.real.pole.push(T::of(pole.re));
            self.real.residue.push(T::of(residue.re));
        } else {
            self.complex.pole_re.push(T::of(pole.re));
            self.complex.pole_im.push(T::of(pole.im));
            self.complex.residue_re.push(T::of(residue.re));
            self.complex.residue_im.push(T::of(residue.im));
        }
    }

    /// Steps through `v` `[n, block]`, which is contiguous, into `y` of the same shape.
    fn run(&self, v: ArrayView2<T>, mut y: ArrayViewMut2<T>) {
        let width = self.channels.len();
        let v = v.as_slice().expect("the caller made it contiguous");
        let head = self.taps.len() / width;
        let mut real = vec![T::zero(); self.real.pole.len()];
        let mut re = vec![T::zero(); self.complex.pole_re.len()];
        let mut im = re.clone();
        for (i, mut y) in y.rows_mut().into_iter().enumerate() {
            let y = y.as_slice_mut().expect("rows are contiguous");
            let past = v[..(i + 1) * width].chunks_exact(width).rev();
            for (tap, v) in self.taps.chunks_exact(width).zip(past) {
                add_product(y, tap, v);
            }
            if let Some(delayed) = i.checked_sub(head) {
                let v = &v[delayed * width..][..width];
                self.real.step(&mut real, v, y);
                self.complex.step(&mut re, &mut im, v, y);
            }
        }
    }
}

fn add_product<T: Real>(y: &mut [T], a: &[T], v: &[T]) {
    for ((y, &a), &v) in y.iter_mut().zip(a).zip(v) {
        *y += a * v;
    }
}

impl<T: Real> RealModes<T> {
    /// Steps all modes with input `v` and adds their outputs to `y`.
    fn step(&self, state: &mut [T], v: &[T], y: &mut [T]) {
        let width = v.len();
        for ((state, pole), residue) in state
            .chunks_exact_mut(width)
            .zip(self.pole.chunks_exact(width))
            .zip(self.residue.chunks_exact(width))
        {
            for ((((s, &p), &r), &v), y) in
                state.iter_mut().zip(pole).zip(residue).zip(v).zip(&mut *y)
            {
                *s = p * *s + v;
                *y += r * *s;
            }
        }
    }
}

impl<T: Real> ComplexModes<T> {
    /// Steps all modes with input `v` and adds the real parts of their outputs to `y`.
    fn step(&self, re: &mut [T], im: &mut [T], v: &[T], y: &mut [T]) {
        let width = v.len();
        let modes = re.chunks_exact_mut(width).zip(im.chunks_exact_mut(width));
        for (mode, (re, im)) in modes.enumerate() {
            let row = mode * width..(mode + 1) * width;
            let poles = self.pole_re[row.clone()]
                .iter()
                .zip(&self.pole_im[row.clone()]);
            let residues = self.residue_re[row.clone()]
                .iter()
                .zip(&self.residue_im[row]);
            let state = re.iter_mut().zip(im.iter_mut());
            let coefficients = poles.zip(residues);
            for (((re, im), ((&pr, &pi), (&rr, &ri))), (&v, y)) in
                state.zip(coefficients).zip(v.iter().zip(&mut *y))
            {
                (*re, *im) = (pr * *re - pi * *im + v, pr * *im + pi * *re);
                *y += rr * *re - ri * *im;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mix::{FftMix, Given};
    use super::super::product::{Kernel, dense};
    use super::*;
    use proptest::prelude::*;

    /// The kernel that a modal form stands for, by its definition.
    fn kernel(modal: &Modal, lags: usize) -> Array2<f64> {
        let head = modal.taps.nrows();
        Array2::from_shape_fn((lags, modal.taps.ncols()), |(i, c)| {
            if i < head {
                return modal.taps[[i, c]];
            }
            let decay = modal.channel_decay.as_ref().map_or(1.0, |d| d[c]);
            let mode = |k: usize| {
                modal.residues[[k, c]] * (modal.poles[k] * decay).powu((i - head) as u32)
            };
            (0..modal.poles.len()).map(|k| mode(k).re).sum()
        })
    }

    prop_compose! {
        fn modal()(head in 0usize..6, modes in 0usize..5, channels in 1usize..80, decayed in any::<bool>())(
            taps in prop::collection::vec(-1.0..1.0, head * channels),
            poles in prop::collection::vec((0.0..0.98, prop_oneof![Just(0.0), -3.0..3.0]), modes),
            residues in prop::collection::vec((-1.0..1.0, -1.0..1.0), modes * channels),
            decay in prop::collection::vec(0.9..1.0, channels),
            (head, modes, channels, decayed) in Just((head, modes, channels, decayed)),
        ) -> Modal {
            let residues: Vec<_> = residues.into_iter().map(|(re, im)| Complex64::new(re, im)).collect();
            Modal {
                taps: Array2::from_shape_vec((head, channels), taps).unwrap(),
                poles: poles.into_iter().map(|(r, angle)| Complex64::from_polar(r, angle)).collect(),
                residues: Array2::from_shape_vec((modes, channels), residues).unwrap(),
                channel_decay: decayed.then_some(decay),
            }
        }
    }

    proptest! {
        #[test]
        fn stepping_is_the_convolution(modal in modal(), n in 1usize..60, seed in any::<u32>()) {
            let channels = modal.taps.ncols();
            let v = Array2::from_shape_fn((n, channels), |(i, c)| {
                ((i * 31 + c * 17 + seed as usize) % 101) as f64 / 50.0 - 1.0
            });
            let given = Given::new(&[kernel(&modal, n)]).unwrap();
            let want = FftMix::<f64, _>::new(given).mix(0, v.view());
            let got = ModalMix::<f64>::new(std::slice::from_ref(&modal)).unwrap().mix(0, v.view());
            for (got, want) in got.iter().zip(&want) {
                prop_assert!((got - want).abs() < 1e-10, "{} {}", got, want);
            }
            let single = ModalMix::<f32>::new(&[modal]).unwrap().mix(0, v.mapv(|v| v as f32).view());
            for (got, want) in single.iter().zip(&want) {
                prop_assert!((f64::from(*got) - want).abs() < 1e-3, "{} {}", got, want);
            }
        }
    }

    proptest! {
        #[test]
        fn two_sides_are_the_convolution_over_lags_of_both_signs(
            (forward, backward) in (modal(), modal()),
            n in 1usize..40,
        ) {
            let channels = forward.channels().min(backward.channels());
            let first: Vec<usize> = (0..channels).collect();
            let [forward, backward] = [forward, backward].map(|m| m.select_channels(&first));
            let v = Array2::from_shape_fn((n, channels), |(i, c)| ((i * 31 + c * 17) % 101) as f64 - 50.0);
            let below = kernel(&backward, n - 1);
            let sides = [below.slice(s![..;-1, ..]), kernel(&forward, n).view()].map(|x| x.to_owned());
            let views = [sides[0].view(), sides[1].view()];
            let whole = Kernel {
                coefficients: ndarray::concatenate(ndarray::Axis(0), &views).unwrap(),
                first_lag: 1 - n as i64,
            };
            let [forward, backward] = [forward, backward].map(|m| ModalMix::<f64>::new(&[m]).unwrap());
            let got = TwoSidedMix::new(forward, backward).unwrap().mix(0, v.view());
            for (got, want) in got.iter().zip(&dense(&whole, v.view())) {
                prop_assert!((got - want).abs() < 1e-8, "{} {}", got, want);
            }
        }
    }

    #[test]
    fn contradicting_parts_are_refused() {
        let modal = Modal {
            taps: Array2::zeros((2, 3)),
            poles: vec![Complex64::new(0.5, 0.0)],
            residues: Array2::zeros((1, 4)),
            channel_decay: None,
        };
        let error = ModalMix::<f32>::new(&[modal]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "layer 0: `columns of residues` has 4 where 3 are needed"
        );
        let none = ModalMix::<f32>::new(&[]).unwrap_err();
        assert_eq!(none, ReferenceError::Zero { what: "layers" });
    }
}
