//! Plots as SVG: frames with axes, lines, dots and bars in them, and figures around them.

use super::axis::{Axis, label};
use maud::{Markup, html};
use std::fmt::Write;

/// Width of a letter of the smallest text, about.
const LETTER: f64 = 6.0;

/// A plot with its title, its legend and its figures in a table.
pub struct Figure<'a> {
    /// Of the SVG, in the page.
    pub id: String,
    /// What is shown.
    pub title: String,
    /// What is to be seen in it, and how to read it.
    pub text: &'a str,
    /// Classes of colours and what has them.
    pub legend: Vec<(&'static str, String)>,
    /// Width and height of the drawing.
    pub size: (f64, f64),
    /// The drawing.
    pub drawing: Markup,
    /// The figures; none where the page has them in a table of its own beside the plot.
    pub table: Option<Table>,
}

impl Figure<'_> {
    /// As HTML.
    pub fn render(&self) -> Markup {
        let (width, height) = self.size;
        let [title, text] = ["title", "text"].map(|part| format!("{}-{part}", self.id));
        html! {
            figure {
                figcaption {
                    strong { (self.title) } " " (self.text)
                    @if !self.legend.is_empty() {
                        ul.legend {
                            @for (class, name) in &self.legend { li class=(class) { (name) } }
                        }
                    }
                }
                svg id=(self.id) role="img" viewBox=(format!("0 0 {width} {height}"))
                    aria-labelledby=(title) aria-describedby=(text) {
                    title id=(title) { (self.title) }
                    desc id=(text) { (self.text) }
                    (self.drawing)
                }
                @if let Some(table) = &self.table {
                    details { summary { "Figures" } (table.render()) }
                }
            }
        }
    }
}

/// Rows under a header.
#[derive(Default)]
pub struct Table {
    /// Names of the columns.
    pub header: Vec<String>,
    /// The rows; their first cell is their name.
    pub rows: Vec<Vec<String>>,
    /// What is to be said below.
    pub note: Option<String>,
}

impl Table {
    /// A table of which nothing has to be said.
    pub fn new(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> Self {
        Self {
            header: header.iter().map(ToString::to_string).collect(),
            rows: rows.into_iter().collect(),
            note: None,
        }
    }

    /// As HTML.
    pub fn render(&self) -> Markup {
        html! {
            div.wide {
                table {
                    thead { tr { @for name in &self.header { th scope="col" { (name) } } } }
                    tbody {
                        @for row in &self.rows {
                            tr {
                                @if let Some((name, cells)) = row.split_first() {
                                    th scope="row" { (name) }
                                    @for cell in cells { td { (cell) } }
                                }
                            }
                        }
                    }
                }
            }
            @if let Some(note) = &self.note { p { (note) } }
        }
    }
}

/// A rectangle of a drawing.
#[derive(Clone, Copy, Debug)]
pub struct Area {
    /// Its left edge.
    pub left: f64,
    /// Its upper edge.
    pub top: f64,
    /// From left to right.
    pub width: f64,
    /// From top to bottom.
    pub height: f64,
}

/// Two axes over an area.
pub struct Frame {
    /// Where.
    pub area: Area,
    /// From left to right.
    pub x: Axis,
    /// From bottom to top.
    pub y: Axis,
}

impl Frame {
    fn at(&self, x: f64, y: f64) -> (f64, f64) {
        (self.across(x), self.down(y))
    }

    fn across(&self, x: f64) -> f64 {
        self.area.left + self.area.width * self.x.place(x)
    }

    fn down(&self, y: f64) -> f64 {
        self.area.top + self.area.height * (1.0 - self.y.place(y))
    }

    /// The box with a grid, ticks and the names of both axes. Without a name, x has no labels either: those of
    /// a frame below are its own.
    pub fn axes(&self, x_name: &str, y_name: &str) -> Markup {
        html! { (self.grid_columns(!x_name.is_empty())) (self.x_name(x_name)) (self.rows(y_name)) }
    }

