//! Rounding in which columns make up for the errors of others.
//!
//! With the triangular factor `R` of the inputs' second moment the error of a row is
//! `|z - q R|^2`, `z = w map` ([`Goal`]). Its term of column `j` depends on the integers of columns up
//! to `j` alone, so columns are rounded in their order, each to what makes its own term the smallest:
//! Babai's nearest plane, which gives the integers of GPTQ (Frantar et al., 2022; the equivalence: Chen
//! et al., 2025) without an inverse. Then integers and scales are changed one at a time as long as
//! the error falls.

use super::goal::Goal;
use super::nearest::QuantizedGroups;
use ndarray::{Array1, Array2, ArrayView1, ArrayView2, ArrayViewMut1, Axis, s};
use rayon::prelude::*;
use std::ops::Range;
use toeplite::format::SMALLEST;
use toeplite::kernel::dense::int4::COLUMNS;

/// Rows rounded together: their products with the factor are products of matrices.
const ROWS: usize = 64;
/// Times that every integer and scale of a row is looked at again, at most.
const PASSES: usize = 4;
/// Scales of a group that are tried, in twentieths of the one that maps its largest magnitude to the
/// largest integer.
const PARTS: Range<u32> = 10..21;

/// The largest integer.
const LEVELS: f32 = 7.0;
/// The largest scale of a group.
const STEPS: f32 = 255.0;

/// Rounds `weights` towards `goal`.
pub fn round(weights: ArrayView2<'_, f32>, goal: &Goal) -> QuantizedGroups {
    let chunks = weights.axis_chunks_iter(Axis(0), ROWS);
    let chunks: Vec<Chunk> = chunks
        .into_par_iter()
        .map(|weights| Chunk::round(weights, goal))
        .collect();
    let mut out = QuantizedGroups {
        integers: Vec::with_capacity(weights.len()),
        group_scales: Vec::new(),
        scales: Vec::with_capacity(weights.nrows()),
    };
    for chunk in chunks {
        out.integers.extend(chunk.integers.iter().map(|q| *q as i8));
        let scales = chunk.group_scales.iter().map(|scale| *scale as u8);
        out.group_scales.extend(scales);
        out.scales.extend(chunk.scales);
    }
    out
}

/// Some rows; integers as floats, which hold them exactly.
struct Chunk {
    /// `[rows, columns]`.
    integers: Array2<f32>,
    /// `[rows, groups]`.
    group_scales: Array2<f32>,
    /// `[rows]`.
    scales: Vec<f32>,
}

