//! The plots of one layer.

use super::super::axis::{Axis, Scale};
use super::super::data::{Example, LagError, Layer, Norms, Point};
use super::super::plot::{Area, Figure, Frame, Table};
use super::{BOTTOM, DECADES, LEFT, TOP, WIDTH, error, half, size, whole};
use maud::html;
use num_complex::Complex64;
use std::f64::consts::TAU;

/// Most poles that are told one by one.
const POLES: usize = 64;

/// Cycles a lag around which the axis of frequencies is even.
const SLOW: f64 = 1e-3;

/// A layer's plots; `trained_at` is marked on axes of lags.
pub fn figures(index: usize, layer: &Layer, trained_at: Option<usize>) -> Vec<Figure<'static>> {
    let kernels = layer.examples.iter().enumerate();
    let mut figures: Vec<_> = kernels
        .map(|(number, example)| {
            kernel(
                &format!("layer-{index}-kernel-{number}"),
                example,
                trained_at,
            )
        })
        .collect();
    figures.push(by_lag(index, layer, trained_at));
    if !layer.poles.is_empty() {
        figures.push(poles(index, layer));
    }
    figures.push(certificate(index, layer));
    figures
}

/// A mark at the training length, if it is on the axis; `says` stands beside it.
fn training_length(
    frame: &Frame,
    trained_at: Option<usize>,
    lags: usize,
    says: &str,
) -> maud::Markup {
    html! {
        @if let Some(length) = trained_at.filter(|length| *length < lags) {
            (frame.upright("limit", length as f64, says))
        }
    }
}

/// Rows at the lags 0, 1, 2, 4, ...: enough to follow a curve by.
fn at_powers_of_two<P>(
    points: &[P],
    lag: impl Fn(&P) -> usize,
    row: impl Fn(&P) -> Vec<String>,
) -> Vec<Vec<String>> {
    let mut next = 0;
    let mut rows = Vec::new();
    for point in points {
        if lag(point) >= next {
            rows.push(row(point));
            next = (2 * lag(point)).max(1);
        }
    }
    rows
}

/// A kernel and its fit, and the error below.
fn kernel(id: &str, example: &Example, trained_at: Option<usize>) -> Figure<'static> {
    let (above, below) = (170.0, 90.0);
    let curve = &example.curve;
    let lags = curve.last().map_or(0, |point| point.lag + 1);
    let deviation = |p: &Point| (p.realised - p.truth).abs();
    let fit = Frame {
        area: whole(above),
        x: Axis::lags(lags),
        y: Axis::around(curve.iter().flat_map(|p| [p.truth, p.realised])),
    };
    let errors = Frame {
        area: Area {
            top: TOP + above + 18.0,
            ..whole(below)
        },
        x: fit.x,
        y: Axis::decades(curve.iter().map(deviation), DECADES),
    };
    let line = |of: fn(&Point) -> f64| curve.iter().map(move |p| (p.lag as f64, of(p)));
    let drawing = html! {
        (fit.axes("", "kernel"))
        (fit.line("truth", line(|p| p.truth)))
        (fit.line("realised", line(|p| p.realised)))
        (training_length(&fit, trained_at, lags, ""))
        (errors.axes("lag", "error"))
        (errors.line("error", line(|p| (p.realised - p.truth).abs())))
        (training_length(&errors, trained_at, lags, "training length"))
    };
    let row = |p: &Point| {
        vec![
            p.lag.to_string(),
            format!("{:.6}", p.truth),
            format!("{:.6}", p.realised),
            error(deviation(p)),
        ]
    };
    Figure {
        id: id.into(),
        title: format!(
            "Channel {}, {}: {} of its norm",
            example.channel,
            example.why,
            error(example.error)
        ),
        text: "The kernel and the one that the recurrence realises in f32 arithmetic; below, how far they are apart.",
        legend: vec![
            ("truth", "true kernel".into()),
            ("realised", "realised".into()),
            ("error", "absolute difference".into()),
        ],
        size: (WIDTH, TOP + above + 18.0 + below + BOTTOM),
        drawing,
        table: Some(Table::new(
            &["lag", "true", "realised", "difference"],
            at_powers_of_two(curve, |p| p.lag, row),
        )),
    }
}

