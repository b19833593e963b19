//! Products of SKI (Moreno et al. 2023): a short convolution, and a product of low rank by linear
//! interpolation between inducing points, `(T + W A W^T) v`.
//!
//! The points stand evenly over a sequence, from its first position to its last. `A[a, b] = k((a - b) h)` for
//! points `h` apart, `W` `[n, rank]` has two weights a row. Never is there anything of `n * rank` elements.
//!
//! The matrix is no Toeplitz matrix, but nearly: along a diagonal it swings with where positions stand between
//! points. Its mean over those places is one, and the nearest there is; its kernel is that of a network's recurrence.
//! It is made of the values `k(m h)`, which were trained; `k` between them was not.

use super::{Params, Real, ReferenceError};
use crate::checkpoint::config::SkiOptions;
use ndarray::{Array2, ArrayView2, Axis, s};
use std::ops::Range;

/// Positions whose places between points a mean is taken over, at most: evenly chosen of all.
const PLACES: usize = 512;

/// What an operator has besides its kernel.
#[derive(Clone, Debug)]
pub(super) struct Ski<T> {
    /// Of the short convolution, `[taps, channels]` by rising lag.
    taps: Array2<T>,
    rank: usize,
}

impl<T: Real> Ski<T> {
    /// Reads `short` `[channels, taps]`.
    pub fn from_params(
        options: SkiOptions,
        channels: usize,
        params: &Params,
    ) -> Result<Self, ReferenceError> {
        let taps: Array2<T> = params.matrix("short", channels, options.taps)?;
        Ok(Self {
            taps: taps.reversed_axes().as_standard_layout().into_owned(),
            rank: options.rank,
        })
    }

    /// Positions from one inducing point to the next.
    pub fn spacing(&self, n: usize) -> f64 {
        n.saturating_sub(1).max(1) as f64 / (self.rank - 1) as f64
    }

    /// The largest lag of the short convolution.
    pub fn reach(&self) -> i64 {
        (self.taps.nrows() / 2) as i64
    }

    /// The larger of the sums of the taps' sizes at lags from `from` on and to `-from`, a channel.
    pub fn largest_side(&self, from: i64) -> Vec<f64> {
        let sum = |lags: [i64; 2]| {
            let rows =
                lags.map(|lag| (lag + self.reach()).clamp(0, self.taps.nrows() as i64) as usize);
            let side = self.taps.slice(s![rows[0]..rows[1], ..]);
            side.mapv(|tap| tap.wide().abs()).sum_axis(Axis(0))
        };
        let (above, below) = (sum([from, i64::MAX / 2]), sum([i64::MIN / 2, 1 - from]));
        above.iter().zip(&below).map(|(a, b)| a.max(*b)).collect()
    }

    /// The kernel `[lags, channels]` of the operator's mean over where positions stand; `points` gives `k` at
    /// whole multiples of the points' distance.
    pub fn mean_kernel(
        &self,
        lags: Range<i64>,
        n: usize,
        points: impl Fn(Range<i64>) -> Array2<T>,
    ) -> Array2<T> {
        let near = |lag: i64| self.place(lag, n).0;
        let first = near(lags.start) - 1;
        let points = points(first..near(lags.end) + 3);
        let rows = (lags.end - lags.start).max(0) as usize;
        let mut kernel = Array2::zeros((rows, self.taps.ncols()));
        for (mut row, lag) in kernel.rows_mut().into_iter().zip(lags) {
            for (weight, m) in self.mean_weights(lag, n).into_iter().zip(near(lag) - 1..) {
                row.scaled_add(T::of(weight), &points.row((m - first) as usize));
            }
            let tap = lag + self.reach();
            if (0..self.taps.nrows() as i64).contains(&tap) {
                row += &self.taps.row(tap as usize);
            }
        }
        kernel
    }

    /// `(T + W A W^T) v` for `v` `[n, channels]`; `points` as for [`mean_kernel`](Self::mean_kernel).
    pub fn multiply(
        &self,
        v: ArrayView2<T>,
        points: impl Fn(Range<i64>) -> Array2<T>,
    ) -> Array2<T> {
        let (n, channels) = v.dim();
        let rank = self.rank as i64;
        let kernel = points(1 - rank..rank);
        let mut gathered = Array2::<T>::zeros((self.rank, channels));
        for (i, row) in v.rows().into_iter().enumerate() {
            for (point, weight) in self.weights(i, n) {
                gathered.row_mut(point).scaled_add(weight, &row);
            }
        }
        let mut spread = Array2::<T>::zeros((self.rank, channels));
        for (a, mut to) in spread.rows_mut().into_iter().enumerate() {
            // k((a - b) h) for b from the first point on
            let lags = kernel.slice(s![a..a + self.rank;-1, ..]);
            for (k, z) in lags.rows().into_iter().zip(gathered.rows()) {
                to.zip_mut_with(&(&k * &z), |to, &term| *to += term);
            }
        }
        let mut y = Array2::zeros((n, channels));
        for (i, mut row) in y.rows_mut().into_iter().enumerate() {
            for (point, weight) in self.weights(i, n) {
                row.scaled_add(weight, &spread.row(point));
            }
            for (tap, lag) in self.taps.rows().into_iter().zip(-self.reach()..) {
                let from = i as i64 - lag;
                if (0..n as i64).contains(&from) {
                    row += &(&tap * &v.row(from as usize));
                }
            }
        }
        y
    }

