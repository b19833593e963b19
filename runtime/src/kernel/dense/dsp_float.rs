//! Quantization on Armv7E-M with DSP instructions and an FPU.
//!
//! Eight activations are 32 instructions: one load, a `vmul` and a `vadd` for each (adding 1.5 * 2^23
//! leaves the rounded integer in the low bits), `vmov` and `pkhbt` for every two, `smlad` with ones for
//! their sum, one store, and three for the loop. Plain Rust takes 8 loads and 8 moves instead.

#![allow(unsafe_code)]

use crate::math::ROUND;
use core::arch::naked_asm;

/// Stores `round(x * inverse)` in pairs of 16 bits, as far as both slices reach; their sum.
pub(crate) fn store(x: &[[f32; 8]], inverse: f32, q: &mut [[u32; 4]]) -> i32 {
    let eights = x.len().min(q.len());
    if eights == 0 {
        return 0;
    }
    let numbers = [inverse, ROUND];
    // SAFETY: both slices have so many groups, at least one.
    unsafe { pairs(x.as_ptr(), eights, q.as_mut_ptr(), &numbers) }
}

/// # Safety
/// `x` and `q` have `eights` elements, at least one; `numbers` are the factor and [`ROUND`].
#[unsafe(naked)]
unsafe extern "C" fn pairs(
    x: *const [f32; 8],
    eights: usize,
    q: *mut [u32; 4],
    numbers: &[f32; 2],
) -> i32 {
    naked_asm!(
        dsp_core!(),
        ".fpu fpv4-sp-d16", // assembly does not know the core's FPU by itself
        "push {{r4-r8, lr}}",
        "vldmia r3, {{s14, s15}}",
        "mov r7, #0x00010001",
        "movs r8, #0",
        "2:",
        "vldmia r0!, {{s0-s7}}",
        "vmul.f32 s0, s0, s14",
        "vmul.f32 s1, s1, s14",
        "vmul.f32 s2, s2, s14",
        "vmul.f32 s3, s3, s14",
        "vmul.f32 s4, s4, s14",
        "vmul.f32 s5, s5, s14",
        "vmul.f32 s6, s6, s14",
        "vmul.f32 s7, s7, s14",
        "vadd.f32 s0, s0, s15",
        "vadd.f32 s1, s1, s15",
        "vadd.f32 s2, s2, s15",
        "vadd.f32 s3, s3, s15",
        "vadd.f32 s4, s4, s15",
        "vadd.f32 s5, s5, s15",
        "vadd.f32 s6, s6, s15",
        "vadd.f32 s7, s7, s15",
        "vmov r3, r4, s0, s1",
        "vmov r5, r6, s2, s3",
        "pkhbt r3, r3, r4, lsl #16",
        "pkhbt r4, r5, r6, lsl #16",
        "vmov r5, r6, s4, s5",
        "vmov r12, lr, s6, s7",
        "pkhbt r5, r5, r6, lsl #16",
        "pkhbt r6, r12, lr, lsl #16",
        "smlad r8, r3, r7, r8",
        "smlad r8, r4, r7, r8",
        "smlad r8, r5, r7, r8",
        "smlad r8, r6, r7, r8",
        "stmia r2!, {{r3-r6}}",
        "subs r1, #1",
        "bne 2b",
        "mov r0, r8",
        "pop {{r4-r8, pc}}",
    )
}