impl Chunk {
    fn round(weights: ArrayView2<'_, f32>, goal: &Goal) -> Self {
        let (rows, columns) = weights.dim();
        let scale = |row: ArrayView1<'_, f32>| {
            let scale = largest(row) / (LEVELS * STEPS);
            // the runtime's contract has no scales below 2^-50: such a row is zero
            if scale < SMALLEST { 0.0 } else { scale }
        };
        let mut chunk = Self {
            integers: Array2::zeros((rows, columns)),
            group_scales: Array2::zeros((rows, columns.div_ceil(COLUMNS))),
            scales: weights.rows().into_iter().map(scale).collect(),
        };
        let targets = weights.dot(&goal.map);
        let mut values = Array2::zeros((rows, columns));
        for group in 0..chunk.group_scales.ncols() {
            chunk.round_group(group, &targets, &mut values, goal);
        }
        let wanted = targets.dot(&goal.factor.t());
        let mut slopes = &wanted - &values.dot(&goal.second);
        for (row, mut slope) in slopes.rows_mut().into_iter().enumerate() {
            if chunk.scales[row] == 0.0 {
                continue;
            }
            for _ in 0..PASSES {
                let integers = chunk.improve_integers(row, &mut slope, goal);
                let groups = chunk.improve_groups(row, &mut slope, goal);
                chunk.improve_scale(row, &mut slope, wanted.row(row));
                if !(integers || groups) {
                    break;
                }
            }
        }
        chunk
    }

    /// Rounds the columns of a group, after those before it, whose weights are in `values`.
    fn round_group(
        &mut self,
        group: usize,
        targets: &Array2<f32>,
        values: &mut Array2<f32>,
        goal: &Goal,
    ) {
        let range = columns_of(group, targets.ncols());
        let above = goal.factor.slice(s![..range.start, range.clone()]);
        let mut left = targets.slice(s![.., range.clone()]).to_owned();
        left -= &values.slice(s![.., ..range.start]).dot(&above);
        let factor = goal.factor.slice(s![range.clone(), range.clone()]);
        for (row, target) in left.rows().into_iter().enumerate() {
            let row_scale = self.scales[row];
            let Some((scale, integers)) = search(target, factor, row_scale) else {
                continue; // zeros
            };
            self.group_scales[(row, group)] = scale;
            let mut value = values.slice_mut(s![row, range.clone()]);
            value.assign(&(&integers * (scale * row_scale)));
            let mut to = self.integers.slice_mut(s![row, range.clone()]);
            to.assign(&integers);
        }
    }

    /// Moves every integer of a row to the best one, all others being what they are. `slope` is
    /// `(z - q R) R^T`, and kept so. Returns whether one changed.
    fn improve_integers(
        &mut self,
        row: usize,
        slope: &mut ArrayViewMut1<'_, f32>,
        goal: &Goal,
    ) -> bool {
        let mut changed = false;
        for j in 0..slope.len() {
            let step = self.scales[row] * self.group_scales[(row, j / COLUMNS)];
            let old = self.integers[(row, j)];
            let new = nearest_level(old + slope[j] / (goal.second[(j, j)] * step));
            // not where the step is zero, and the quotient no number
            if step > 0.0 && new != old {
                self.integers[(row, j)] = new;
                slope.scaled_add((old - new) * step, &goal.second.row(j));
                changed = true;
            }
        }
        changed
    }

    /// Moves every group's scale of a row to the best one, as [`improve_integers`](Self::improve_integers) does.
    fn improve_groups(
        &mut self,
        row: usize,
        slope: &mut ArrayViewMut1<'_, f32>,
        goal: &Goal,
    ) -> bool {
        let mut changed = false;
        for group in 0..self.group_scales.ncols() {
            let range = columns_of(group, slope.len());
            let integers = self.integers.slice(s![row, range.clone()]);
            let second = goal.second.slice(s![range.clone(), range.clone()]);
            let curvature = integers.dot(&second.dot(&integers));
            let gain = integers.dot(&slope.slice(s![range.clone()])) / curvature;
            let old = self.group_scales[(row, group)];
            let new = (old + gain / self.scales[row]).round().clamp(1.0, STEPS);
            // not where integers are all zero, and the quotient no number
            if curvature > 0.0 && new != old {
                let change = &integers * ((old - new) * self.scales[row]);
                *slope += &change.dot(&goal.second.slice(s![range, ..]));
                self.group_scales[(row, group)] = new;
                changed = true;
            }
        }
        changed
    }

    /// Moves the scale of a row to the best one. `wanted` is `z R^T`, what `slope` is when all weights are
    /// zero: the difference is what the row's weights make of it.
    fn improve_scale(
        &mut self,
        row: usize,
        slope: &mut ArrayViewMut1<'_, f32>,
        wanted: ArrayView1<'_, f32>,
    ) {
        let value = Array1::from_shape_fn(slope.len(), |j| {
            self.integers[(row, j)] * self.group_scales[(row, j / COLUMNS)]
        });
        let image = (&wanted - &*slope) / self.scales[row];
        let change = value.dot(slope) / value.dot(&image);
        let scale = self.scales[row] + change;
        if scale.is_finite() && scale >= SMALLEST {
            self.scales[row] = scale;
            slope.scaled_add(-change, &image);
        }
    }
}

fn columns_of(group: usize, columns: usize) -> Range<usize> {
    group * COLUMNS..((group + 1) * COLUMNS).min(columns)
}

fn nearest_level(x: f32) -> f32 {
    x.round().clamp(-LEVELS, LEVELS)
}

fn largest(numbers: ArrayView1<'_, f32>) -> f32 {
    numbers.iter().fold(0.0, |m, x| m.max(x.abs()))
}

/// The scale of a group, and its integers, of the smallest error among a few scales; nothing for zeros.
fn search(
    target: ArrayView1<'_, f32>,
    factor: ArrayView2<'_, f32>,
    row_scale: f32,
) -> Option<(f32, Array1<f32>)> {
    let (_, exact) = nearest_plane(target, factor, |x| x);
    let whole = largest(exact.view()) / (LEVELS * row_scale);
    if !(whole.is_finite() && whole > 0.0) {
        return None;
    }
    let scales = PARTS.map(|part| (whole * part as f32 / 20.0).round().clamp(1.0, STEPS));
    let mut scales: Vec<f32> = scales.collect();
    scales.dedup();
    let tried = scales.into_iter().map(|scale| {
        let step = scale * row_scale;
        let (error, values) = nearest_plane(target, factor, |x| nearest_level(x / step) * step);
        (error, scale, values.mapv_into(|x| nearest_level(x / step)))
    });
    let best = tried.min_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, scale, integers)| (scale, integers))
}

/// Values `v` with `v factor` near `target`, column by column: each is `round` of the one that would
/// make its column of the product exact. Also the squared error.
fn nearest_plane(
    target: ArrayView1<'_, f32>,
    factor: ArrayView2<'_, f32>,
    round: impl Fn(f32) -> f32,
) -> (f32, Array1<f32>) {
    let mut left = target.to_vec();
    let mut values = Array1::zeros(left.len());
    let mut error = 0.0;
    for (j, row) in factor.rows().into_iter().enumerate() {
        let value = round(left[j] / row[j]);
        let row = row.to_slice().expect("rows are contiguous");
        let behind = left[j..].iter_mut().zip(&row[j..]);
        behind.for_each(|(left, factor)| *left -= value * factor);
        error += left[j] * left[j];
        values[j] = value;
    }
    (error, values)
}

