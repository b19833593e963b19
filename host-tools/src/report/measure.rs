//! What the plots show of a layer, measured on the kernels once more.

use super::data::{Curve, Example, LagError, Layer, Norms, Point};
use crate::convert::layer::LayerConversion;
use crate::convert::measure::{column_sums, reference_squares, squared_norms};
use crate::convert::source::{KernelSource, lags_up_to};
use ndarray::{Array2, ArrayView1, ArrayView2, Axis, s};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::ops::Range;

/// Numbers, lags times channels, that are looked at of a layer. Of larger layers some channels are left out.
const NUMBERS: usize = 1 << 21;

/// Operations, numbers times modes, that f32 kernels may cost.
const WORK: usize = 1 << 28;

/// Places on a lag axis that a doubling of the lag has; below twice as many lags each has its own.
const PLACES: usize = 16;

/// All layers of a conversion, side by side.
pub fn layers<S: KernelSource>(
    sources: &[S],
    converted: &[LayerConversion],
    train_len: usize,
) -> Vec<Layer> {
    sources
        .par_iter()
        .zip(converted)
        .map(|(source, conversion)| layer(source, conversion, train_len))
        .collect()
}

/// A layer: `source`'s kernels beside those of `conversion`, at the lags that it was measured on and at
/// twice the training length if that is more.
pub fn layer(
    source: &(impl KernelSource + ?Sized),
    conversion: &LayerConversion,
    train_len: usize,
) -> Layer {
    let measured = conversion.measured_lags;
    let lags = lags_up_to(source, measured.max(2 * train_len));
    let truth = source.kernel(0..lags);
    let window = truth.slice(s![..measured.min(lags), ..]);
    let norms = [window_l1(window), window_l2(window)];
    let picked = pick(conversion, truth.dim(), &norms[1]);
    let truth = truth.select(Axis(1), &picked);
    let kernels = Kernels {
        channels: &picked,
        realised: realised(conversion, &picked, lags),
        truth,
        measured: measured.min(lags),
        norms: norms.map(|norms| picked.iter().map(|&c| norms[c]).collect()),
    };
    let bound = |bounds: &[f64]| picked.iter().map(|&c| bounds[c]).collect::<Vec<_>>();
    let certificate = &conversion.certificate;
    let [l1, l2] = kernels.errors();
    Layer {
        method: conversion.method.name(),
        taps: conversion.modal.fir_len(),
        order: conversion.modal.order(),
        error: conversion.kernel_error,
        measured_lags: measured,
        hinf: certificate.relative().map(|relative| relative.hinf),
        lower_bound: conversion
            .lower_bound
            .map(|bound| bound / certificate.kernel.hinf)
            .filter(|bound| bound.is_finite()),
        ratio: conversion.ratio(),
        certified_lags: certificate.lags,
        poles: conversion.modal.poles.clone(),
        channel_decay: conversion.modal.channel_decay.is_some(),
        channels: source.channels(),
        looked_at: picked.len(),
        examples: kernels.examples(&l2),
        by_lag: kernels.by_lag(),
        l1: sorted(&bound(&certificate.l1), &l1, &kernels.norms[0]),
        l2: sorted(&bound(&certificate.l2), &l2, &kernels.norms[1]),
    }
}

/// The first `lags` of some channels' kernels, as the model's arithmetic realises them.
fn realised(conversion: &LayerConversion, channels: &[usize], lags: usize) -> Array2<f64> {
    match &conversion.stored {
        Some(stored) => stored.select_channels(channels).kernel(0..lags) * conversion.unit,
        None => {
            let modal = conversion.modal.select_channels(channels);
            let realised = modal.impulse_f32(lags);
            realised.mapv(|x| conversion.unit * f64::from(x))
        }
    }
}

/// What absolute l1 errors are relative to.
fn window_l1(window: ArrayView2<f64>) -> Vec<f64> {
    let norms = column_sums(window, f64::abs);
    let squares: Vec<f64> = norms.iter().map(|x| x * x).collect();
    roots(&reference_squares(&squares))
}

/// What absolute l2 errors are relative to.
fn window_l2(window: ArrayView2<f64>) -> Vec<f64> {
    roots(&reference_squares(&squared_norms(window)))
}

fn roots(squares: &[f64]) -> Vec<f64> {
    squares.iter().map(|x| x.sqrt()).collect()
}

/// The channels to look at, rising: evenly spaced ones, as many as the work allows, and the one with the
/// largest bound.
fn pick(conversion: &LayerConversion, (lags, channels): (usize, usize), l2: &[f64]) -> Vec<usize> {
    let modes = conversion.modal.poles.len().max(1);
    let numbers = NUMBERS.min(WORK / modes);
    let count = (numbers / lags.max(1)).clamp(1, channels);
    let mut picked: BTreeSet<usize> = (0..count).map(|i| i * channels / count).collect();
    let relative = |c: &usize| conversion.certificate.l2[*c] / l2[*c];
    picked.extend((0..channels).max_by(|a, b| relative(a).total_cmp(&relative(b))));
    picked.into_iter().collect()
}

/// Norms as they are plotted.
fn sorted(bounds: &[f64], measured: &[f64], norms: &[f64]) -> Norms {
    let relative = bounds.iter().zip(measured).zip(norms);
    let mut pairs: Vec<(f64, f64)> = relative
        .map(|((b, m), norm)| (b / norm, m / norm))
        .collect();
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (bounds, measured) = pairs.into_iter().unzip();
    Norms { bounds, measured }
}

