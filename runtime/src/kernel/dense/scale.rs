//! From integer sums to the numbers that they stand for.

/// `y = sum * (scale * row_scale) + bias`, where `y` holds the bits of the sum. `bias` may be empty.
pub(crate) fn scale(scale: f32, row_scales: &[f32], bias: &[f32], y: &mut [f32]) {
    #[cfg(toeplite_mve_float)]
    super::mve_float::scale(scale, row_scales, bias, y);
    #[cfg(not(toeplite_mve_float))]
    one_by_one(scale, row_scales, bias, y);
}

#[cfg(not(toeplite_mve_float))]
#[inline(always)]
fn one_by_one(scale: f32, row_scales: &[f32], bias: &[f32], y: &mut [f32]) {
    let scaled = |sum: f32, row_scale: &f32| {
        let sum = sum.to_bits().cast_signed();
        sum as f32 * (scale * row_scale)
    };
    if bias.is_empty() {
        for (y, row_scale) in y.iter_mut().zip(row_scales) {
            *y = scaled(*y, row_scale);
        }
    } else {
        for ((y, row_scale), bias) in y.iter_mut().zip(row_scales).zip(bias) {
            *y = scaled(*y, row_scale) + bias;
        }
    }
}
