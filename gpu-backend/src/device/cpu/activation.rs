//! Activations and their derivatives, one element at a time, for vectorized loops.

use super::simd::{exp, normal_tail, sigmoid};
use crate::device::Activation;

/// An activation known when its loops are compiled.
pub trait Function: Copy + Send + Sync {
    /// The activation.
    fn value(x: f32) -> f32;
    /// The activation and its derivative.
    fn both(x: f32) -> (f32, f32);
}

/// [`Activation::None`].
#[derive(Clone, Copy)]
pub struct Identity;
/// [`Activation::Silu`].
#[derive(Clone, Copy)]
pub struct Silu;
/// [`Activation::Relu`].
#[derive(Clone, Copy)]
pub struct Relu;
/// [`Activation::Gelu`].
#[derive(Clone, Copy)]
pub struct Gelu;

impl Function for Identity {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x
    }

    #[inline(always)]
    fn both(x: f32) -> (f32, f32) {
        (x, 1.0)
    }
}

impl Function for Silu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x / (1.0 + exp(-x))
    }

    #[inline(always)]
    fn both(x: f32) -> (f32, f32) {
        let s = sigmoid(x);
        let y = x * s;
        (y, s + y * (1.0 - s))
    }
}

impl Function for Relu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x.max(0.0)
    }

    #[inline(always)]
    fn both(x: f32) -> (f32, f32) {
        (x.max(0.0), if x > 0.0 { 1.0 } else { 0.0 })
    }
}

impl Gelu {
    #[inline(always)]
    fn phi(x: f32) -> f32 {
        let tail = normal_tail(x.abs());
        if x < 0.0 { tail } else { 1.0 - tail }
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn value(x: f32) -> f32 {
        x * Self::phi(x)
    }

    #[inline(always)]
    fn both(x: f32) -> (f32, f32) {
        /// `1 / sqrt(2 pi)`.
        const DENSITY: f32 = 0.398_942_3;
        let phi = Self::phi(x);
        (x * phi, phi + x * DENSITY * exp(-0.5 * x * x))
    }
}

/// Evaluates an expression with `$f` the type of an [`Activation`].
macro_rules! with_activation {
    ($act:expr, $f:ident => $body:expr) => {
        match $act {
            crate::device::Activation::None => {
                type $f = crate::device::cpu::activation::Identity;
                $body
            }
            crate::device::Activation::Silu => {
                type $f = crate::device::cpu::activation::Silu;
                $body
            }
            crate::device::Activation::Relu => {
                type $f = crate::device::cpu::activation::Relu;
                $body
            }
            crate::device::Activation::Gelu => {
                type $f = crate::device::cpu::activation::Gelu;
                $body
            }
        }
    };
}
pub(super) use with_activation;

/// `x = act(x)`.
pub fn activate(act: Activation, x: &mut [f32]) {
    with_activation!(act, F => super::simd::vectorized(#[inline(always)] || {
        for x in x {
            *x = F::value(*x);
        }
    }));
}

/// `dy *= act'(x)`.
pub fn activate_backward(act: Activation, x: &[f32], dy: &mut [f32]) {
    with_activation!(act, F => super::simd::vectorized(#[inline(always)] || {
        for (dy, &x) in dy.iter_mut().zip(x) {
            *dy *= F::both(x).1;
        }
    }));
}