/// The kernels' sizes and errors over the lags.
fn by_lag(index: usize, layer: &Layer, trained_at: Option<usize>) -> Figure<'static> {
    let points = &layer.by_lag;
    let lags = points.last().map_or(0, |p| p.lag + 1);
    let frame = Frame {
        area: whole(200.0),
        x: Axis::lags(lags),
        y: Axis::decades(points.iter().flat_map(|p| [p.kernel, p.error]), 2 * DECADES),
    };
    let line = |of: fn(&LagError) -> f64| points.iter().map(move |p| (p.lag as f64, of(p)));
    let drawing = html! {
        (frame.axes("lag", "relative to the norm"))
        (frame.line("truth", line(|p| p.kernel)))
        (frame.line("error", line(|p| p.error)))
        (training_length(&frame, trained_at, lags, "training length"))
    };
    let row = |p: &LagError| vec![p.lag.to_string(), error(p.kernel), error(p.error)];
    Figure {
        id: format!("layer-{index}-lags"),
        title: format!("Layer {index}: error by lag"),
        text: "Root mean square over channels, each relative to its kernel's l2 norm.",
        legend: vec![("truth", "true kernel".into()), ("error", "error".into())],
        size: size(200.0),
        drawing,
        table: Some(Table::new(
            &["lag", "true kernel", "error"],
            at_powers_of_two(points, |p| p.lag, row),
        )),
    }
}

/// Lags in which a mode falls to 1/e; infinite on the unit circle.
fn time_constant(pole: Complex64) -> f64 {
    // the logarithm of a modulus that rounding put beyond 1 has the wrong sign
    (-1.0 / pole.norm().min(1.0).ln()).abs()
}

/// Cycles a lag.
fn frequency(pole: Complex64) -> f64 {
    pole.arg().abs() / TAU
}

/// Poles in the plane, and how slow they are.
fn poles(index: usize, layer: &Layer) -> Figure<'static> {
    let side = 220.0;
    let poles = &layer.poles;
    let plane = |from, to| Axis::new(Scale::Linear, from, to);
    let circle = Frame {
        area: Area {
            width: side,
            ..whole(side)
        },
        x: plane(-1.08, 1.08),
        y: plane(-1.08, 1.08),
    };
    let left = LEFT + side + 86.0;
    let slow = Frame {
        area: Area {
            left,
            width: WIDTH - left - 14.0,
            ..whole(side)
        },
        x: Axis::new(Scale::Symlog(SLOW), -0.3 * SLOW, 0.6),
        y: Axis::decades(poles.iter().map(|p| time_constant(*p)), DECADES),
    };
    let says = |p: &Complex64| {
        // hundreds would say more than the page has room for
        if poles.len() > POLES {
            return String::new();
        }
        let (radius, lags, cycles) = (p.norm(), time_constant(*p), frequency(*p));
        format!("radius {radius:.6}, time constant {lags:.3} lags, {cycles:.5} cycles a lag")
    };
    let both = poles.iter().filter(|p| p.im != 0.0).map(Complex64::conj);
    let in_plane = poles
        .iter()
        .copied()
        .chain(both)
        .map(|p| (p.re, p.im, says(&p)));
    let drawing = html! {
        (circle.axes("real part", "imaginary part"))
        (circle.unit_circle())
        (circle.dots("realised", in_plane))
        (slow.axes("frequency, cycles a lag", "time constant, lags"))
        (slow.dots("realised", poles.iter().map(|p| (frequency(*p), time_constant(*p), says(p)))))
    };
    let row = |p: &Complex64| {
        vec![
            format!("{:.6} ± {:.6} i", p.re, p.im.abs()),
            format!("{:.6}", p.norm()),
            format!("{:.3}", time_constant(*p)),
            format!("{:.5}", frequency(*p)),
        ]
    };
    let mut slowest: Vec<&Complex64> = poles.iter().collect();
    slowest.sort_by(|a, b| b.norm().total_cmp(&a.norm()));
    let header = ["pole", "radius", "time constant, lags", "cycles a lag"];
    let mut table = Table::new(&header, slowest.into_iter().take(POLES).map(row));
    if poles.len() > POLES {
        table.note = Some(format!("The slowest {POLES} of {} poles.", poles.len()));
    }
    let text = if layer.channel_decay {
        "Left, in the unit circle; right, the lags in which each mode falls to 1/e. Every channel's own decay comes on top."
    } else {
        "Left, in the unit circle; right, the lags in which each mode falls to 1/e. All channels share them."
    };
    Figure {
        id: format!("layer-{index}-poles"),
        title: format!("Layer {index}: poles"),
        text,
        legend: Vec::new(),
        size: size(side),
        drawing,
        table: Some(table),
    }
}

