//! Row-major bytes on Armv7-M: Cortex-M3, and cores with DSP instructions that are given a portable
//! model.
//!
//! A column of four rows is nine instructions: `ldrsb` of the activation, and for each row `ldrsb` and
//! `mla`, 2.25 a multiplication. Every load moves its own pointer, so that only the loop's end comes
//! to that: two for eight columns, 2.31. Both pipelines like two loads before the two multiplications.
//!
//! Counted on Cortex-M3, whole product: 2.33 an element at 256x256.

#![allow(unsafe_code)]

use super::scalar::{ROWS, Size};
use core::arch::naked_asm;

macro_rules! column {
    () => {
        concat!(
            "ldrsb r11, [r0], #1\n",
            "ldrsb r12, [r1], #1\n",
            "ldrsb lr, [r4], #1\n",
            "mla r7, r12, r11, r7\n",
            "mla r8, lr, r11, r8\n",
            "ldrsb r12, [r5], #1\n",
            "ldrsb lr, [r6], #1\n",
            "mla r9, r12, r11, r9\n",
            "mla r10, lr, r11, r10\n",
        )
    };
}

/// The sums of blocks of four rows.
///
/// # Safety
/// `size` is not zero; `q` has its columns, `weights` have four rows of them for each of its blocks,
/// `sums` its blocks.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn four_rows(
    q: *const i8,
    weights: *const i8,
    sums: *mut [i32; ROWS],
    size: &Size,
) {
    // r0 activation, r1 and r4 to r6 rows, r7 to r10 sums, r2 end of the whole eights, r3 end
    naked_asm!(
        "push {{r4-r11, lr}}",
        "ldrd r4, r5, [r3]",
        "push {{r0, r2, r4, r5}}", // q, sums, columns, blocks
        "add r3, r0, r4",
        "bic r4, r4, #7",
        "add r2, r0, r4",
        "2:", // a block
        "ldr r0, [sp]",
        "ldr r11, [sp, #8]",
        "add r4, r1, r11",
        "add r5, r4, r11",
        "add r6, r5, r11",
        "movs r7, #0",
        "mov r8, r7",
        "mov r9, r7",
        "mov r10, r7",
        "cmp r0, r2",
        "beq 4f",
        "3:",
        column!(),
        column!(),
        column!(),
        column!(),
        column!(),
        column!(),
        column!(),
        column!(),
        "cmp r0, r2",
        "bne 3b",
        "4:",
        "cmp r0, r3",
        "beq 6f",
        "5:",
        column!(),
        "cmp r0, r3",
        "bne 5b",
        "6:",
        "ldr r11, [sp, #4]",
        "stmia r11!, {{r7-r10}}",
        "str r11, [sp, #4]",
        "mov r1, r6", // where the fourth row ends, the next begins
        "ldr r11, [sp, #12]",
        "subs r11, r11, #1",
        "str r11, [sp, #12]",
        "bne 2b",
        "add sp, #16",
        "pop {{r4-r11, pc}}",
    )
}
