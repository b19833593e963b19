//! How far a recurrence's kernels are from the true ones, at most, and for ever.
//!
//! The recurrence is the stored one: its numbers rounded to those of the contract, its arithmetic exact. With
//! `e(i) = realised(i) - true(i)` in a channel:
//!
//! * `l1 = sum |e(i)|` bounds the output's error where inputs are within [-1, 1], and an input that is
//!   `sign e` backwards reaches it;
//! * `l2`, the root of `sum e(i)^2`, bounds a single output's error where the input's energy is 1;
//! * `hinf`, the largest `|E(w)|` over frequencies, bounds the energy of the output's error where
//!   the input's energy is 1.
//!
//! The first lags are summed up in f64, with an allowance for its rounding. Behind them comes `bound * gamma^i` for the true kernel (the
//! RPE's last block is normalized, so its output is bounded), or the rest of a kernel that ends, and `sum |residue| |pole|^i` for the
//! realised one. A polynomial of degree `n - 1` exceeds its largest value at `L` evenly spaced points
//! of the circle by a factor of `1 / cos(pi (n - 1) / (2 L))` at most (M. Riesz 1914), which makes
//! peaks over an FFT's frequencies peaks over all.

use super::measure::{column_sums, reference_squares, squared_norms};
use super::modal::Modal;
use super::source::{KernelSource, lags_up_to};
use ndarray::{Array2, ArrayView2, Axis};
use rayon::prelude::*;
use serde::Serialize;
use std::f64::consts::FRAC_PI_2;

/// Lags behind which nothing is summed up any more.
const MAX_LAGS: usize = 1 << 16;

/// Lags that are evaluated at a time.
const CHUNK: usize = 1024;

/// Operations, besides those that grow with the lag, whose rounding errors may add up.
const ROUNDINGS: usize = 64;

/// Channels whose spectra are taken one after the other.
const COLUMNS: usize = 32;

/// What the analytic tail may add to the sums before more lags are summed up.
const NEGLIGIBLE: f64 = 0.01;

/// FFT lengths as multiples of the lags, and the lags up to which the finer one is taken.
const OVERSAMPLING: [usize; 2] = [8, 4];
const FINE: usize = 1 << 14;

/// Bounds of one layer's kernel error.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Certificate {
    /// A bound of `sum |e(i)|` a channel.
    pub l1: Vec<f64>,
    /// A bound of the root of `sum e(i)^2` a channel.
    pub l2: Vec<f64>,
    /// A bound of the largest `|E(w)|` a channel.
    pub hinf_channels: Vec<f64>,
    /// A bound of the largest Euclidean norm over channels of `E(w)`: of the layer's error as an
    /// operator with one input and many outputs.
    pub hinf: f64,
    /// Lags that the bounds are about; none where they hold for ever.
    pub lags: Option<usize>,
    /// What they are relative to.
    pub kernel: Norms,
}

/// Norms of the true kernels over the lags that were looked at, raised where a channel is
/// [quiet](super::measure::QUIET).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Norms {
    /// Of `|k(i)|`, summed up, a channel.
    pub l1: Vec<f64>,
    /// The root of the sum of `k(i)^2`, a channel.
    pub l2: Vec<f64>,
    /// The largest Euclidean norm over channels of the transform, at the frequencies of an FFT: at most what it is
    /// anywhere.
    pub hinf: f64,
}

/// The bounds of a [`Certificate`], as shares of the kernel's norms.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Relative {
    /// Of the worst channel.
    pub l1: f64,
    /// Of the worst channel.
    pub l2: f64,
    /// Of the layer as one operator.
    pub hinf: f64,
}