#[cfg(test)]
mod tests {
    use super::super::matrix::Matrix;
    use super::super::moment::mean_product;
    use super::super::nearest::WeightType;
    use super::*;
    use proptest::prelude::*;

    /// Numbers in -1..1.
    fn noise(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
        let mut state = seed;
        Array2::from_shape_simple_fn((rows, columns), || {
            state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            ((state >> 11) as f64 / (1u64 << 52) as f64 - 1.0) as f32
        })
    }

    /// Inputs of few directions, and a little of all.
    fn correlated(rows: usize, columns: usize, seed: u64) -> Array2<f32> {
        let few = noise(rows, 4, seed).dot(&noise(4, columns, seed + 1));
        few + noise(rows, columns, seed + 2) * 0.1
    }

    fn goal_of(x: &Array2<f32>) -> Goal {
        let second = mean_product(x.view(), x.view());
        Goal::new(&second, &second).unwrap()
    }

    fn error(weights: &Array2<f32>, matrix: &Matrix, goal: &Goal) -> f32 {
        let difference = weights - &matrix.values();
        let image = difference.dot(&goal.factor);
        image.iter().map(|x| x * x).sum()
    }

    proptest! {
        #[test]
        fn correlated_inputs_lose_less_than_by_nearest(rows in 1usize..80, columns in 33usize..100, seed in any::<u32>()) {
            let weights = noise(rows, columns, seed.into());
            let goal = goal_of(&correlated(200, columns, u64::from(seed) + 9));
            let nearest = |t| error(&weights, &Matrix::nearest(weights.view(), t), &goal);
            let four = round(weights.view(), &goal);
            prop_assert!(error(&weights, &Matrix::Int4(four), &goal) < 0.7 * nearest(WeightType::Int4));
        }

        #[test]
        fn numbers_are_those_of_the_type(rows in 1usize..70, columns in 1usize..100, seed in any::<u32>(), e in -60i32..60) {
            let weights = noise(rows, columns, seed.into()) * 2f32.powi(e);
            let goal = goal_of(&correlated(50, columns, seed.into()));
            let q = round(weights.view(), &goal);
            prop_assert_eq!(q.integers.len(), rows * columns);
            prop_assert_eq!(q.group_scales.len(), rows * columns.div_ceil(COLUMNS));
            prop_assert!(q.integers.iter().all(|q| (-7..=7).contains(q)));
            prop_assert!(q.scales.iter().all(|s| *s == 0.0 || (*s >= SMALLEST && s.is_finite())));
        }
    }

    /// Weights on a grid of their own are kept, whatever the inputs are.
    #[test]
    fn representable_weights_are_exact() {
        let steps = noise(6, 64, 1).mapv(|x| (x * 7.4).round());
        let mut weights = steps * 0.25;
        // each group has its largest integer, and each row its largest group
        weights.column_mut(0).fill(7.0 * 0.25);
        weights.column_mut(40).fill(-7.0 * 0.25);
        for x in [correlated(100, 64, 2), Array2::zeros((5, 64))] {
            let q = Matrix::Int4(round(weights.view(), &goal_of(&x)));
            let difference = (&weights - &q.values())
                .iter()
                .fold(0f32, |m, x| m.max(x.abs()));
            assert!(difference < 1e-5, "{difference}");
        }
    }

    #[test]
    fn inputs_without_a_full_rank_are_no_obstacle() {
        let weights = noise(5, 70, 3);
        let line = Array2::from_shape_fn((20, 70), |(i, j)| (i as f32 - 9.5) * (j as f32 - 30.0));
        for x in [line, Array2::zeros((20, 70))] {
            let goal = goal_of(&x);
            let q = Matrix::Int4(round(weights.view(), &goal));
            let nearest = Matrix::nearest(weights.view(), WeightType::Int4);
            assert!(error(&weights, &q, &goal) <= error(&weights, &nearest, &goal));
        }
    }

    #[test]
    fn inputs_that_are_no_numbers_are_refused() {
        for bad in [f32::NAN, f32::INFINITY] {
            let mut x = correlated(20, 8, 4);
            x[(3, 5)] = bad;
            let second = mean_product(x.view(), x.view());
            assert!(Goal::new(&second, &second).is_err());
        }
    }

    #[test]
    fn zeros_stay_zeros() {
        let mut weights = noise(3, 64, 5);
        weights.row_mut(1).fill(0.0);
        weights.slice_mut(s![2, 32..]).fill(0.0);
        let q = round(weights.view(), &goal_of(&Array2::zeros((4, 64))));
        assert_eq!((q.scales[1], &q.group_scales[2..4]), (0.0, &[0, 0][..]));
        assert_eq!(q.group_scales[5], 0);
    }
}