/// What is certified of each channel beside what was measured.
fn certificate(index: usize, layer: &Layer) -> Figure<'static> {
    let height = 180.0;
    let values = |norms: &Norms| {
        norms
            .bounds
            .iter()
            .chain(&norms.measured)
            .copied()
            .collect::<Vec<_>>()
    };
    let y = Axis::decades([values(&layer.l1), values(&layer.l2)].concat(), DECADES);
    let share = |i: usize, of: usize| 100.0 * (i as f64 + 0.5) / of as f64;
    let curve = |values: &[f64]| -> Vec<(f64, f64)> {
        values
            .iter()
            .enumerate()
            .map(|(i, v)| (share(i, values.len()), *v))
            .collect()
    };
    let panel = |norms: &Norms, right, name| {
        let x = Axis::new(Scale::Linear, 0.0, 100.0);
        let frame = Frame {
            area: half(height, right),
            x,
            y,
        };
        html! {
            (frame.axes("% of the channels", name))
            (frame.line("bound", curve(&norms.bounds)))
            (frame.line("error", curve(&norms.measured)))
        }
    };
    let row = |percent: usize| {
        let at = |values: &[f64]| {
            let place = percent * values.len().saturating_sub(1) / 100;
            values.get(place).map_or("-".into(), |v| error(*v))
        };
        let Layer { l1, l2, .. } = layer;
        vec![
            format!("{percent}%"),
            at(&l1.bounds),
            at(&l1.measured),
            at(&l2.bounds),
            at(&l2.measured),
        ]
    };
    let header = [
        "of the channels",
        "l1: bound",
        "measured",
        "l2: bound",
        "measured",
    ];
    Figure {
        id: format!("layer-{index}-certificate"),
        title: format!("Layer {index}: certified error by channel"),
        text: "Channels in the order of their bounds, each relative to its kernel's norm. Left l1, the output's error \
               where inputs are within [-1, 1]; right l2. \
               Bounds are of exact arithmetic on the stored numbers, what is measured has the rounding of f32 steps too.",
        legend: vec![
            ("bound", "certified bound".into()),
            ("error", "measured".into()),
        ],
        size: size(height),
        drawing: html! { (panel(&layer.l1, false, "l1 error")) (panel(&layer.l2, true, "l2 error")) },
        table: Some(Table::new(&header, [0, 25, 50, 75, 90, 99, 100].map(row))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_constants_are_of_the_modulus() {
        let pole = Complex64::from_polar((-1.0f64 / 50.0).exp(), 0.3);
        assert!((time_constant(pole) - 50.0).abs() < 1e-9);
        assert!((frequency(pole) - 0.3 / TAU).abs() < 1e-12);
        let at = |re| time_constant(Complex64::new(re, 0.0));
        assert_eq!(
            [at(1.0), at(-1.0), at(1.0 + 1e-15), at(0.0)],
            [f64::INFINITY, f64::INFINITY, f64::INFINITY, 0.0]
        );
        assert_eq!(frequency(Complex64::new(-0.5, 0.0)), 0.5);
    }

    #[test]
    fn tables_follow_a_curve_at_powers_of_two() {
        let lags: Vec<usize> = (0..33).chain([40, 64, 100, 200]).collect();
        let rows = at_powers_of_two(&lags, |lag| *lag, |lag| vec![lag.to_string()]);
        assert_eq!(
            rows.concat(),
            ["0", "1", "2", "4", "8", "16", "32", "64", "200"]
        );
    }
}
