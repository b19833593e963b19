//! Curves of dashes in the plane that keep away from one another.

use crate::data::Draw;

/// Pixels of a picture's side.
pub const SIDE: usize = 32;
/// Pixels from one joint of a curve to the next.
const STEP: f64 = 2.5;
/// Pixels between two dashes of a curve, half on either side of the joint.
pub const GAP: f64 = 1.1;
/// Pixels that curves keep from the border.
const BORDER: f64 = 2.5;
/// Pixels between joints and middles of dashes that are not neighbours: at least twice the gap remains.
const CLEARANCE: f64 = 2.7;
/// Largest change of direction at a joint, and of that change, in radians.
const BEND: f64 = 0.6;
const WOBBLE: f64 = 0.4;
/// Starts that are tried for a curve.
const STARTS: usize = 200;

/// A place in pixels, from the upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub x: f64,
    pub y: f64,
}

impl Point {
    pub fn distance(self, other: Self) -> f64 {
        let (dx, dy) = (self.x - other.x, self.y - other.y);
        (dx * dx + dy * dy).sqrt()
    }

    /// The point a share of the way towards another.
    pub fn towards(self, other: Self, share: f64) -> Self {
        Self {
            x: self.x + (other.x - self.x) * share,
            y: self.y + (other.y - self.y) * share,
        }
    }

    fn inside(self) -> bool {
        let inside = |x: f64| (BORDER..=SIDE as f64 - BORDER).contains(&x);
        inside(self.x) && inside(self.y)
    }
}

/// A dashed curve: its joints, one more than dashes.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve(pub Vec<Point>);

impl Curve {
    /// A curve of so many dashes that keeps away from the `others`; `None` where chance found no place.
    pub fn draw(dashes: usize, others: &[Self], draw: &mut Draw) -> Option<Self> {
        (0..STARTS).find_map(|_| Self::attempt(dashes, others, draw))
    }

    fn attempt(dashes: usize, others: &[Self], draw: &mut Draw) -> Option<Self> {
        let mut place = || draw.between(BORDER, SIDE as f64 - BORDER);
        let start = Point {
            x: place(),
            y: place(),
        };
        let mut curve = Self(vec![start]);
        let mut direction = draw.between(0.0, std::f64::consts::TAU);
        let mut bend = 0.0;
        if !others.iter().all(|other| other.is_clear_of(start)) {
            return None;
        }
        for _ in 0..dashes {
            let from = curve.0[curve.0.len() - 1];
            // The platform's sine may differ from another's in the last bit.
            let to = Point {
                x: from.x + STEP * libm::cos(direction),
                y: from.y + STEP * libm::sin(direction),
            };
            let middle = from.towards(to, 0.5);
            let own = Self(curve.0[..curve.0.len().saturating_sub(1)].to_vec());
            let clear = |point| {
                own.is_clear_of(point) && others.iter().all(|other| other.is_clear_of(point))
            };
            if !to.inside() || !clear(to) || !clear(middle) {
                return None;
            }
            curve.0.push(to);
            bend = (bend + draw.between(-WOBBLE, WOBBLE)).clamp(-BEND, BEND);
            direction += bend;
        }
        Some(curve)
    }

    /// Whether a point is far from all joints and middles.
    fn is_clear_of(&self, point: Point) -> bool {
        let middles = self.0.windows(2).map(|pair| pair[0].towards(pair[1], 0.5));
        let mut own = self.0.iter().copied().chain(middles);
        own.all(|own| own.distance(point) >= CLEARANCE)
    }

    /// Both ends.
    pub fn ends(&self) -> [Point; 2] {
        [self.0[0], self.0[self.0.len() - 1]]
    }

    /// Ends of every dash.
    pub fn dashes(&self) -> impl Iterator<Item = [Point; 2]> {
        let share = GAP / 2.0 / STEP;
        self.0.windows(2).map(move |pair| {
            let [from, to] = [pair[0], pair[1]];
            [from.towards(to, share), to.towards(from, share)]
        })
    }
}