impl Norms {
    /// Of `truth` `[lags, channels]`, not all of it zero.
    fn new(truth: ArrayView2<f64>) -> Self {
        let raised = |norms: Vec<f64>| -> Vec<f64> {
            let squares: Vec<f64> = norms.iter().map(|x| x * x).collect();
            reference_squares(&squares)
                .iter()
                .map(|x| x.sqrt())
                .collect()
        };
        let length = truth.nrows().next_power_of_two().max(2);
        Self {
            l1: raised(column_sums(truth, f64::abs)),
            l2: raised(squared_norms(truth).iter().map(|x| x.sqrt()).collect()),
            hinf: peaks_of_fft(truth, length).1,
        }
    }
}

impl Certificate {
    /// Certifies `modal`, rounded to f32, against `source`; `truth` `[lags, channels]` are its first
    /// lags.
    pub fn new(
        modal: &Modal,
        source: &(impl KernelSource + ?Sized),
        truth: ArrayView2<f64>,
    ) -> Self {
        Self::of_stored(&modal.to_f32_safe(), source, truth)
    }

    /// Certifies `modal` as it is.
    pub fn of_stored(
        modal: &Modal,
        source: &(impl KernelSource + ?Sized),
        truth: ArrayView2<f64>,
    ) -> Self {
        let mut sums = Sums::of_window(modal, truth);
        let end = lags_up_to(source, MAX_LAGS);
        loop {
            let tail = source.tail_bound(sums.lags).and_then(|theirs| {
                let ours = modal.modes_l1(sums.lags, usize::MAX);
                let tail: Vec<f64> = theirs.iter().zip(&ours).map(|(a, b)| a + b).collect();
                tail.iter().all(|t| t.is_finite()).then_some(tail)
            });
            match &tail {
                // where nothing is known of all the rest, as much as is fitted is enough
                None => return sums.finish(modal, None),
                Some(tail) if sums.hides(tail) || sums.lags >= end => {
                    return sums.finish(modal, Some(tail));
                }
                Some(_) => {}
            }
            let next = (sums.lags + CHUNK).min(end);
            let lags = sums.lags..next;
            sums.add(&modal.kernel(lags.clone()), &source.kernel(lags));
        }
    }

    /// Certifies `modal`, rounded to f32, for the lags of `truth` `[lags, channels]` alone.
    pub fn of_window(modal: &Modal, truth: ArrayView2<f64>) -> Self {
        Self::of_stored_window(&modal.to_f32_safe(), truth)
    }

    /// Certifies `modal` as it is for the lags of `truth` `[lags, channels]` alone.
    pub fn of_stored_window(modal: &Modal, truth: ArrayView2<f64>) -> Self {
        Sums::of_window(modal, truth).finish(modal, None)
    }

    /// The same of a kernel and a recurrence that are `unit` times as large.
    pub fn in_units_of(mut self, unit: f64) -> Self {
        let Norms { l1, l2, hinf } = &mut self.kernel;
        let channels = [&mut self.l1, &mut self.l2, &mut self.hinf_channels, l1, l2];
        let layer = [&mut self.hinf, hinf];
        for number in channels.into_iter().flatten().chain(layer) {
            *number *= unit;
        }
        self
    }

    /// The bounds as shares of the kernel's norms; nothing of a kernel that is zero.
    pub fn relative(&self) -> Option<Relative> {
        let worst = |bounds: &[f64], norms: &[f64]| {
            let shares = bounds.iter().zip(norms).map(|(bound, norm)| bound / norm);
            shares.fold(0.0, f64::max)
        };
        (self.kernel.hinf > 0.0).then(|| Relative {
            l1: worst(&self.l1, &self.kernel.l1),
            l2: worst(&self.l2, &self.kernel.l2),
            hinf: self.hinf / self.kernel.hinf,
        })
    }

    /// The worst channel's [`l1`](Self::l1).
    pub fn worst_l1(&self) -> f64 {
        largest(&self.l1)
    }

    /// The worst channel's [`l2`](Self::l2).
    pub fn worst_l2(&self) -> f64 {
        largest(&self.l2)
    }
}

fn largest(numbers: &[f64]) -> f64 {
    numbers.iter().copied().fold(0.0, f64::max)
}