/// Kernels of some channels.
struct Kernels<'a> {
    /// Their numbers in the layer.
    channels: &'a [usize],
    /// `[lags, channels]`.
    truth: Array2<f64>,
    /// The same from the recurrence.
    realised: Array2<f64>,
    /// Lags that norms and errors are about.
    measured: usize,
    /// l1 and l2 norms of the true kernels.
    norms: [Vec<f64>; 2],
}

impl Kernels<'_> {
    /// Absolute l1 and l2 errors.
    fn errors(&self) -> [Vec<f64>; 2] {
        let window = s![..self.measured, ..];
        let errors = &self.realised.slice(window) - &self.truth.slice(window);
        [
            column_sums(errors.view(), f64::abs),
            roots(&squared_norms(errors.view())),
        ]
    }

    /// The channel of median error and the worst; one channel is both.
    fn examples(&self, errors: &[f64]) -> Vec<Example> {
        let relative: Vec<f64> = errors
            .iter()
            .zip(&self.norms[1])
            .map(|(e, n)| e / n)
            .collect();
        let mut order: Vec<usize> = (0..relative.len()).collect();
        order.sort_by(|a, b| relative[*a].total_cmp(&relative[*b]));
        let example = |why, column: usize| Example {
            why,
            channel: self.channels[column],
            error: relative[column],
            curve: curve(self.truth.column(column), self.realised.column(column)),
        };
        match order[..] {
            [] => Vec::new(),
            [only] => vec![example("its only channel", only)],
            [.., worst] => vec![
                example("the channel of median error", order[(order.len() - 1) / 2]),
                example("the worst channel", worst),
            ],
        }
    }

    fn by_lag(&self) -> Vec<LagError> {
        let norms = &self.norms[1];
        let rms = |places: Range<usize>, value: &dyn Fn((usize, usize)) -> f64| {
            let count = (places.len() * norms.len()).max(1) as f64;
            let square = |lag| {
                let relative = |(c, norm): (usize, &f64)| (value((lag, c)) / norm).powi(2);
                norms.iter().enumerate().map(relative).sum::<f64>()
            };
            (places.map(square).sum::<f64>() / count).sqrt()
        };
        let point = |lags: Range<usize>| LagError {
            lag: lags.start,
            kernel: rms(lags.clone(), &|at| self.truth[at]),
            error: rms(lags, &|at| self.realised[at] - self.truth[at]),
        };
        places(self.truth.nrows()).map(point).collect()
    }
}

/// Lags in groups that fall on about one place of a lag axis: single ones first, then as many to each
/// doubling.
fn places(lags: usize) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let length = (start / PLACES).max(1);
        let range = start..(start + length).min(lags);
        start = range.end;
        (!range.is_empty()).then_some(range)
    })
}

/// The extremes of each of the [`places`], of the kernel and of its error.
fn curve(truth: ArrayView1<f64>, realised: ArrayView1<f64>) -> Curve {
    let mut kept = BTreeSet::new();
    for lags in places(truth.len()) {
        let values: [&dyn Fn(usize) -> f64; 2] =
            [&|i| truth[i], &|i| (realised[i] - truth[i]).abs()];
        for value in values {
            let by_value = |a: &usize, b: &usize| value(*a).total_cmp(&value(*b));
            kept.extend(lags.clone().min_by(by_value));
            kept.extend(lags.clone().max_by(by_value));
        }
    }
    let point = |lag| Point {
        lag,
        truth: truth[lag],
        realised: realised[lag],
    };
    kept.into_iter().map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::layer::{Method, convert_layer};

    #[test]
    fn places_cover_all_lags_once() {
        for lags in [0, 1, 31, 32, 33, 1000, 8192] {
            let all: Vec<Range<usize>> = places(lags).collect();
            assert_eq!(
                all.iter().cloned().flatten().collect::<Vec<_>>(),
                (0..lags).collect::<Vec<_>>()
            );
            assert!(all.len() <= 2 * PLACES + 2 * PLACES * (lags + 1).ilog2() as usize);
        }
        assert!(places(32).all(|range| range.len() == 1));
    }

    #[test]
    fn a_spike_between_places_is_kept() {
        let truth = ndarray::Array1::from_shape_fn(5000, |i| f64::from(u8::from(i == 4321)));
        let realised =
            ndarray::Array1::from_shape_fn(5000, |i| truth[i] + f64::from(u8::from(i == 1234)));
        let curve = curve(truth.view(), realised.view());
        assert!(curve.len() < 700, "{}", curve.len());
        for lag in [1234, 4321] {
            assert!(curve.iter().any(|point| point.lag == lag));
        }
    }

    /// The report measures what the conversion measured, and no measured norm is above its bound.
    #[test]
    fn figures_are_those_of_the_conversion() {
        let kernels = crate::convert::test_kernels::bundled("shakespeare-32x2");
        for source in &kernels {
            let converted = convert_layer(source, &Method::default()).unwrap();
            let shown = layer(source, &converted, 512);
            assert_eq!(shown.looked_at, source.channels());
            let worst = shown.examples.last().unwrap();
            assert!((worst.error / converted.kernel_error.max - 1.0).abs() < 1e-9);
            for norms in [&shown.l1, &shown.l2] {
                for (bound, measured) in norms.bounds.iter().zip(&norms.measured) {
                    // f32 arithmetic adds a little, the bounds are of exact arithmetic
                    assert!(*measured < 1.01 * bound + 1e-6, "{measured} {bound}");
                }
            }
            // sums over the groups of lags are sums over the lags
            let groups = places(shown.measured_lags.max(1024));
            let square: f64 = groups
                .zip(&shown.by_lag)
                .map(|(g, e)| g.len() as f64 * e.error.powi(2))
                .sum();
            assert!((square.sqrt() / converted.kernel_error.rms - 1.0).abs() < 1e-3);
        }
    }
}
