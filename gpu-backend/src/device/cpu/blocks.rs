//! Sums whose parts depend on the shape alone, never on the number of threads.

use rayon::prelude::*;

/// Rows (or tokens) of one part.
pub const ROWS: usize = 256;

/// Sums over parts of `count` rows: `part(range, partial)` adds a part to zeros, partial sums are
/// computed in parallel and added to `sums` in order.
pub fn add_in_order(
    count: usize,
    sums: &mut [f32],
    part: impl Fn(std::ops::Range<usize>, &mut [f32]) + Sync,
) {
    let partials: Vec<Vec<f32>> = (0..count.div_ceil(ROWS))
        .into_par_iter()
        .map(|index| {
            let mut partial = vec![0.0; sums.len()];
            part(index * ROWS..count.min((index + 1) * ROWS), &mut partial);
            partial
        })
        .collect();
    for partial in partials {
        add(&partial, sums);
    }
}

/// `to += from`.
pub fn add(from: &[f32], to: &mut [f32]) {
    super::simd::vectorized(
        #[inline(always)]
        || {
            for (to, from) in to.iter_mut().zip(from) {
                *to += from;
            }
        },
    );
}

/// Sum of squares in f64: eight sums side by side, then those in order.
#[inline(always)]
pub fn squares(x: &[f32]) -> f64 {
    dot(x, x)
}

/// Scalar product in f64.
#[inline(always)]
pub fn dot(x: &[f32], y: &[f32]) -> f64 {
    let (x, x_rest) = x.as_chunks::<8>();
    let (y, y_rest) = y.as_chunks::<8>();
    let mut sums = [0f64; 8];
    for (x, y) in x.iter().zip(y) {
        for i in 0..8 {
            sums[i] += f64::from(x[i]) * f64::from(y[i]);
        }
    }
    let rest = x_rest.iter().zip(y_rest);
    let rest: f64 = rest.map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
    sums.iter().sum::<f64>() + rest
}

/// Sum in f64.
#[inline(always)]
pub fn sum(x: &[f32]) -> f64 {
    let (x, rest) = x.as_chunks::<8>();
    let mut sums = [0f64; 8];
    for x in x {
        for i in 0..8 {
            sums[i] += f64::from(x[i]);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|&x| f64::from(x)).sum::<f64>()
}
