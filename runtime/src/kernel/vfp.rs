//! The recurrence on Cortex-M cores with an FPU (M4F, M7, M33, M55): the bits of
//! [`modes`](super::modes), which is compared with it on every such core by `cargo xtask bench`.
//!
//! What LLVM makes of plain Rust loads every number by an instruction of its own, 163 instructions a
//! channel and step for 4 taps and 8 states. Here `vldm` loads four channels' rows at once, 4 to 16
//! numbers an instruction, and `vmla` multiplies and adds, rounding twice as the contract wants (it
//! is not fused). Predicted a block of four channels: 28 for four taps, 29 a complex mode, 18 a real one
//! and 7 more, so 37.8 a channel for 4 + 8. Measured with the calls and the visit of tiny states: 38.9
//! (`recurrence 384x4+8` of `cargo xtask bench`).

use super::modes::{Lanes, Modes};
use core::arch::naked_asm;

/// What [`toeplite_fir`] reads.
#[repr(C)]
struct Fir {
    x: *mut Lanes,
    y: *mut Lanes,
    past: *mut Lanes,
    taps: *const Lanes,
    blocks: usize,
    rows: usize,
}

/// What [`toeplite_modes`] reads.
#[repr(C)]
struct Bank {
    u: *const Lanes,
    y: *mut Lanes,
    state: *mut Lanes,
    residues: *const Lanes,
    poles: *const f32,
    blocks: usize,
    real: usize,
    complex: usize,
}

/// [`modes::fir`](super::modes::fir), bit for bit.
pub fn fir(rows: usize, taps: &[Lanes], past: &mut [Lanes], x: &mut [Lanes], y: &mut [Lanes]) {
    let blocks = x.len().min(y.len());
    if rows == 0 || blocks == 0 {
        return super::modes::fir(rows, taps, past, x, y);
    }
    let blocks = blocks.min(taps.len() / rows).min(past.len() / rows);
    if blocks == 0 {
        return;
    }
    let arguments = Fir {
        x: x.as_mut_ptr(),
        y: y.as_mut_ptr(),
        past: past.as_mut_ptr(),
        taps: taps.as_ptr(),
        blocks,
        rows,
    };
    // SAFETY: at least one block and one row; x and y hold `blocks` rows of four, past and taps
    // `blocks * rows`, as computed above; the slices are borrowed for the call.
    unsafe { toeplite_fir(&arguments) }
}

/// [`modes::modes`](super::modes::modes), bit for bit.
pub fn modes(modes: &Modes<'_>, state: &mut [Lanes], u: &[Lanes], y: &mut [Lanes]) {
    let order = modes.order();
    let complex = order.saturating_sub(modes.real) / 2;
    if order == 0 || !modes.decay.is_empty() || modes.real + 2 * complex != order {
        return super::modes::modes(modes, state, u, y);
    }
    let blocks = u.len().min(y.len());
    let blocks = blocks
        .min(state.len() / order)
        .min(modes.residues.len() / order);
    if blocks == 0 {
        return;
    }
    let arguments = Bank {
        u: u.as_ptr(),
        y: y.as_mut_ptr(),
        state: state.as_mut_ptr(),
        residues: modes.residues.as_ptr(),
        poles: modes.poles.as_ptr(),
        blocks,
        real: modes.real,
        complex,
    };
    // SAFETY: at least one block and one mode; u and y hold `blocks` rows of four, state and residues
    // `blocks * order`, poles `order` numbers, as computed above; the slices are borrowed for the call.
    unsafe { toeplite_modes(&arguments) }
}

/// s0-s3 x, then what leaves; s4-s7 y. r7 counts rows.
///
/// # Safety
/// The pointers are to as many rows of four numbers as [`Fir`] says.
#[unsafe(naked)]
unsafe extern "C" fn toeplite_fir(arguments: &Fir) {
    naked_asm!(
        ".fpu fpv4-sp-d16", // naked functions are assembled without the target's features
        "push {{r4-r7, lr}}",
        "vpush {{d8-d15}}",
        "ldm r0, {{r1-r6}}", // x, y, past, taps, blocks, rows
        "cmp r6, #4",
        "beq 4f",
        // any number of taps
        "mov r0, #0x80000000",
        "2: vldm r1, {{s0-s3}}",
        "vmov s4, r0",
        "vmov s5, r0",
        "vmov s6, r0",
        "vmov s7, r0",
        "mov r7, r6",
        "3: vldmia r4!, {{s8-s11}}",
        "vldm r3, {{s12-s15}}",
        "vmla.f32 s4, s8, s0",
        "vmla.f32 s5, s9, s1",
        "vmla.f32 s6, s10, s2",
        "vmla.f32 s7, s11, s3",
        "vstmia r3!, {{s0-s3}}",
        "vmov.f32 s0, s12",
        "vmov.f32 s1, s13",
        "vmov.f32 s2, s14",
        "vmov.f32 s3, s15",
        "subs r7, #1",
        "bne 3b",
        "vstmia r1!, {{s0-s3}}",
        "vstmia r2!, {{s4-s7}}",
        "subs r5, #1",
        "bne 2b",
        "b 5f",
        // four taps: the past moves on in registers
        "4: vldm r1, {{s0-s3}}",
        "vldmia r4!, {{s8-s23}}",
        "vldm r3, {{s24-s31}}",
        "add r7, r3, #32",
        "vmul.f32 s4, s8, s0",
        "vmul.f32 s5, s9, s1",
        "vmul.f32 s6, s10, s2",
        "vmul.f32 s7, s11, s3",
        "vmla.f32 s4, s12, s24",
        "vmla.f32 s5, s13, s25",
        "vmla.f32 s6, s14, s26",
        "vmla.f32 s7, s15, s27",
        "vldm r7, {{s8-s15}}",
        "vmla.f32 s4, s16, s28",
        "vmla.f32 s5, s17, s29",
        "vmla.f32 s6, s18, s30",
        "vmla.f32 s7, s19, s31",
        "vstmia r3!, {{s0-s3}}",
        "vmla.f32 s4, s20, s8",
        "vmla.f32 s5, s21, s9",
        "vmla.f32 s6, s22, s10",
        "vmla.f32 s7, s23, s11",
        "vstmia r3!, {{s24-s31}}",
        "vstmia r3!, {{s8-s11}}",
        "vstmia r1!, {{s12-s15}}",
        "vstmia r2!, {{s4-s7}}",
        "subs r5, #1",
        "bne 4b",
        "5: vpop {{d8-d15}}",
        "pop {{r4-r7, pc}}",
    )
}

