//! Norms of the `f32` contract, in place.

use crate::kernel;
use crate::kernel::elementwise;
use crate::math::sigmoid;
use crate::model::Norm;

/// Normalizes `x` in place. `params` are the norm's parameters as the blob holds them: nothing
/// for SimpleRMSNorm, `scale` for RMSNorm, `scale` then `gate` for GatedRMSNorm, one number for
/// ScaleNorm, `weight` then `bias` for LayerNorm.
#[inline(never)]
pub fn norm(kind: Norm, params: &[f32], x: &mut [f32]) {
    let (first, second) = params.split_at_checked(x.len()).unwrap_or((params, &[]));
    match kind {
        Norm::None => {}
        Norm::SimpleRms => elementwise::scale(x, rms_factor(x)),
        Norm::Rms => {
            let factor = rms_factor(x);
            for (x, scale) in x.iter_mut().zip(first) {
                *x = *x * factor * scale;
            }
        }
        Norm::GatedRms => {
            let factor = rms_factor(x);
            for ((x, scale), gate) in x.iter_mut().zip(first).zip(second) {
                *x = *x * factor * scale * sigmoid(gate * *x);
            }
        }
        Norm::Scale => {
            let mean = mean_square(x);
            let scale = params.first().copied().unwrap_or(1.0);
            elementwise::scale(x, scale / libm::sqrtf(mean + 1e-5));
        }
        Norm::Layer => layer_norm(first, second, x),
    }
}

/// `1 / (|x| / sqrt(d) + 1e-8)`.
fn rms_factor(x: &[f32]) -> f32 {
    1.0 / (libm::sqrtf(mean_square(x)) + 1e-8)
}

#[inline(never)]
fn mean_square(x: &[f32]) -> f32 {
    kernel::sum_of_squares(x) / x.len() as f32
}

#[inline(never)]
fn layer_norm(weight: &[f32], bias: &[f32], x: &mut [f32]) {
    let d = x.len() as f32;
    let mean = kernel::sum(x) / d;
    x.iter_mut().for_each(|x| *x -= mean);
    let factor = 1.0 / libm::sqrtf(mean_square(x) + 1e-5);
    for ((x, weight), bias) in x.iter_mut().zip(weight).zip(bias) {
        *x = *x * factor * weight + bias;
    }
}