    /// The point at position `i` of `n` or the last before, and what part of the way to the next it stands. Points go on
    /// beyond both ends.
    fn place(&self, i: i64, n: usize) -> (i64, f64) {
        let (positions, intervals) = (n.saturating_sub(1).max(1) as i64, self.rank as i64 - 1);
        let place = i * intervals;
        let way = place.rem_euclid(positions) as f64 / positions as f64;
        (place.div_euclid(positions), way)
    }

    /// What `k` counts in the mean of a diagonal, at the points from the one before [`place`](Self::place) on.
    fn mean_weights(&self, lag: i64, n: usize) -> [f64; 4] {
        let positions = n.saturating_sub(1).max(1);
        let places = positions.min(PLACES);
        let near = self.place(lag, n).0;
        let mut weights = [0.0; 4];
        for i in (0..places).map(|p| (p * positions / places) as i64) {
            let ((a, to), (b, from)) = (self.place(i, n), self.place(i - lag, n));
            let at = (a - b - near + 1) as usize;
            weights[at - 1] += (1.0 - to) * from;
            weights[at] += (1.0 - to) * (1.0 - from) + to * from;
            weights[at + 1] += to * (1.0 - from);
        }
        weights.map(|weight| weight / places as f64)
    }

    /// The two points that position `i` of `n` stands between, and their weights.
    fn weights(&self, i: usize, n: usize) -> [(usize, T); 2] {
        let (near, way) = match self.place(i as i64, n) {
            (near, way) if near as usize + 1 < self.rank => (near as usize, way),
            // The last point has no interval behind it.
            _ => (self.rank - 2, 1.0),
        };
        [(near, T::of(1.0 - way)), (near + 1, T::of(way))]
    }
}

#[cfg(test)]
mod tests {
    use crate::checkpoint::config::{RpeInput, ToeplitzConfig, ToeplitzKind};
    use crate::reference::mix::{FftMix, Mix, Trained};
    use crate::reference::testing;
    use crate::reference::toeplitz::Toeplitz;
    use ndarray::{Array2, ArrayD, Axis, IxDyn, s};

    const CHANNELS: usize = 16;

    /// The RPE and the decay of a public bidirectional case, with `rank` points and taps that are no other's.
    fn operator(rank: usize, taps: usize, warp: f64) -> Toeplitz<f64> {
        let config = ToeplitzConfig {
            kind: ToeplitzKind::Ski,
            rpe_dim: 32,
            rpe_layers: 3,
            rpe_input: RpeInput::Warp,
            rank: Some(rank),
            taps: Some(taps),
            warp: Some(warp),
            image: None,
            decay: true,
            ..testing::toeplitz()
        };
        let case = "tno_bidir_n513_h2_decay_l3_relu.safetensors";
        let mut tensors = testing::tensors(&testing::cases().join(case));
        let values = (0..CHANNELS * taps)
            .map(|i| (i as f32 * 0.7).sin())
            .collect();
        let shape = IxDyn(&[CHANNELS, taps]);
        let short = ArrayD::from_shape_vec(shape, values).unwrap();
        tensors.insert("param.short".into(), short);
        Toeplitz::from_tensors(&config, 2, 8, false, true, &tensors, "param.").unwrap()
    }

    /// The operator's matrix `[n, n]` in one channel: what it makes of every unit vector.
    fn realised(operator: &Toeplitz<f64>, n: usize, channel: usize) -> Array2<f64> {
        let mix = FftMix::new(Trained::new(vec![operator]).unwrap());
        let mut matrix = Array2::zeros((n, n));
        for j in 0..n {
            let mut unit = Array2::zeros((n, CHANNELS));
            unit[[j, channel]] = 1.0;
            let column = mix.mix(0, unit.view());
            matrix.column_mut(j).assign(&column.column(channel));
        }
        matrix
    }

    /// `k` at every lag of `n` positions, `[2 n - 1, channels]`.
    fn exact(operator: &Toeplitz<f64>, n: usize) -> Array2<f64> {
        operator.points(1 - n as i64..n as i64, 1.0)
    }

    /// `W A W^T` by its definition, as dense matrices.
    fn dense(operator: &Toeplitz<f64>, n: usize, rank: usize, channel: usize) -> Array2<f64> {
        let distance = (n.max(2) - 1) as f64 / (rank - 1) as f64;
        let w = Array2::from_shape_fn((n, rank), |(i, a)| {
            (1.0 - (i as f64 / distance - a as f64).abs()).max(0.0)
        });
        let points = operator.points(1 - rank as i64..rank as i64, distance);
        let a = Array2::from_shape_fn((rank, rank), |(a, b)| points[[rank - 1 + a - b, channel]]);
        w.dot(&a).dot(&w.t())
    }

