//! The page itself.

use super::axis::label;
use super::bits::LENGTHS;
use super::charts::{self, error};
use super::data::{Layer, Matrix, Model, Report};
use super::plot::Table;
use crate::cli::output::bytes;
use maud::{DOCTYPE, Markup, PreEscaped, html};

const STYLE: &str = include_str!("style.css");

/// Nothing may be fetched or executed; the page's own styles alone apply.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// `report` as HTML, complete in itself.
pub fn page(report: &Report) -> String {
    let title = format!("{}: conversion by Toeplite", report.subject);
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main {
                (head(report))
                (layers(report))
                @for (i, layer) in report.layers.iter().enumerate() { (one_layer(i, layer, report)) }
                @if let Some(model) = &report.model {
                    (sizes(model))
                    (matrices(model))
                    (bits(model))
                }
            } }
        }
    };
    document.into_string()
}

fn head(report: &Report) -> Markup {
    html! {
        header {
            h1 { "Conversion of " (report.subject) }
            dl.facts {
                @for (name, value) in &report.facts { div { dt { (name) } dd { (value) } } }
            }
            p { "To do it again:" }
            pre { code { (report.command) } }
        }
        @if !report.warnings.is_empty() {
            section.warnings {
                h2 { "Warnings" }
                ul { @for warning in &report.warnings { li { (warning) } } }
            }
        }
        nav aria-label="Contents" {
            a href="#layers" { "Layers" }
            @for i in 0..report.layers.len() { a href=(format!("#layer-{i}")) { (i) } }
            @if report.model.is_some() {
                a href="#sizes" { "Sizes" } a href="#matrices" { "Matrices" } a href="#bits" { "Quality" }
            }
        }
    }
}

fn layers(report: &Report) -> Markup {
    let header = [
        "layer",
        "method",
        "taps",
        "states",
        "error: rms",
        "median",
        "worst",
        "peak",
        "lower bound",
        "ratio",
        "l1 at most",
        "l2 at most",
        "certified for",
    ];
    let largest = |bounds: &[f64]| bounds.last().map_or("-".into(), |b| error(*b));
    let row = |(i, l): (usize, &Layer)| {
        let or_none = |number: Option<f64>| number.map_or("-".into(), error);
        vec![
            i.to_string(),
            l.method.into(),
            l.taps.to_string(),
            l.order.to_string(),
            error(l.error.rms),
            error(l.error.median),
            error(l.error.max),
            or_none(l.hinf),
            or_none(l.lower_bound),
            l.ratio.map_or("-".into(), |ratio| format!("{ratio:.2}")),
            largest(&l.l1.bounds),
            largest(&l.l2.bounds),
            l.certified_lags
                .map_or("ever".into(), |lags| format!("{} lags", bytes(lags))),
        ]
    };
    html! {
        section id="layers" {
            h2 { "Layers" }
            (Table::new(&header, report.layers.iter().enumerate().map(row)).render())
            p {
                "Taps and states are numbers a channel. Errors are relative l2 errors of the kernels as f32 arithmetic \
                 realises them. The peak is that of the layer's error over all frequencies, certified, relative to the kernel's own; no \
                 recurrence with as many taps and states is below the lower bound. l1 and l2 bound the error of the worst channel shown, \
                 relative to its kernel."
            }
            div.figures { (charts::network::by_layer(report).render()) }
        }
    }
}

fn one_layer(index: usize, layer: &Layer, report: &Report) -> Markup {
    let seen = if layer.looked_at < layer.channels {
        format!(
            "{} of {} channels, evenly spaced, are shown.",
            layer.looked_at, layer.channels
        )
    } else {
        format!("All {} channels are shown.", layer.channels)
    };
    html! {
        section id=(format!("layer-{index}")) {
            h2 { "Layer " (index) ": " (counted(layer.taps, "tap")) ", " (counted(layer.order, "state")) }
            p { (seen) " Errors were measured on " (bytes(layer.measured_lags)) " lags." }
            div.figures {
                @for figure in charts::layer::figures(index, layer, report.trained_at) { (figure.render()) }
            }
        }
    }
}

/// A number of things.
fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

fn sizes(model: &Model) -> Markup {
    let limits = &model.limits;
    let flash = charts::sizes::stacks(
        ("flash", "Flash", "The model alone: the code comes on top."),
        &model.sizes.flash,
        |of| of.name(),
        limits.flash,
    );
    let memory = charts::sizes::stacks(
        (
            "memory",
            "Session memory",
            "The state between steps, and what a step needs.",
        ),
        &model.sizes.memory,
        |of| of.name(),
        limits.ram,
    );
    html! {
        section id="sizes" {
            h2 { "Sizes" }
            (budget(model))
            div.figures { (flash.render()) (memory.render()) }
        }
    }
}

