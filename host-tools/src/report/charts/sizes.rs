//! What takes how much space, as stacked bars.

use super::super::axis::{Axis, Scale};
use super::super::plot::{Area, Figure, Frame, Table};
use super::super::sizes::Part;
use super::{BOTTOM, LEFT, RIGHT, TOP, WIDTH};
use crate::cli::output::bytes;
use maud::html;
use std::collections::BTreeMap;

/// Height of a row.
const ROW: f64 = 24.0;

/// Colours, by use.
const COLOURS: [&str; 9] = [
    "s0 fill", "s1 fill", "s2 fill", "s3 fill", "s4 fill", "s5 fill", "s6 fill", "s7 fill",
    "s8 fill",
];

/// A bar of stacked uses.
struct Row<U> {
    name: String,
    uses: BTreeMap<U, usize>,
}

/// A stacked bar of the whole and one of each layer, with the budget where one was given.
pub fn stacks<U: Copy + Ord>(
    (id, title, text): (&str, &str, &'static str),
    parts: &[Part<U>],
    name: impl Fn(U) -> String,
    limit: Option<usize>,
) -> Figure<'static> {
    let rows = rows(parts);
    let uses: Vec<U> = rows
        .first()
        .map_or(Vec::new(), |whole| whole.uses.keys().copied().collect());
    let colour = |of: &U| COLOURS[uses.iter().position(|u| u == of).unwrap_or(0) % COLOURS.len()];
    let total: usize = parts.iter().map(|part| part.bytes).sum();
    let kilobytes = |bytes: usize| bytes as f64 / 1000.0;
    let end = kilobytes(total.max(limit.unwrap_or(0)).max(1)) * 1.04;
    let height = ROW * rows.len() as f64;
    let frame = Frame {
        area: Area {
            left: LEFT,
            top: TOP,
            width: WIDTH - LEFT - RIGHT,
            height,
        },
        x: Axis::new(Scale::Linear, 0.0, end),
        y: Axis::new(Scale::Linear, rows.len() as f64, 0.0),
    };
    let drawing = html! {
        (frame.columns("kB (1000 bytes)"))
        @for (i, row) in rows.iter().enumerate() {
            @let y = i as f64;
            (frame.row_name(y + 0.5, &row.name))
            @for (of, from, bytes_of) in stacked(row) {
                @let says = format!("{}, {}: {} bytes", row.name, name(of), bytes(bytes_of));
                (frame.bar(colour(&of), (kilobytes(from), kilobytes(from + bytes_of)), (y + 0.85, y + 0.15), &says))
            }
        }
        @if let Some(limit) = limit { (frame.upright("limit", kilobytes(limit), "budget")) }
    };
    let cells = |row: &Row<U>| {
        let of = |of: &U| row.uses.get(of).map_or("-".into(), |b| bytes(*b));
        let sum = bytes(row.uses.values().sum());
        [row.name.clone()]
            .into_iter()
            .chain(uses.iter().map(of))
            .chain([sum])
            .collect()
    };
    let header = ["bytes".to_string()]
        .into_iter()
        .chain(uses.iter().map(|u| name(*u)));
    Figure {
        id: id.into(),
        title: format!(
            "{title}: {} bytes{}",
            bytes(total),
            limit.map_or(String::new(), |l| format!(" of {}", bytes(l)))
        ),
        text,
        legend: uses.iter().map(|of| (colour(of), name(*of))).collect(),
        size: (WIDTH, TOP + height + BOTTOM),
        drawing,
        table: Some(Table {
            header: header.chain(["sum".to_string()]).collect(),
            rows: rows.iter().map(cells).collect(),
            note: None,
        }),
    }
}

/// The whole, then the layers. What takes nothing is left out.
fn rows<U: Copy + Ord>(parts: &[Part<U>]) -> Vec<Row<U>> {
    let mut whole = BTreeMap::new();
    let mut layers: BTreeMap<usize, BTreeMap<U, usize>> = BTreeMap::new();
    for part in parts.iter().filter(|part| part.bytes > 0) {
        *whole.entry(part.of).or_default() += part.bytes;
        if let Some(layer) = part.layer {
            *layers.entry(layer).or_default().entry(part.of).or_default() += part.bytes;
        }
    }
    let whole = Row {
        name: "whole".into(),
        uses: whole,
    };
    let layer = |(i, uses)| Row {
        name: format!("layer {i}"),
        uses,
    };
    [whole]
        .into_iter()
        .chain(layers.into_iter().map(layer))
        .collect()
}

/// Uses with where they begin.
fn stacked<U: Copy>(row: &Row<U>) -> impl Iterator<Item = (U, usize, usize)> {
    row.uses.iter().scan(0, |end, (of, bytes)| {
        let from = *end;
        *end += bytes;
        Some((*of, from, *bytes))
    })
}