    /// The box with ticks of y alone, for columns with names of their own.
    pub fn rows(&self, y_name: &str) -> Markup {
        let Area {
            left,
            top,
            width,
            height,
        } = self.area;
        let turned = format!(
            "translate({} {}) rotate(-90)",
            number(left - 50.0),
            number(top + height / 2.0)
        );
        html! {
            @for y in self.y.ticks((height / 28.0) as usize) {
                @let at = self.down(y);
                path.grid d=(format!("M{} {}H{}", number(left), number(at), number(left + width))) {}
                text x=(number(left - 6.0)) y=(number(at + 4.0)) text-anchor="end" { (label(y)) }
            }
            text transform=(turned) text-anchor="middle" { (y_name) }
            (self.outline())
        }
    }

    /// The box with ticks of x alone, for rows with names of their own.
    pub fn columns(&self, x_name: &str) -> Markup {
        html! { (self.grid_columns(true)) (self.x_name(x_name)) (self.outline()) }
    }

    fn grid_columns(&self, labels: bool) -> Markup {
        let Area {
            top, width, height, ..
        } = self.area;
        let bottom = top + height;
        html! {
            @for x in self.x.ticks((width / 60.0) as usize) {
                @let at = number(self.across(x));
                path.grid d=(format!("M{at} {}V{}", number(top), number(bottom))) {}
                @if labels {
                    text x=(at) y=(number(bottom + 14.0)) text-anchor="middle" { (label(x)) }
                }
            }
        }
    }

    /// The name of the axis of x.
    pub fn x_name(&self, name: &str) -> Markup {
        let Area {
            left,
            top,
            width,
            height,
        } = self.area;
        html! {
            text x=(number(left + width / 2.0)) y=(number(top + height + 30.0)) text-anchor="middle" { (name) }
        }
    }

    /// The box alone.
    fn outline(&self) -> Markup {
        let Area {
            left,
            top,
            width,
            height,
        } = self.area;
        html! { rect.outline x=(number(left)) y=(number(top)) width=(number(width)) height=(number(height)) {} }
    }

    /// A line through `points`, whose x rise; of those in one column of pixels the first, the extremes
    /// and the last.
    pub fn line(&self, class: &str, points: impl IntoIterator<Item = (f64, f64)>) -> Markup {
        let places = points.into_iter().filter(|(_, y)| !y.is_nan());
        let places = thinned(places.map(|(x, y)| self.at(x, y)));
        let mut path = String::new();
        for (i, (x, y)) in places.into_iter().enumerate() {
            path.push(if i == 0 { 'M' } else { ' ' });
            // writing to a string never fails
            let _ = write!(path, "{} {}", number(x), number(y));
        }
        html! { path.line.(class) d=(path) {} }
    }

    /// Dots, each with what it says when it is pointed at, if anything.
    pub fn dots(&self, class: &str, dots: impl IntoIterator<Item = (f64, f64, String)>) -> Markup {
        let mark = |(x, y, says): (f64, f64, String)| {
            let (x, y) = self.at(x, y);
            // a circle as a path, as all that is drawn
            let path = format!(
                "M{} {}a3 3 0 1 0 6 0a3 3 0 1 0 -6 0",
                number(x - 3.0),
                number(y)
            );
            html! { path.dot.(class) d=(path) { @if !says.is_empty() { title { (says) } } } }
        };
        html! { @for dot in dots { (mark(dot)) } }
    }

    /// A bar over a range of x, from the bottom up to `y`.
    pub fn column(&self, class: &str, x: (f64, f64), y: f64, says: &str) -> Markup {
        self.bar(class, x, (self.y.start(), y), says)
    }

    /// A bar over ranges of x and y.
    pub fn bar(&self, class: &str, x: (f64, f64), y: (f64, f64), says: &str) -> Markup {
        let (left, bottom) = self.at(x.0, y.0);
        let (right, top) = self.at(x.1, y.1);
        let [left, right, top, bottom] = [left, right, top, bottom].map(number);
        html! { path.bar.(class) d=(format!("M{left} {bottom}V{top}H{right}V{bottom}Z")) { title { (says) } } }
    }

    /// A line from the left to the right at `y`.
    pub fn level(&self, class: &str, y: f64) -> Markup {
        let Area { left, width, .. } = self.area;
        let y = number(self.down(y));
        html! { path.line.(class) d=(format!("M{} {y}H{}", number(left), number(left + width))) {} }
    }