/// What was allowed beside what is taken, where anything was.
fn budget(model: &Model) -> Markup {
    let limits = &model.limits;
    let lines: [(&str, Option<usize>, Option<usize>); 3] = [
        (
            "flash, bytes",
            Some(model.sizes.flash_bytes()),
            limits.flash,
        ),
        (
            "session memory, bytes",
            Some(model.sizes.memory_bytes()),
            limits.ram,
        ),
        (
            "instructions a token",
            model.instructions,
            limits.instructions,
        ),
    ];
    let rows: Vec<Vec<String>> = lines
        .into_iter()
        .filter_map(|(name, taken, limit)| {
            let limit = limit?;
            let share = taken.map_or("-".into(), |taken| {
                format!("{:.0}%", 100.0 * taken as f64 / limit.max(1) as f64)
            });
            Some(vec![
                name.into(),
                taken.map_or("-".into(), bytes),
                bytes(limit),
                share,
            ])
        })
        .collect();
    if rows.is_empty() {
        return html! { p { "No budget was given." } };
    }
    Table::new(&["budget", "taken", "allowed", "share"], rows).render()
}

fn matrices(model: &Model) -> Markup {
    let measured = model.matrices.iter().any(|m| m.change.is_some());
    let mut header = vec![
        "matrix",
        "type",
        "size",
        "bytes",
        "bits a weight",
        "SQNR, dB",
        "of outputs, dB",
    ];
    if measured {
        header.push("change of predictions, bits");
    }
    let decibels = |x: Option<f64>| x.map_or("-".into(), |x| format!("{x:.1}"));
    let row = |m: &Matrix| {
        let (rows, columns) = m.size;
        let mut row = vec![
            m.name.clone(),
            m.dtype.into(),
            format!("{rows} × {columns}"),
            bytes(m.bytes),
            format!("{:.2}", m.bits_per_weight),
            decibels(m.weight_sqnr),
            decibels(m.output_sqnr),
        ];
        if measured {
            row.push(
                m.change
                    .map_or("-".into(), |change| format!("{change:.1e}")),
            );
        }
        row
    };
    html! {
        section id="matrices" {
            h2 { "Matrices" }
            @if model.matrices.is_empty() {
                p { "The contract fixed rounds matrices together with the norms before them; their ratios of signal to noise are not measured." }
            } @else {
                (Table::new(&header, model.matrices.iter().map(row)).render())
                p { "SQNR is the ratio of signal to quantization noise, of the weights and, where they were calibrated, of the products." }
            }
        }
    }
}

fn bits(model: &Model) -> Markup {
    html! {
        section id="bits" {
            h2 { "Quality" }
            @match &model.bits {
                Some(bits) => {
                    p {
                        "On " (bits.text.name) ", " (bytes(bits.text.tokens)) " tokens, in windows that each begin at rest."
                    }
                    (charts::network::bits_table(bits).render())
                    div.figures { (charts::network::bits(bits).render()) }
                }
                None => p {
                    "Nothing was measured: with " code { "--report-text FILE" } " the report has the bits a byte of the network by FFT, \
                     of the closed form (ETSC) and of this conversion, in windows of "
                    (LENGTHS.map(|length| label(length as f64)).join(", ")) " tokens."
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn report(subject: &str) -> Report {
        Report {
            subject: subject.into(),
            facts: vec![("checkpoint", subject.into())],
            command: subject.into(),
            warnings: vec![subject.into()],
            tolerance: None,
            trained_at: None,
            layers: Vec::new(),
            model: None,
        }
    }

    proptest! {
        /// Whatever a path is, the page has the same elements, and the text is in it.
        #[test]
        fn no_text_breaks_out(subject in "[ -~]{0,12}(</style>|<script>|\" onload=\"|&|'|-->|<!--|]]>)?\\PC{0,20}") {
            let page = page(&report(&subject));
            prop_assert_eq!(page.matches('<').count(), super::page(&report("x")).matches('<').count());
            prop_assert_eq!(page.matches('>').count(), super::page(&report("x")).matches('>').count());
            prop_assert_eq!(page.matches('"').count(), super::page(&report("x")).matches('"').count());
            let unescaped = page.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
            prop_assert!(unescaped.matches(&subject).count() >= 5);
        }
    }
}
