//! From integer sums to the numbers that they stand for.

#[cfg(not(toeplite_mve_float))]
use crate::kernel::elementwise;

/// `y = sum * (scale * row_scale) + bias`, where `y` holds the bits of the sum. `bias` may be empty.
pub(crate) fn scale(scale: f32, row_scales: &[f32], bias: &[f32], y: &mut [f32]) {
    #[cfg(toeplite_mve_float)]
    super::mve_float::scale(scale, row_scales, bias, y);
    #[cfg(not(toeplite_mve_float))]
    one_by_one(scale, row_scales, bias, y);
}

#[cfg(not(toeplite_mve_float))]
fn one_by_one(scale: f32, row_scales: &[f32], bias: &[f32], y: &mut [f32]) {
    let scaled = |sum: f32, row_scale: f32| {
        let sum = sum.to_bits().cast_signed();
        sum as f32 * (scale * row_scale)
    };
    if bias.is_empty() {
        return elementwise::zip(y, row_scales, scaled);
    }
    let length = y.len().min(row_scales.len()).min(bias.len());
    let (Some(y), Some(scales), Some(bias)) = (
        y.get_mut(..length),
        row_scales.get(..length),
        bias.get(..length),
    ) else {
        return;
    };
    let ((y, y_rest), (scales, scales_rest)) = (y.as_chunks_mut::<4>(), scales.as_chunks::<4>());
    let (bias, bias_rest) = bias.as_chunks::<4>();
    for (([a, b, c, d], [p, q, r, s]), [t, u, v, w]) in y.iter_mut().zip(scales).zip(bias) {
        *a = scaled(*a, *p) + t;
        *b = scaled(*b, *q) + u;
        *c = scaled(*c, *r) + v;
        *d = scaled(*d, *s) + w;
    }
    for ((y, scale), bias) in y_rest.iter_mut().zip(scales_rest).zip(bias_rest) {
        *y = scaled(*y, *scale) + bias;
    }
}