/// Sums over the lags looked at so far, a channel each.
struct Sums {
    lags: usize,
    /// Of `|e(i)|`.
    l1: Vec<f64>,
    /// Of `e(i)^2`.
    squares: Vec<f64>,
    /// Of the true kernel's `|k(i)|`.
    mass: Vec<f64>,
    /// Bounds of `|E(w)|` from the window, and what later lags add at most.
    peaks: Vec<f64>,
    /// The same for the Euclidean norm over channels.
    peak: f64,
    /// Of the true kernel in the window.
    kernel: Norms,
}

impl Sums {
    fn of_window(modal: &Modal, truth: ArrayView2<f64>) -> Self {
        let errors = modal.kernel(0..truth.nrows()) - truth;
        let (peaks, peak) = peaks(&errors);
        Self {
            lags: truth.nrows(),
            l1: column_sums(errors.view(), f64::abs),
            squares: column_sums(errors.view(), |e| e * e),
            mass: column_sums(truth, f64::abs),
            peaks,
            peak,
            kernel: Norms::new(truth),
        }
    }

    /// Takes the next lags.
    fn add(&mut self, realised: &Array2<f64>, truth: &Array2<f64>) {
        let errors = realised - truth;
        let add = |to: &mut Vec<f64>, more: Vec<f64>| {
            to.iter_mut().zip(more).for_each(|(to, x)| *to += x);
        };
        let l1 = column_sums(errors.view(), f64::abs);
        add(&mut self.peaks, l1.clone());
        add(&mut self.l1, l1);
        add(&mut self.squares, column_sums(errors.view(), |e| e * e));
        add(&mut self.mass, column_sums(truth.view(), f64::abs));
        self.peak += errors.outer_iter().map(|row| norm(row.iter())).sum::<f64>();
        self.lags += truth.nrows();
    }

    /// Whether `tail` adds next to nothing.
    fn hides(&self, tail: &[f64]) -> bool {
        let mean = self.l1.iter().sum::<f64>() / self.l1.len().max(1) as f64;
        let small = |(tail, l1): (&f64, &f64)| *tail <= NEGLIGIBLE * l1.max(0.1 * mean);
        tail.iter().zip(&self.l1).all(small)
    }

    /// The bounds, for ever where the sum of all later `|e(i)|` is at most `tail`.
    fn finish(self, modal: &Modal, tail: Option<&[f64]>) -> Certificate {
        let modes = modal.modes_l1(0, self.lags);
        // of a product or power of f64 at these lags
        let rounding = (self.lags + ROUNDINGS) as f64 * f64::EPSILON;
        let rest: Vec<f64> = (0..self.l1.len())
            .map(|c| tail.map_or(0.0, |t| t[c]) + rounding * (self.mass[c] + modes[c]))
            .collect();
        let plus =
            |sums: &[f64]| -> Vec<f64> { sums.iter().zip(&rest).map(|(a, b)| a + b).collect() };
        let norms: Vec<f64> = self.squares.iter().map(|x| x.sqrt()).collect();
        let l1 = plus(&self.l1);
        Certificate {
            hinf_channels: (plus(&self.peaks).iter().zip(&l1))
                .map(|(peak, l1)| peak.min(*l1))
                .collect(),
            hinf: self.peak + norm(rest.iter()),
            l2: plus(&norms),
            l1,
            lags: tail.is_none().then_some(self.lags),
            kernel: self.kernel,
        }
    }
}

fn norm<'a>(numbers: impl Iterator<Item = &'a f64>) -> f64 {
    numbers.map(|x| x * x).sum::<f64>().sqrt()
}

