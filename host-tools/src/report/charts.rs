//! The plots of a report.

pub mod layer;
pub mod network;
pub mod sizes;

use super::plot::Area;

/// Width of all drawings.
const WIDTH: f64 = 640.0;

/// Space left of a frame, for labels and the axis' name.
const LEFT: f64 = 66.0;

/// Space right of a frame, for half a label.
const RIGHT: f64 = 14.0;

/// Space above a frame, for half a label.
const TOP: f64 = 8.0;

/// Space below a frame, for labels and the axis' name.
const BOTTOM: f64 = 38.0;

/// Decades of an axis of errors; what is smaller stands at its beginning.
const DECADES: i32 = 6;

/// A frame over the whole width, `height` high.
fn whole(height: f64) -> Area {
    Area {
        left: LEFT,
        top: TOP,
        width: WIDTH - LEFT - RIGHT,
        height,
    }
}

/// The size of a drawing with one row of frames `height` high.
fn size(height: f64) -> (f64, f64) {
    (WIDTH, TOP + height + BOTTOM)
}

/// The frame to the right of the middle, or to the left of it.
fn half(height: f64, right: bool) -> Area {
    Area {
        left: LEFT + if right { WIDTH / 2.0 } else { 0.0 },
        width: WIDTH / 2.0 - LEFT - RIGHT,
        ..whole(height)
    }
}

/// An error as text.
pub fn error(value: f64) -> String {
    if value == 0.0 {
        return "0".into();
    }
    format!("{value:.1e}")
}
