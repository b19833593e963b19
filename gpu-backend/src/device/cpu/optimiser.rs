//! AdamW.

use super::blocks::squares;
use super::simd::vectorized;
use crate::device::Optimiser;
use rayon::prelude::*;

/// Elements of one task, and of one partial sum.
const CHUNK: usize = 8192;

/// Sum of squares.
pub fn sum_squares(x: &[f32]) -> f32 {
    let partial = |x: &[f32]| {
        vectorized(
            #[inline(always)]
            || squares(x),
        )
    };
    let partials: Vec<f64> = x.par_chunks(CHUNK).map(partial).collect();
    partials.iter().sum::<f64>() as f32
}

/// The elements of one step, all of the same range.
pub struct State<'a> {
    /// Parameters.
    pub parameters: &'a mut [f32],
    /// Their copy.
    pub copy: &'a mut [f32],
    /// Gradients.
    pub gradients: &'a [f32],
    /// Running mean of the gradients.
    pub first: &'a mut [f32],
    /// Running mean of their squares.
    pub second: &'a mut [f32],
}

/// `hyper` as [`Optimiser`] lays it out, ready for the loop.
#[derive(Clone, Copy)]
struct Factors {
    gradient: f32,
    keep: f32,
    beta1: f32,
    beta2: f32,
    /// Learning rate over the first correction.
    rate: f32,
    /// One over the root of the second.
    root: f32,
    epsilon: f32,
}

impl Factors {
    /// `None` where the norm of the gradients is not finite: then there is no step to take.
    fn new(hyper: &[f32], decay: bool) -> Option<Self> {
        let [
            rate,
            beta1,
            beta2,
            epsilon,
            weight_decay,
            correction1,
            correction2,
            max_norm,
            scale,
        ] = hyper[..9].try_into().expect("nine elements");
        let norm = hyper[Optimiser::SQUARES].sqrt() * scale;
        // A limit would hide a norm that is no number: the smaller of that and 1 is 1.
        if !norm.is_finite() {
            return None;
        }
        // The constant is that of PyTorch's clip_grad_norm_.
        let clip = if max_norm > 0.0 {
            (max_norm / (norm + 1e-6)).min(1.0)
        } else {
            1.0
        };
        Some(Self {
            gradient: scale * clip,
            keep: if decay {
                1.0 - rate * weight_decay
            } else {
                1.0
            },
            beta1,
            beta2,
            rate: rate / correction1,
            root: 1.0 / correction2.sqrt(),
            epsilon,
        })
    }
}

/// One step; none where the norm of all gradients is not finite.
pub fn adamw(state: State, hyper: &[f32], decay: bool) {
    let Some(factors) = Factors::new(hyper, decay) else {
        return;
    };
    let values = state
        .parameters
        .par_chunks_mut(CHUNK)
        .zip(state.copy.par_chunks_mut(CHUNK));
    let means = state
        .first
        .par_chunks_mut(CHUNK)
        .zip(state.second.par_chunks_mut(CHUNK));
    let chunks = values.zip(means).zip(state.gradients.par_chunks(CHUNK));
    chunks.for_each(|(((parameters, copy), (first, second)), gradients)| {
        vectorized(
            #[inline(always)]
            || {
                let values = parameters.iter_mut().zip(copy);
                let means = first.iter_mut().zip(second);
                for (((p, copy), (m, v)), g) in values.zip(means).zip(gradients) {
                    let g = g * factors.gradient;
                    *m = factors.beta1 * *m + (1.0 - factors.beta1) * g;
                    *v = factors.beta2 * *v + (1.0 - factors.beta2) * g * g;
                    let step = *m / (v.sqrt() * factors.root + factors.epsilon);
                    *p = *p * factors.keep - factors.rate * step;
                    *copy = *p;
                }
            },
        );
    });
}
