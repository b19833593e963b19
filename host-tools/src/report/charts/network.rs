//! The plots of the network as a whole: error by layer, bits a byte by length.

use super::super::axis::{Axis, Scale, label};
use super::super::data::{Bits, BitsAtLength, Report};
use super::super::plot::{Area, Figure, Frame, Table};
use super::{DECADES, TOP, error, half, size, whole};
use crate::convert::search::WORST;
use maud::html;

/// Most layers that all have their number below.
const NUMBERED: usize = 32;

/// Per cent of change around which the axis of changes is even.
const SMALL: f64 = 0.01;

/// Errors of the layers as bars.
pub fn by_layer(report: &Report) -> Figure<'static> {
    let layers = &report.layers;
    let values = layers.iter().flat_map(|l| [l.error.rms, l.error.max]);
    let limits = report.tolerance.map(|t| [t, WORST * t]);
    let frame = Frame {
        area: whole(200.0),
        x: Axis::new(Scale::Linear, -0.6, layers.len() as f64 - 0.4),
        y: Axis::decades(values.chain(limits.into_iter().flatten()), 2 * DECADES),
    };
    let step = layers.len().div_ceil(NUMBERED).max(1);
    let drawing = html! {
        // x has no ticks of its own: layers are counted, not measured
        (frame.rows("kernel error"))
        @for (i, layer) in layers.iter().enumerate() {
            @let (x, e) = (i as f64, layer.error);
            (frame.column("s0", (x - 0.38, x - 0.02), e.rms, &format!("layer {i}: root mean square {}", error(e.rms))))
            (frame.column("s1", (x + 0.02, x + 0.38), e.max, &format!("layer {i}: worst channel {}", error(e.max))))
            @if i % step == 0 { (frame.column_name(x, &i.to_string())) }
        }
        @if let Some([rms, worst]) = limits {
            (frame.level("limit s0", rms))
            (frame.level("limit s1", worst))
        }
        (frame.x_name("layer"))
    };
    let mut legend = vec![
        ("s0 fill", "root mean square over channels".into()),
        ("s1 fill", "worst channel".into()),
    ];
    if let Some([rms, worst]) = limits {
        let text = format!(
            "tolerance: {} for the root mean square, {} for the worst channel",
            label(rms),
            label(worst)
        );
        legend.push(("limit", text));
    }
    Figure {
        id: "error-by-layer".into(),
        title: "Error by layer".into(),
        text: "Relative l2 error of the kernels as f32 arithmetic realises them.",
        legend,
        size: size(200.0),
        drawing,
        table: None,
    }
}

/// The forms of the network, with their colours.
type Form = (&'static str, &'static str, fn(&BitsAtLength) -> f64);

const FORMS: [Form; 4] = [
    ("s0", "network, by FFT", |b| b.fft),
    ("s1", "ETSC, closed form", |b| b.etsc),
    ("s2", "this recurrence", |b| b.recurrence),
    ("s3", "model as it streams", |b| b.model),
];

/// Per cent by which a form's bits are more than the network's.
fn change(of: fn(&BitsAtLength) -> f64, at: &BitsAtLength) -> f64 {
    100.0 * (of(at) / at.fft - 1.0)
}

/// What the conversion costs, by length.
pub fn bits(bits: &Bits) -> Figure<'static> {
    let height = 220.0;
    let lengths = &bits.lengths;
    // log2, so that the lengths of one network stand evenly
    let x = Axis::around(lengths.iter().map(|at| (at.length as f64).log2()));
    let left = Frame {
        area: half(height, false),
        x,
        y: Axis::around(lengths.iter().flat_map(|at| FORMS.map(|(_, _, of)| of(at)))),
    };
    let changes: Vec<f64> = lengths
        .iter()
        .flat_map(|at| FORMS.map(|(_, _, of)| change(of, at)))
        .collect();
    let right = Frame {
        area: Area {
            top: TOP,
            ..half(height, true)
        },
        x,
        y: symmetric(&changes),
    };
    let place = |at: &BitsAtLength| (at.length as f64).log2();
    let drawing = html! {
        (left.rows(bits.unit))
        (right.rows("change, %"))
        @for at in lengths {
            (left.column_name(place(at), &at.length.to_string()))
            (right.column_name(place(at), &at.length.to_string()))
        }
        (left.x_name("tokens a window"))
        (right.x_name("tokens a window"))
        @for (class, name, of) in FORMS {
            (left.line(class, lengths.iter().map(|at| (place(at), of(at)))))
            (left.dots(class, lengths.iter().map(|at| (place(at), of(at), format!("{name}, {}: {:.4}", at.length, of(at))))))
        }
        @for (class, name, of) in &FORMS[1..] {
            (right.line(class, lengths.iter().map(|at| (place(at), change(*of, at)))))
            (right.dots(class, lengths.iter().map(|at| {
                let change = change(*of, at);
                (place(at), change, format!("{name}, {}: {change:+.4}%", at.length))
            })))
        }
    };
    Figure {
        id: "bits-by-length".into(),
        title: format!("{} by length", bits.unit),
        text: "Left the figures, right their change against the network by FFT.",
        legend: FORMS
            .map(|(class, name, _)| (class, name.to_string()))
            .into(),
        size: size(height),
        drawing,
        table: None,
    }
}

/// The figures of [`bits`], a row for each length.
pub fn bits_table(bits: &Bits) -> Table {
    let row = |at: &BitsAtLength| {
        let [(_, _, network), others @ ..] = FORMS;
        let figures = others.map(|(_, _, of)| format!("{:.4} ({:+.3}%)", of(at), change(of, at)));
        let first = [at.length.to_string(), format!("{:.4}", network(at))];
        first.into_iter().chain(figures).collect()
    };
    let names = FORMS.map(|(_, name, _)| name);
    let header = [&["tokens a window"][..], &names].concat();
    Table::new(&header, bits.lengths.iter().map(row))
}

/// An axis of changes: even around zero, logarithmic beyond.
fn symmetric(changes: &[f64]) -> Axis {
    let finite = || changes.iter().copied().filter(|x| x.is_finite());
    let [low, high] = [
        finite().fold(-SMALL, f64::min),
        finite().fold(SMALL, f64::max),
    ];
    Axis::new(Scale::Symlog(SMALL), 1.5 * low, 1.5 * high)
}
