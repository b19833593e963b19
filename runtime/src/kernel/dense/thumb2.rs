//! Row-major bytes on Armv7-M: Cortex-M3, and cores with DSP instructions that are given a portable
//! model.
//!
//! A column of four rows is nine instructions: `ldrsb` of the activation, and for each row `ldrsb` and
//! `mla`, 2.25 a multiplication. Every load moves its own pointer, so that only the loop's end comes
//! to that: two for eight columns, 2.31. Both pipelines like two loads before the two multiplications.
//!
//! Counted on Cortex-M3, whole product: 2.33 an element at 256x256.
//!
//! With packed activations of two tokens (see [`two`](super::two)) two columns of a row are six instructions for
//! four multiplications: `mla` adds the half unit that rounds, and the shift is part of an addition. With one
//! load for two rows, 1.63 a multiplication. Counted with
//! packing: 1.72.

#![allow(unsafe_code)]

use super::scalar::{ROWS, Size};
use super::two;
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

/// Rows of a block of [`two_tokens`].
pub(super) const ROWS_OF_TWO: usize = 2;

macro_rules! two_columns {
    () => {
        concat!(
            "ldrd r5, r6, [r0], #8\n",
            packed_row!("r1", "r7", "r8"),
            packed_row!("r4", "r9", "r10"),
        )
    };
}

/// Two columns of a row: all sums in `$all`, those of the first token in `$first`.
macro_rules! packed_row {
    ($row:literal, $all:literal, $first:literal) => {
        concat!(
            "ldrsb r11, [",
            $row,
            "], #1\n",
            "ldrsb r12, [",
            $row,
            "], #1\n",
            "mla r11, r11, r5, lr\n",
            "mla r11, r12, r6, r11\n",
            "add ",
            $all,
            ", ",
            $all,
            ", r11\n",
            "add ",
            $first,
            ", ",
            $first,
            ", r11, asr #16\n",
        )
    };
}

/// The sums of blocks of two rows with packed activations.
///
/// # Safety
/// `size` is not zero, its columns even; `packed` has its columns, `weights` have two rows of them for
/// each of its blocks, the sums of each token two numbers.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn two_tokens(
    packed: *const u32,
    weights: *const i8,
    size: &two::Size,
) {
    // r0 activations, r1 and r4 rows, r2 end of the whole eights, r3 end, lr half a unit
    naked_asm!(
        "push {{r4-r11, lr}}",
        "ldm r2, {{r4-r7}}",
        "push {{r0, r4-r7}}", // packed, columns, blocks, sums
        "add r3, r0, r4, lsl #2",
        "bic r4, r4, #7",
        "add r2, r0, r4, lsl #2",
        "mov lr, #0x8000",
        "2:", // a block
        "ldr r0, [sp]",
        "ldr r11, [sp, #4]",
        "add r4, r1, r11",
        "lsl r11, r11, #14",
        "rsb r7, r11, #0", // the half units of all columns
        "mov r9, r7",
        "mov r8, #0",
        "mov r10, #0",
        "cmp r0, r2",
        "beq 4f",
        "3:",
        two_columns!(),
        two_columns!(),
        two_columns!(),
        two_columns!(),
        "cmp r0, r2",
        "bne 3b",
        "4:",
        "cmp r0, r3",
        "beq 6f",
        "5:",
        two_columns!(),
        "cmp r0, r3",
        "bne 5b",
        "6:",
        "sub r7, r7, r8, lsl #16",
        "sub r9, r9, r10, lsl #16",
        "ldrd r11, r12, [sp, #12]",
        "stmia r11!, {{r8, r10}}",
        "stmia r12!, {{r7, r9}}",
        "strd r11, r12, [sp, #12]",
        "mov r1, r4", // where the second row ends, the next begins
        "ldr r11, [sp, #8]",
        "subs r11, r11, #1",
        "str r11, [sp, #8]",
        "bne 2b",
        "add sp, #20",
        "pop {{r4-r11, pc}}",
    )
}