    fn norm(x: &Array2<f64>) -> f64 {
        x.iter().map(|x| x * x).sum::<f64>().sqrt()
    }

    #[test]
    fn the_operator_is_its_dense_matrix() {
        for (n, rank, taps) in [(1, 2, 1), (5, 9, 3), (40, 7, 9), (33, 33, 5), (20, 2, 33)] {
            let operator = operator(rank, taps, 0.9);
            let tap =
                |channel: usize, tap: usize| f64::from(((channel * taps + tap) as f32 * 0.7).sin());
            for channel in [0, 11] {
                let mut want = dense(&operator, n, rank, channel);
                for ((i, j), want) in want.indexed_iter_mut() {
                    let place = i as i64 - j as i64 + (taps / 2) as i64;
                    if (0..taps as i64).contains(&place) {
                        *want += tap(channel, place as usize);
                    }
                }
                let difference = norm(&(&want - &realised(&operator, n, channel)));
                assert!(difference < 1e-12, "{n} by {rank}: {difference}");
            }
        }
    }

    /// With as many points as positions nothing is interpolated; with fewer, errors grow. The table of
    /// docs/ski.md in gpu-backend: run with `--nocapture`.
    #[test]
    fn errors_fall_with_the_number_of_points() {
        let n = 513;
        println!("points, positions apart, error, error beyond lag 16");
        let mut last = f64::INFINITY;
        for rank in [9, 17, 33, 65, 129, 257, 513] {
            let operator = operator(rank, 1, 0.99);
            let k = exact(&operator, n);
            let (mut errors, mut far) = ([0.0; 2], [0.0; 2]);
            for channel in 0..CHANNELS {
                let want = Array2::from_shape_fn((n, n), |(i, j)| k[[n - 1 + i - j, channel]]);
                let difference = &want - &dense(&operator, n, rank, channel);
                let spread = |x: &Array2<f64>| {
                    let far = x.indexed_iter().filter(|((i, j), _)| i.abs_diff(*j) > 16);
                    far.map(|(_, x)| x * x).sum::<f64>()
                };
                errors[0] += norm(&difference).powi(2);
                errors[1] += norm(&want).powi(2);
                far[0] += spread(&difference);
                far[1] += spread(&want);
            }
            let relative = |[error, all]: [f64; 2]| (error / all).sqrt();
            let distance = (n - 1) / (rank - 1);
            println!(
                "{rank} {distance} {:.2e} {:.2e}",
                relative(errors),
                relative(far)
            );
            assert!(relative(errors) < last);
            last = relative(errors);
        }
        assert!(last < 1e-12);
    }

    /// Means along the diagonals, away from the corners: with points a whole number of positions apart the place
    /// between points goes through all it can.
    #[test]
    fn the_kernel_is_the_mean_along_diagonals() {
        let (n, rank) = (321, 11);
        let operator = operator(rank, 1, 0.9);
        let kernel = operator.kernel(1 - n as i64..n as i64, n);
        let matrix = realised(&operator, n, 3);
        let largest = kernel
            .column(3)
            .iter()
            .fold(0.0, |a: f64, k| a.max(k.abs()));
        for lag in [-70i64, -33, -5, -1, 1, 2, 16, 32, 100] {
            let begin = 32 * (lag.unsigned_abs() as usize).div_ceil(32);
            let rows = begin..begin + 32;
            let mean = rows
                .map(|i| matrix[[i, (i as i64 - lag) as usize]])
                .sum::<f64>()
                / 32.0;
            let error = (mean - kernel[[(n as i64 - 1 + lag) as usize, 3]]).abs();
            assert!(error < 1e-12 * largest, "lag {lag}: {error} of {largest}");
        }
    }

    /// Where every position has a point, nothing is interpolated.
    #[test]
    fn the_kernel_is_exact_where_all_positions_are_points() {
        let operator = operator(33, 1, 0.9);
        let taps = operator.kernel(0..1, 33) - operator.points(0..1, 1.0);
        let mut want = exact(&operator, 33);
        let mut middle = want.row_mut(32);
        middle += &taps.row(0);
        let largest = (operator.kernel(-32..33, 33) - want).mapv(f64::abs);
        assert!(largest.iter().all(|&difference| difference < 1e-12));
    }

    #[test]
    fn tails_are_bounded() {
        let operator = operator(9, 5, 0.9);
        for from in [0, 2, 3, 400, 700] {
            let bounds = operator.tail_bound(from, 513).unwrap();
            for lags in [from as i64..4000, -4000..1 - from as i64] {
                let sums = operator.kernel(lags, 513).mapv(f64::abs).sum_axis(Axis(0));
                let bounded = sums.iter().zip(&bounds).all(|(sum, bound)| sum <= bound);
                assert!(bounded, "{from}: {sums} {bounds:?}");
            }
        }
    }

    #[test]
    fn kernels_are_the_same_from_any_window_of_lags() {
        let operator = operator(9, 5, 0.9);
        let whole = operator.kernel(-300..300, 513);
        let part = operator.kernel(-2..40, 513);
        assert_eq!(part, whole.slice(s![298..340, ..]));
    }
}