    /// A line from the bottom to the top at `x`, with what it says at its upper end.
    pub fn upright(&self, class: &str, x: f64, says: &str) -> Markup {
        let Area {
            left,
            top,
            width,
            height,
        } = self.area;
        let at = self.across(x);
        // to the left of the line where there is no room to the right
        let fits = at + 5.0 + LETTER * (says.len() as f64) < left + width;
        let (anchor, offset) = if fits { ("start", 5.0) } else { ("end", -5.0) };
        html! {
            path.line.(class) d=(format!("M{} {}V{}", number(at), number(top + height), number(top))) {}
            text x=(number(at + offset)) y=(number(top + 12.0)) text-anchor=(anchor) { (says) }
        }
    }

    /// A name to the left of the frame at `y`, for rows of bars.
    pub fn row_name(&self, y: f64, name: &str) -> Markup {
        let at = self.down(y) + 4.0;
        html! { text x=(number(self.area.left - 8.0)) y=(number(at)) text-anchor="end" { (name) } }
    }

    /// A name below the frame at `x`, for columns of bars.
    pub fn column_name(&self, x: f64, name: &str) -> Markup {
        let y = self.area.top + self.area.height + 14.0;
        html! { text x=(number(self.across(x))) y=(number(y)) text-anchor="middle" { (name) } }
    }

    /// The circle of radius 1 around the origin.
    pub fn unit_circle(&self) -> Markup {
        let ((left, middle), (right, _)) = (self.at(-1.0, 0.0), self.at(1.0, 0.0));
        let [left, right, middle, radius] = [left, right, middle, (right - left) / 2.0].map(number);
        let arc = |to: &str| format!("A{radius} {radius} 0 0 0 {to} {middle}");
        html! { path.line.limit d=(format!("M{left} {middle}{}{}Z", arc(&right), arc(&left))) {} }
    }
}

/// A coordinate to a tenth of a pixel.
fn number(x: f64) -> String {
    let rounded = (10.0 * x).round() / 10.0;
    // no "-0"
    format!("{}", rounded + 0.0)
}

/// Of the places in each column of pixels the first, the highest, the lowest and the last.
fn thinned(places: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let places: Vec<(f64, f64)> = places.collect();
    let mut out = Vec::new();
    for column in places.chunk_by(|a, b| a.0.round() == b.0.round()) {
        let by_height = |a: &&(f64, f64), b: &&(f64, f64)| a.1.total_cmp(&b.1);
        let ends = [column.first(), column.last()];
        let extremes = [
            column.iter().min_by(by_height),
            column.iter().max_by(by_height),
        ];
        let mut kept: Vec<(f64, f64)> = ends
            .into_iter()
            .chain(extremes)
            .flatten()
            .copied()
            .collect();
        kept.sort_by(|a, b| a.0.total_cmp(&b.0));
        kept.dedup();
        out.extend(kept);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::axis::Scale;
    use super::*;

    fn frame() -> Frame {
        Frame {
            area: Area {
                left: 50.0,
                top: 10.0,
                width: 100.0,
                height: 40.0,
            },
            x: Axis::new(Scale::Linear, 0.0, 1000.0),
            y: Axis::new(Scale::Linear, -1.0, 1.0),
        }
    }

    #[test]
    fn lines_keep_their_extremes_and_stay_in_the_frame() {
        let spike = |i: usize| {
            if i == 437 {
                1.0
            } else {
                (i as f64).sin() * 0.1
            }
        };
        let line = frame()
            .line("truth", (0..=1000).map(|i| (i as f64, spike(i))))
            .into_string();
        assert!(line.len() < 6000, "{}", line.len());
        assert!(line.contains("93.7 10 "), "the spike: {line}");
        let far = frame().line(
            "truth",
            [(-5.0, f64::INFINITY), (2000.0, -9.0), (2000.0, f64::NAN)],
        );
        assert_eq!(
            far.into_string(),
            r#"<path class="line truth" d="M50 10 150 50"></path>"#
        );
    }

    #[test]
    fn bars_begin_at_the_bottom() {
        let bar = frame()
            .column("s0", (0.0, 500.0), 0.0, "a < b")
            .into_string();
        assert_eq!(
            bar,
            r#"<path class="bar s0" d="M50 50V30H100V50Z"><title>a &lt; b</title></path>"#
        );
    }

    #[test]
    fn coordinates_are_short() {
        assert_eq!([1.0 / 3.0, -0.01, 120.0].map(number), ["0.3", "0", "120"]);
    }
}