/// Bounds of `|E(w)|` over all frequencies, of each column of `errors` `[lags, channels]`, and of its
/// Euclidean norm over columns.
fn peaks(errors: &Array2<f64>) -> (Vec<f64>, f64) {
    let lags = errors.nrows();
    let oversampling = OVERSAMPLING[usize::from(lags > FINE)];
    let length = (oversampling * lags).next_power_of_two().max(2);
    let between = 1.0 / (FRAC_PI_2 * lags.saturating_sub(1) as f64 / length as f64).cos();
    let (mut peaks, all) = peaks_of_fft(errors.view(), length);
    peaks.iter_mut().for_each(|peak| *peak *= between);
    (peaks, all * between)
}

/// The largest `|E(w)|` over the frequencies of an FFT of `length`, of each column of `signals` `[lags, channels]`, and of
/// its Euclidean norm over columns.
fn peaks_of_fft(signals: ArrayView2<f64>, length: usize) -> (Vec<f64>, f64) {
    let plan = toeplite_fft::plan::<f64>(length);
    let part = |columns: ArrayView2<f64>| {
        let (mut x, mut spectrum) = (
            plan.forward.make_input_vec(),
            plan.forward.make_output_vec(),
        );
        let (mut peaks, mut totals) = (Vec::new(), vec![0.0; spectrum.len()]);
        for column in columns.columns() {
            x.fill(0.0);
            x.iter_mut().zip(column).for_each(|(to, e)| *to = *e);
            plan.forward
                .process(&mut x, &mut spectrum)
                .expect("buffers of the plan's own lengths");
            let squares = spectrum.iter().map(|z| z.norm_sqr());
            peaks.push(squares.clone().fold(0.0, f64::max).sqrt());
            totals
                .iter_mut()
                .zip(squares)
                .for_each(|(sum, x)| *sum += x);
        }
        (peaks, totals)
    };
    let columns: Vec<ArrayView2<f64>> = signals.axis_chunks_iter(Axis(1), COLUMNS).collect();
    let parts: Vec<(Vec<f64>, Vec<f64>)> = columns.into_par_iter().map(part).collect();
    let mut totals = vec![0.0; length / 2 + 1];
    for (_, more) in &parts {
        totals.iter_mut().zip(more).for_each(|(sum, x)| *sum += x);
    }
    let peaks = parts.into_iter().flat_map(|(peaks, _)| peaks).collect();
    (peaks, largest(&totals).sqrt())
}

#[cfg(test)]
mod tests {
    use super::super::layer::{Method, convert_layer};
    use super::super::search::Search;
    use super::super::test_kernels::bundled;
    use super::*;

    fn reduced(source: &impl KernelSource, taps: usize, order: usize) -> (Modal, Certificate) {
        let search = Search {
            taps: Some(taps),
            order: Some(order),
            ..Search::default()
        };
        let layer = convert_layer(source, &Method::Reduced(search)).unwrap();
        (layer.modal.to_f32_safe(), layer.certificate)
    }

    /// Inputs made to hurt: the error's own signs, the error itself, and its worst frequency.
    #[test]
    fn adversarial_inputs_reach_the_bounds_and_never_beat_them() {
        for (index, layer) in bundled("shakespeare-64x9").iter().enumerate().skip(2) {
            let (form, certificate) = reduced(layer, 4, 6);
            assert_eq!(certificate.lags, None);
            let lags = 6000;
            let errors = form.kernel(0..lags) - layer.kernel(0..lags);
            for c in (0..errors.ncols()).step_by(7) {
                let e = errors.index_axis(Axis(1), c);
                let l1: f64 = e.iter().map(|x| x.abs()).sum();
                let l2 = norm(e.iter());
                for (bound, reached) in [(certificate.l1[c], l1), (certificate.l2[c], l2)] {
                    assert!(
                        reached <= bound && bound < 1.05 * reached,
                        "layer {index}: {reached} {bound}"
                    );
                }
                for turn in [0.0, 0.001, 0.01, 0.1, 0.5, 1.5, 3.1] {
                    let at = |f: fn(f64) -> f64| -> f64 {
                        e.iter()
                            .enumerate()
                            .map(|(i, x)| x * f(turn * i as f64))
                            .sum()
                    };
                    assert!(at(f64::cos).hypot(at(f64::sin)) <= certificate.hinf_channels[c]);
                }
            }
            let mean: Vec<f64> = (0..errors.ncols())
                .map(|c| errors.column(c).sum())
                .collect();
            assert!(norm(mean.iter()) <= certificate.hinf);
        }
    }

