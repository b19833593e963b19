//! Axes of plots: where a value stands, and which values have a mark.

/// How values are spread over an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm.
    Log,
    /// Evenly around zero, by their logarithm beyond the size given: `asinh(value / size)`.
    Symlog(f64),
}

impl Scale {
    fn forward(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.log10(),
            Self::Symlog(size) => (value / size).asinh(),
        }
    }
}

/// A scale and the values at its ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    scale: Scale,
    from: f64,
    to: f64,
}

impl Axis {
    /// From one value to another one; of a logarithmic scale both are positive. With the larger one first
    /// the axis runs the other way, without ticks.
    pub fn new(scale: Scale, from: f64, to: f64) -> Self {
        Self { scale, from, to }
    }

    /// A linear axis that holds `values` and a little more on either side.
    pub fn around(values: impl IntoIterator<Item = f64>) -> Self {
        let (mut low, mut high) = ends(values).unwrap_or((0.0, 1.0));
        if low == high {
            (low, high) = (
                low - 0.5 * low.abs().max(1.0),
                high + 0.5 * high.abs().max(1.0),
            );
        }
        let margin = 0.05 * (high - low);
        Self::new(Scale::Linear, low - margin, high + margin)
    }

    /// A logarithmic axis of whole decades that holds those of `values` that are positive; of more than
    /// `most` decades the uppermost.
    pub fn decades(values: impl IntoIterator<Item = f64>, most: i32) -> Self {
        let positive = values.into_iter().filter(|x| *x > 0.0);
        let (low, high) = ends(positive).unwrap_or((0.1, 1.0));
        let top = high.log10().ceil() as i32;
        let bottom = (low.log10().floor() as i32).clamp(top - most, top - 1);
        Self::new(Scale::Log, power_of_ten(bottom), power_of_ten(top))
    }

    /// Lags from 0 to before `lags`.
    pub fn lags(lags: usize) -> Self {
        Self::new(
            Scale::Symlog(1.0),
            0.0,
            lags.saturating_sub(1).max(1) as f64,
        )
    }

    /// Where `value` stands between the ends, 0 to 1; what is beyond an end stands at it, and so does what
    /// has no logarithm.
    pub fn place(&self, value: f64) -> f64 {
        if self.scale == Scale::Log && value <= 0.0 {
            return 0.0;
        }
        let [from, to, at] = [self.from, self.to, value].map(|x| self.scale.forward(x));
        let place = (at - from) / (to - from);
        if place.is_nan() {
            0.0
        } else {
            place.clamp(0.0, 1.0)
        }
    }

    /// The value at the axis's beginning.
    pub fn start(&self) -> f64 {
        self.from
    }

    /// Values with a mark, rising, at most about `room` of them.
    pub fn ticks(&self, room: usize) -> Vec<f64> {
        let ticks = match self.scale {
            Scale::Linear => linear_ticks(self.from, self.to, room),
            Scale::Log => thinned(powers(self.from, self.to), room),
            Scale::Symlog(size) => {
                let positive = thinned(powers(size, self.to), room);
                let negative = thinned(powers(size, -self.from), room);
                let negative = negative.into_iter().rev().map(|x| -x);
                negative.chain([0.0]).chain(positive).collect()
            }
        };
        let inside = |x: &f64| self.from <= *x && *x <= self.to;
        ticks.into_iter().filter(inside).collect()
    }
}

/// The smallest and the largest of the finite values.
fn ends(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let finite = values.into_iter().filter(|x| x.is_finite());
    finite.fold(None, |ends, x| {
        let (low, high) = ends.unwrap_or((x, x));
        Some((x.min(low), x.max(high)))
    })
}

/// Exactly as it is written: `powi` rounds.
fn power_of_ten(exponent: i32) -> f64 {
    format!("1e{exponent}").parse().expect("a number")
}

/// Powers of ten from one value to another.
fn powers(from: f64, to: f64) -> Vec<f64> {
    if !(from > 0.0 && to >= from) {
        return Vec::new();
    }
    // a decade more at either end: logarithms round
    let exponents = from.log10().floor() as i32..=to.log10().ceil() as i32;
    exponents
        .map(power_of_ten)
        .filter(|x| from <= *x && *x <= to)
        .collect()
}