/// A complex mode of four channels: s8 a, s9 c, s20-s23 p and then the new w, s24-s27 w and then
/// residues, s16-s19 the new p.
macro_rules! complex_mode {
    () => {
        concat!(
            "vldmia r10!, {{s8-s9}}\n",
            "vldm r3, {{s20-s27}}\n",
            "vmul.f32 s16, s20, s8\n",
            "vmul.f32 s17, s21, s8\n",
            "vmul.f32 s18, s22, s8\n",
            "vmul.f32 s19, s23, s8\n",
            "vmls.f32 s16, s24, s9\n",
            "vmls.f32 s17, s25, s9\n",
            "vmls.f32 s18, s26, s9\n",
            "vmls.f32 s19, s27, s9\n",
            "vmla.f32 s20, s24, s8\n",
            "vmla.f32 s21, s25, s8\n",
            "vmla.f32 s22, s26, s8\n",
            "vmla.f32 s23, s27, s8\n",
            "vldmia r4!, {{s24-s31}}\n",
            "vadd.f32 s16, s16, s12\n",
            "vadd.f32 s17, s17, s13\n",
            "vadd.f32 s18, s18, s14\n",
            "vadd.f32 s19, s19, s15\n",
            "vmla.f32 s4, s24, s16\n",
            "vmla.f32 s5, s25, s17\n",
            "vmla.f32 s6, s26, s18\n",
            "vmla.f32 s7, s27, s19\n",
            "vstmia r3!, {{s16-s23}}\n",
            "vmla.f32 s4, s28, s20\n",
            "vmla.f32 s5, s29, s21\n",
            "vmla.f32 s6, s30, s22\n",
            "vmla.f32 s7, s31, s23\n",
        )
    };
}

/// s4-s7 y, s12-s15 u; r10 walks through the poles; r7 and r8 are where a block begins and where its
/// complex modes begin: in the middle of a loop of two if their number is odd.
///
/// # Safety
/// The pointers are to as many rows of four numbers, and poles, as [`Bank`] says.
#[unsafe(naked)]
unsafe extern "C" fn toeplite_modes(arguments: &Bank) {
    naked_asm!(
        ".fpu fpv4-sp-d16", // naked functions are assembled without the target's features
        "push {{r4-r12, lr}}",
        "vpush {{d8-d15}}",
        "ldm r0, {{r1-r8}}", // u, y, state, residues, poles, blocks, real, complex
        "add r9, r5, r7, lsl #2", // end of the real poles
        "add r11, r9, r8, lsl #3", // end of all
        "adr.w r12, 5f",
        "cmp r8, #0",
        "it eq",
        "adreq.w r12, 6f",
        "tst r8, #1",
        "it ne",
        "adrne.w r12, 4f",
        "mov r8, r12",
        "cmp r7, #0",
        "it ne",
        "adrne.w r12, 3f",
        "mov r7, r12",
        "2: vldmia r1!, {{s12-s15}}",
        "vldm r2, {{s4-s7}}",
        "mov r10, r5",
        "mov pc, r7",
        "3: vldmia r10!, {{s8}}",
        "vldm r3, {{s16-s19}}",
        "vldmia r4!, {{s24-s27}}",
        "vmul.f32 s16, s16, s8",
        "vmul.f32 s17, s17, s8",
        "vmul.f32 s18, s18, s8",
        "vmul.f32 s19, s19, s8",
        "vadd.f32 s16, s16, s12",
        "vadd.f32 s17, s17, s13",
        "vadd.f32 s18, s18, s14",
        "vadd.f32 s19, s19, s15",
        "vmla.f32 s4, s24, s16",
        "vmla.f32 s5, s25, s17",
        "vmla.f32 s6, s26, s18",
        "vmla.f32 s7, s27, s19",
        "vstmia r3!, {{s16-s19}}",
        "cmp r10, r9",
        "bne 3b",
        "mov pc, r8",
        "5:",
        complex_mode!(),
        "4:",
        complex_mode!(),
        "cmp r10, r11",
        "bne 5b",
        "6: vstmia r2!, {{s4-s7}}",
        "subs r6, #1",
        "bne 2b",
        "vpop {{d8-d15}}",
        "pop {{r4-r12, pc}}",
    )
}