    #[test]
    fn peaks_between_the_frequencies_of_the_fft_are_within_the_bound() {
        // the peak of a cosine that fits no FFT is between two of its bins
        for lags in [1, 2, 3, 17, 100] {
            for turn in [0.0, 0.3, 1.0, 1.234, 3.0] {
                let e = Array2::from_shape_fn((lags, 1), |(i, _)| (turn * i as f64).cos());
                let at = |w: f64| {
                    let z: num_complex::Complex64 = (0..lags)
                        .map(|i| num_complex::Complex64::from_polar(e[[i, 0]], -w * i as f64))
                        .sum();
                    z.norm()
                };
                let (channels, all) = peaks(&e);
                let fine = (0..20_000)
                    .map(|k| at(k as f64 * 1.6e-4))
                    .fold(0.0, f64::max);
                assert!(
                    fine <= all * (1.0 + 1e-12) && all < 1.021 * fine,
                    "{lags} {turn}: {fine} {all}"
                );
                assert_eq!(channels, [all]);
            }
        }
    }

    #[test]
    fn a_table_is_certified_as_far_as_it_goes() {
        let table =
            Array2::from_shape_fn((300, 2), |(i, c)| 0.97f64.powi(i as i32) * (c + 1) as f64);
        let (_, certificate) = reduced(&table, 0, 1);
        assert_eq!(certificate.lags, Some(300));
        assert!(certificate.worst_l1() < 1e-3);
    }

    /// Without decay there is no bound for ever, with a slow one there is.
    #[test]
    fn the_tail_is_bounded_where_the_kernel_decays() {
        let mut layer = bundled("shakespeare-32x2").swap_remove(1);
        layer.gamma.fill(1.0);
        assert!(reduced(&layer, 4, 8).1.lags.is_some());
        layer.gamma.fill(0.999);
        let (form, certificate) = reduced(&layer, 4, 8);
        assert_eq!(certificate.lags, None);
        let errors = form.kernel(0..60_000) - layer.kernel(0..60_000);
        for (c, bound) in certificate.l1.iter().enumerate() {
            let l1: f64 = errors.column(c).iter().map(|x| x.abs()).sum();
            assert!(l1 <= *bound && *bound < 1.3 * l1, "{l1} {bound}");
        }
    }

    /// All that a table has counts, however late it comes.
    #[test]
    fn late_lags_of_a_table_are_measured_and_certified() {
        let mut kernel = Array2::zeros((9000, 1));
        kernel[[0, 0]] = 1.0;
        kernel[[8900, 0]] = 1.0;
        let search = Search {
            taps: Some(4),
            order: Some(2),
            ..Search::default()
        };
        let conversion = convert_layer(&kernel, &Method::Reduced(search)).unwrap();
        assert_eq!(conversion.measured_lags, 9000);
        assert!(conversion.kernel_error.max > 0.5);
        assert!(conversion.certificate.l1[0] > 0.5);
        // past what counts as died out
        let fading = Array2::from_shape_fn((3000, 1), |(i, _)| {
            0.5f64.powi(i as i32) + 3e-9 * 0.9995f64.powi(i as i32)
        });
        let conversion = convert_layer(&fading, &Method::default()).unwrap();
        let stored = conversion.modal.to_f32_safe().kernel(0..3000);
        let l1: f64 = (&stored - &fading).iter().map(|x| x.abs()).sum();
        let bound = conversion.certificate.l1[0];
        assert!(l1 <= bound * (1.0 + 1e-12), "{l1} {bound}");
    }
}
