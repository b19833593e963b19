//! Scenes as pixels.

use super::Scene;
use super::geometry::{Curve, Point, SIDE};

/// Half the width of a dash, and the radius of a disc, in pixels.
const HALF: f64 = 0.4;
const DISC: f64 = 1.5;

impl Scene {
    /// Pixels row by row, 0 for nothing to 255; edges are smooth over one pixel.
    pub fn picture(&self) -> Vec<u8> {
        let mut pixels = vec![0; SIDE * SIDE];
        for [from, to] in self.curves.iter().flat_map(Curve::dashes) {
            stroke(&mut pixels, from, to, HALF);
        }
        for disc in self.discs {
            stroke(&mut pixels, disc, disc, DISC);
        }
        pixels
    }
}

/// Draws everything within `radius` of a line.
fn stroke(pixels: &mut [u8], from: Point, to: Point, radius: f64) {
    for (index, pixel) in pixels.iter_mut().enumerate() {
        let centre = Point {
            x: (index % SIDE) as f64 + 0.5,
            y: (index / SIDE) as f64 + 0.5,
        };
        let covered = (radius + 0.5 - from_line(centre, from, to)).clamp(0.0, 1.0);
        *pixel = (*pixel).max((covered * 255.0).round() as u8);
    }
}

/// Distance of a point from a line between two others.
fn from_line(point: Point, from: Point, to: Point) -> f64 {
    let (dx, dy) = (to.x - from.x, to.y - from.y);
    let square = dx * dx + dy * dy;
    let along = (point.x - from.x) * dx + (point.y - from.y) * dy;
    let share = if square > 0.0 {
        (along / square).clamp(0.0, 1.0)
    } else {
        0.0
    };
    point.distance(from.towards(to, share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_cover_what_they_go_through() {
        let mut pixels = vec![0; SIDE * SIDE];
        let at = |x, y| Point { x, y };
        stroke(&mut pixels, at(4.5, 2.5), at(7.5, 2.5), 0.5);
        let row = &pixels[2 * SIDE..3 * SIDE];
        assert_eq!(row[2..10], [0, 0, 255, 255, 255, 255, 0, 0]);
        assert!(pixels[..2 * SIDE].iter().all(|p| *p == 0));
        stroke(&mut pixels, at(20.0, 20.0), at(20.0, 20.0), DISC);
        let ink: f64 = pixels.iter().map(|p| f64::from(*p) / 255.0).sum::<f64>() - 4.0;
        let area = std::f64::consts::PI * DISC * DISC;
        assert!((ink / area - 1.0).abs() < 0.1, "{ink} of {area}");
    }
}
