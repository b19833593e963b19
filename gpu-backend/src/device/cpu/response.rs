//! From frequency responses to impulse responses: columns of `[bins + 1, width]` to `[parts, lags, width]`.
//!
//! With weights `w` of 1 at both ends and 2 between, one complex transform of the real numbers
//! `w[k] a[k] / 2 bins` gives both parts: its real part is what `a` as a real part adds to the kernel,
//! its imaginary part what `a` as an imaginary part adds. The adjoint is the real part of the same transform of
//! `d_real - i d_imaginary`, with the weights behind.

use crate::device::RpeShape;
use rayon::prelude::*;
use std::f64::consts::PI;
use toeplite_fft::{Complex, plan_complex};

/// Columns of the kernel that are not always zero: index in the transform, column, factor.
fn places(shape: &RpeShape, bins: usize) -> impl Iterator<Item = (usize, usize, f32)> + Clone {
    let live = bins.min(shape.length);
    let causal = shape.causal;
    let above = (0..live).map(move |lag| (lag, lag, if causal && lag > 0 { 2.0 } else { 1.0 }));
    let below = if causal { 1..1 } else { 1..live };
    let columns = shape.lags();
    above.chain(below.map(move |lag| (2 * bins - lag, columns - lag, 1.0)))
}

fn weight(bins: usize, frequency: usize) -> f32 {
    let ends = frequency == 0 || frequency == bins;
    (if ends { 1.0 } else { 2.0 }) / (2 * bins) as f32
}

/// What 1 at all frequencies of a part adds to each lag. Of the imaginary part, which is zero at both
/// ends: the sum of `-sin(pi k lag / bins) / bins` has a closed form.
pub fn of_one(shape: &RpeShape, bins: usize, part: usize) -> Vec<f32> {
    let mut ones = vec![0.0; shape.lags()];
    if part == 0 {
        ones[0] = 1.0;
        return ones;
    }
    for (index, column, _) in places(shape, bins) {
        if index % 2 == 1 {
            let angle = PI * index as f64 / (2 * bins) as f64;
            ones[column] = (-1.0 / (bins as f64 * angle.tan())) as f32;
        }
    }
    ones
}

/// The transforms of `width` columns, one behind the other; `load` fills one that is zero.
fn transforms(
    width: usize,
    bins: usize,
    load: impl Fn(usize, &mut [Complex<f32>]) + Sync,
) -> Vec<Complex<f32>> {
    let size = 2 * bins;
    let plan = plan_complex::<f32>(size).forward;
    let mut columns = vec![Complex::default(); width * size];
    let each = columns.par_chunks_exact_mut(size).enumerate();
    each.for_each(|(column, z)| {
        load(column, z);
        plan.process(z);
    });
    columns
}

/// `a` `[bins + 1, width]` to `[parts, lags, width]`; lags that are always zero are not written.
pub fn forward(shape: &RpeShape, bins: usize, a: &[f32], to: &mut [f32]) {
    let width = shape.width;
    let columns = transforms(width, bins, |j, z| {
        for (k, (z, row)) in z.iter_mut().zip(a.chunks_exact(width)).enumerate() {
            z.re = weight(bins, k) * row[j];
        }
    });
    let (real, imaginary) = to.split_at_mut(shape.lags() * width);
    for (index, column, factor) in places(shape, bins) {
        let z = columns[index..].iter().step_by(2 * bins);
        let real = real[column * width..].iter_mut();
        real.zip(z.clone()).for_each(|(to, z)| *to = factor * z.re);
        if shape.parts() == 2 {
            let imaginary = imaginary[column * width..].iter_mut();
            imaginary.zip(z).for_each(|(to, z)| *to = z.im);
        }
    }
}

/// The adjoint: `d` `[parts, lags, width]` to `[bins + 1, width]`.
pub fn backward(shape: &RpeShape, bins: usize, d: &[f32], to: &mut [f32]) {
    let width = shape.width;
    let (real, imaginary) = d.split_at(shape.lags() * width);
    let columns = transforms(width, bins, |j, z| {
        for (index, column, factor) in places(shape, bins) {
            let at = column * width + j;
            let imaginary = imaginary.get(at).copied().unwrap_or(0.0);
            z[index] = Complex::new(factor * real[at], -imaginary);
        }
    });
    for (k, row) in to.chunks_exact_mut(width).enumerate() {
        let z = columns[k..].iter().step_by(2 * bins);
        row.iter_mut()
            .zip(z)
            .for_each(|(to, z)| *to = weight(bins, k) * z.re);
    }
}
