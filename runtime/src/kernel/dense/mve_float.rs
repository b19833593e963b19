//! Quantization and scaling with vector floats of Armv8.1-M (MVE-F): Cortex-M55 and M85.
//!
//! These instructions take subnormal numbers for zero, which the `f32` contract does not; the compiler
//! must not use them, but here they give the contract's bits:
//!
//! * Quantizing, a product below 2^-126 disappears beside 1.5 * 2^23 whether it is flushed or not. So
//!   does that of a subnormal activation: it is multiplied by at most 127 * 2^50.
//! * Scaling, every number is zero or at least 2^-107: a sum at least 1, a row's scale 2^-50, the
//!   activations' 2^-50 / 127. A bias is zero or at least 2^-50; where the sum with it cancels, what is
//!   left is a multiple of 2^-74 (both are within a factor of two of each other then, and have 24 bits).
//!
//! The largest magnitude is found by integer comparisons of the bits: .25 of four instructions an
//! activation, quantizing .25 of five, scaling a row .25 of nine.

#![allow(unsafe_code)]

use crate::math::ROUND;
use core::arch::naked_asm;

/// The bits of the largest magnitude.
pub(crate) fn largest(x: &[f32]) -> u32 {
    if x.is_empty() {
        return 0;
    }
    // SAFETY: there are x.len() numbers, at least one.
    unsafe { twice_largest(x.as_ptr(), x.len()) >> 1 }
}

/// `q = round(x * inverse)`, as far as both reach.
pub(crate) fn quantize(x: &[f32], inverse: f32, q: &mut [i8]) {
    let length = x.len().min(q.len());
    if length == 0 {
        return;
    }
    let numbers = [inverse.to_bits(), ROUND.to_bits()];
    // SAFETY: both slices have so many elements, at least one.
    unsafe { quantize_all(x.as_ptr(), length, q.as_mut_ptr(), &numbers) };
}

/// `y = sum * (scale * row_scale) + bias`, where `y` has the bits of the sum, as far as all reach.
/// `bias` may be empty.
pub(crate) fn scale(scale: f32, row_scales: &[f32], bias: &[f32], y: &mut [f32]) {
    let length = y.len().min(row_scales.len());
    let length = match bias.len() {
        0 => length,
        biases => length.min(biases),
    };
    if length == 0 {
        return;
    }
    let rows = Rows {
        length,
        scale: scale.to_bits(),
    };
    let (y, row_scales) = (y.as_mut_ptr(), row_scales.as_ptr());
    if bias.is_empty() {
        // SAFETY: both slices have so many elements, at least one.
        unsafe { scale_only(y, row_scales, &rows) };
    } else {
        // SAFETY: all slices have so many elements, at least one.
        unsafe { scale_all(y, row_scales, bias.as_ptr(), &rows) };
    }
}

/// What the assembly reads beside the pointers, by offset.
#[repr(C)]
struct Rows {
    length: usize,
    scale: u32,
}

/// # Safety
/// `x` has `length` numbers, at least one.
#[unsafe(naked)]
unsafe extern "C" fn twice_largest(x: *const f32, length: usize) -> u32 {
    naked_asm!(
        ".cpu cortex-m55", // assembly does not know the core by itself
        "push {{r7, lr}}",
        "vmov.i32 q1, #0",
        "dlstp.32 lr, r1",
        "2:",
        "vldrw.u32 q0, [r0], #16",
        "vshl.i32 q0, q0, #1", // without the sign
        "vmax.u32 q1, q1, q0",
        "letp lr, 2b",
        "movs r0, #0",
        "vmaxv.u32 r0, q1",
        "pop {{r7, pc}}",
    )
}

/// # Safety
/// `x` and `q` have `length` elements, at least one; `numbers` are the bits of the factor and of
/// [`ROUND`].
#[unsafe(naked)]
unsafe extern "C" fn quantize_all(x: *const f32, length: usize, q: *mut i8, numbers: &[u32; 2]) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "ldrd r3, r12, [r3]",
        "dlstp.32 lr, r1",
        "2:",
        "vldrw.u32 q0, [r0], #16",
        "vmul.f32 q0, q0, r3",
        "vadd.f32 q0, q0, r12",
        "vstrb.32 q0, [r2], #4", // the low bytes
        "letp lr, 2b",
        "pop {{r7, pc}}",
    )
}

/// # Safety
/// `y`, `row_scales` and `bias` have `rows.length` numbers, at least one.
#[unsafe(naked)]
unsafe extern "C" fn scale_all(y: *mut f32, row_scales: *const f32, bias: *const f32, rows: &Rows) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "ldrd r12, r3, [r3]",
        "dlstp.32 lr, r12",
        "2:",
        "vldrw.u32 q0, [r0]",
        "vldrw.u32 q1, [r1], #16",
        "vcvt.f32.s32 q0, q0",
        "vmul.f32 q1, q1, r3",
        "vldrw.u32 q2, [r2], #16",
        "vmul.f32 q0, q0, q1",
        "vadd.f32 q0, q0, q2",
        "vstrw.32 q0, [r0], #16",
        "letp lr, 2b",
        "pop {{r7, pc}}",
    )
}

/// Without biases: adding zeros instead would lose the sign of a zero.
///
/// # Safety
/// `y` and `row_scales` have `rows.length` numbers, at least one.
#[unsafe(naked)]
unsafe extern "C" fn scale_only(y: *mut f32, row_scales: *const f32, rows: &Rows) {
    naked_asm!(
        ".cpu cortex-m55",
        "push {{r7, lr}}",
        "ldrd r12, r3, [r2]",
        "dlstp.32 lr, r12",
        "2:",
        "vldrw.u32 q0, [r0]",
        "vldrw.u32 q1, [r1], #16",
        "vcvt.f32.s32 q0, q0",
        "vmul.f32 q1, q1, r3",
        "vmul.f32 q0, q0, q1",
        "vstrw.32 q0, [r0], #16",
        "letp lr, 2b",
        "pop {{r7, pc}}",
    )
}
