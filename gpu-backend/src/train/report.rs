//! `report.html`: the loss over the steps, in one file that needs nothing else.

use super::metrics::Line;
use std::fmt::Write;

/// Name of the file in the run folder.
pub const REPORT: &str = "report.html";

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 380.0;
/// Room for the labels to the left and below.
const LEFT: f64 = 56.0;
const BELOW: f64 = 36.0;
/// Points of a curve at most: more cannot be seen.
const POINTS: usize = 1000;

/// The page: curves, the last figures, the configuration.
pub fn page(title: &str, device: &str, config: &str, lines: &[Line]) -> String {
    let mut train = Vec::new();
    let mut valid = Vec::new();
    for line in lines {
        match line {
            Line::Step { step, loss, .. } => train.push((*step as f64, *loss)),
            Line::Evaluation { step, loss, .. } => valid.push((*step as f64, *loss)),
        }
    }
    let (title, device, config) = (escape(title), escape(device), escape(config));
    let figure = plot(&train, &valid);
    let table = figures(lines);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n<style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1><p>{device}</p>\n{figure}\n{table}\n<h2>Configuration</h2><pre>{config}</pre></body></html>\n"
    )
}

const STYLE: &str = "\
:root{color-scheme:light dark;--train:#2563eb;--valid:#dc2626;--grid:#8884}\
body{font:15px/1.5 system-ui,sans-serif;max-width:900px;margin:2em auto;padding:0 1em}\
svg{width:100%;height:auto}svg text{font-size:12px;fill:currentColor}\
.grid{stroke:var(--grid)}.train{stroke:var(--train);fill:none;stroke-width:1.5}\
.valid{stroke:var(--valid);fill:none;stroke-width:2}.dot{fill:var(--valid)}\
td,th{text-align:right;padding:.1em .8em}pre{overflow:auto}";

fn plot(train: &[(f64, f64)], valid: &[(f64, f64)]) -> String {
    let all = || train.iter().chain(valid).filter(|p| p.1.is_finite());
    let last = all().map(|p| p.0).fold(1.0, f64::max);
    let (mut low, mut high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| {
        (l.min(p.1), h.max(p.1))
    });
    if low > high {
        return "<p>No step has been measured yet.</p>".to_owned();
    }
    let room = ((high - low) * 0.05).max(1e-3);
    (low, high) = (low - room, high + room);
    let x = |step: f64| LEFT + (WIDTH - LEFT) * step / last;
    let y = |loss: f64| (HEIGHT - BELOW) * (high - loss) / (high - low);
    let mut svg = format!(
        "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"loss over steps\">\n"
    );
    let bottom = HEIGHT - BELOW;
    for i in 0..=5 {
        let share = f64::from(i) / 5.0;
        let (loss, step) = (low + (high - low) * share, last * share);
        let (at, across) = (y(loss), x(step));
        let anchor = if i == 5 { "end" } else { "middle" };
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{WIDTH}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{loss:.3}</text>\
             <text x=\"{across:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{step:.0}</text>",
            LEFT - 6.0,
            (at + 4.0).clamp(12.0, bottom),
            bottom + 18.0
        );
    }
    for (class, points) in [("train", train), ("valid", valid)] {
        let finite = points.iter().filter(|p| p.1.is_finite());
        let path: Vec<String> = thin(finite.copied().collect())
            .into_iter()
            .map(|p| format!("{:.1},{:.1}", x(p.0), y(p.1)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline class=\"{class}\" points=\"{}\"/>",
            path.join(" ")
        );
    }
    if let Some(p) = valid.last().filter(|p| p.1.is_finite()) {
        let _ = writeln!(
            svg,
            "<circle class=\"dot\" r=\"3\" cx=\"{:.1}\" cy=\"{:.1}\"/>",
            x(p.0),
            y(p.1)
        );
    }
    let legend = HEIGHT - 4.0;
    let _ = write!(
        svg,
        "<path class=\"train\" d=\"M{LEFT} {0}h24\"/><text x=\"{1}\" y=\"{legend}\">training loss (nats)</text>\
         <path class=\"valid\" d=\"M{2} {0}h24\"/><text x=\"{3}\" y=\"{legend}\">validation loss (nats)</text></svg>",
        legend - 4.0,
        LEFT + 30.0,
        LEFT + 200.0,
        LEFT + 230.0
    );
    svg
}

/// Means of neighbours, so that at most [`POINTS`] are left.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(POINTS).max(1);
    let mean = |group: &[(f64, f64)]| {
        let count = group.len() as f64;
        let sum = group.iter().fold((0.0, 0.0), |s, p| (s.0 + p.0, s.1 + p.1));
        (sum.0 / count, sum.1 / count)
    };
    points.chunks(size).map(mean).collect()
}

fn figures(lines: &[Line]) -> String {
    let mut rows = String::new();
    let evaluations = lines
        .iter()
        .rev()
        .filter(|l| matches!(l, Line::Evaluation { .. }));
    for line in evaluations.take(20) {
        if let Line::Evaluation {
            step,
            loss,
            perplexity,
            bits_per_byte,
            accuracy,
            ..
        } = line
        {
            let bits = bits_per_byte.map_or("-".to_owned(), |b| format!("{b:.4}"));
            let _ = writeln!(
                rows,
                "<tr><td>{step}</td><td>{loss:.4}</td><td>{perplexity:.3}</td><td>{bits}</td><td>{accuracy:.4}</td></tr>"
            );
        }
    }
    if rows.is_empty() {
        return String::new();
    }
    format!(
        "<h2>Validation</h2><table><tr><th>step</th><th>loss</th><th>perplexity</th><th>bits/byte</th><th>accuracy</th></tr>\n{rows}</table>"
    )
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_stands_alone_and_holds_both_curves() {
        let mut lines = Vec::new();
        for step in 1..=5000u64 {
            lines.push(Line::Step {
                step,
                loss: if step == 7 {
                    f64::NAN
                } else {
                    5.0 / step as f64
                },
                accuracy: 0.0,
                rate: 0.0,
                gradient_norm: 0.0,
                tokens_per_second: 0.0,
                peak_bytes: None,
                utilisation: None,
                seconds: 0.0,
            });
        }
        lines.push(Line::Evaluation {
            step: 5000,
            loss: 1.25,
            perplexity: 3.49,
            bits_per_byte: Some(1.8034),
            accuracy: 0.5,
            tokens: 1,
            seconds: 0.0,
        });
        let page = page("a<b", "cpu", "x = \"<script>\"", &lines);
        assert!(page.contains("a&lt;b") && !page.contains("<script>") && !page.contains("NaN"));
        assert!(
            !page.contains("http") && page.len() < 40_000,
            "{}",
            page.len()
        );
        assert!(page.contains("1.8034") && page.matches("<polyline").count() == 2);
        assert!(super::page("t", "", "", &[]).contains("No step"));
    }
}