/// Every n-th of `ticks`, so that at most `room` are left.
fn thinned(ticks: Vec<f64>, room: usize) -> Vec<f64> {
    let step = ticks.len().div_ceil(room.max(1)).max(1);
    ticks.into_iter().step_by(step).collect()
}

/// Multiples of 1, 2 or 5 times a power of ten.
fn linear_ticks(from: f64, to: f64, room: usize) -> Vec<f64> {
    let rough = (to - from) / room.max(1) as f64;
    let decade = power_of_ten(rough.log10().floor() as i32);
    let steps = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * decade);
    let step = steps
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(10.0 * decade);
    let (first, last) = ((from / step).ceil() as i64, (to / step).floor() as i64);
    (first..=last).map(|i| i as f64 * step).collect()
}

/// A number as short as it can be told from its neighbours: to six digits, without zeros at the end.
pub fn label(value: f64) -> String {
    let rounded: f64 = format!("{value:.5e}").parse().unwrap_or(value);
    let size = rounded.abs();
    if size != 0.0 && !(1e-2..1e5).contains(&size) {
        format!("{rounded:e}")
    } else {
        format!("{rounded}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ticks_are_round_numbers() {
        let labels =
            |axis: Axis, room| -> Vec<String> { axis.ticks(room).into_iter().map(label).collect() };
        let linear = |from, to| Axis::new(Scale::Linear, from, to);
        assert_eq!(
            labels(linear(0.0, 1.0), 5),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(
            labels(linear(-0.07, 0.12), 4),
            ["-0.05", "0", "0.05", "0.1"]
        );
        assert_eq!(labels(linear(0.0, 450_000.0), 4), ["0", "2e5", "4e5"]);
        let errors = Axis::decades([3e-7, 2e-3, 0.0, f64::NAN], 6);
        assert_eq!(labels(errors, 3), ["1e-7", "1e-5", "1e-3"]);
        assert_eq!(labels(Axis::lags(1833), 9), ["0", "1", "10", "100", "1000"]);
        let both = Axis::new(Scale::Symlog(0.1), -1.0, 10.0);
        assert_eq!(labels(both, 9), ["-1", "-0.1", "0", "0.1", "1", "10"]);
    }

    #[test]
    fn what_is_too_small_stands_at_the_axis_beginning() {
        let axis = Axis::decades([1e-12, 1.0], 4);
        assert_eq!(axis.start(), 1e-4);
        assert_eq!(
            [0.0, -1.0, 1e-9, 1.0, 7.0].map(|x| axis.place(x)),
            [0.0, 0.0, 0.0, 1.0, 1.0]
        );
        assert!((axis.place(1e-2) - 0.5).abs() < 1e-12);
    }

    proptest! {
        #[test]
        fn places_are_within_the_axis_and_rise(
            scale in 0..3usize, low in -1e6..1e6f64, span in 1e-9..1e6f64, values in proptest::collection::vec(any::<f64>(), 1..9)
        ) {
            let axis = match scale {
                0 => Axis::new(Scale::Linear, low, low + span),
                1 => Axis::new(Scale::Log, low.abs() + 1e-9, low.abs() + 1e-9 + span),
                _ => Axis::new(Scale::Symlog(span), low, low + span),
            };
            let mut values = values;
            values.sort_by(f64::total_cmp);
            let places: Vec<f64> = values.iter().filter(|x| !x.is_nan()).map(|x| axis.place(*x)).collect();
            prop_assert!(places.iter().all(|p| (0.0..=1.0).contains(p)));
            prop_assert!(places.is_sorted());
            let ticks = axis.ticks(6);
            prop_assert!(ticks.len() <= 15 && ticks.is_sorted());
            prop_assert!(ticks.iter().all(|x| (low.min(0.0) - 1.0..=low.abs() + span + 1.0).contains(x)));
        }

        #[test]
        fn any_values_have_an_axis(values in proptest::collection::vec(any::<f64>(), 0..5)) {
            for axis in [Axis::around(values.clone()), Axis::decades(values.clone(), 6)] {
                prop_assert!(values.iter().all(|x| (0.0..=1.0).contains(&axis.place(*x))));
                prop_assert!(axis.ticks(5).len() < 20);
            }
        }
    }
}
