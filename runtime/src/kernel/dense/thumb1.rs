//! Row-major bytes on Armv6-M: Cortex-M0 and M0+.
//!
//! Four pointers to the ends of rows, one to that of the activations, an index that counts from minus
//! the columns up to zero, and two bytes are all eight low registers; sums are in high ones, which only
//! additions reach. A column is 14 instructions: `ldrsb` of the activation, `ldrsb`, `muls` and `add`
//! for each row, and one for the index. That is 3.5 a multiplication, with the branch after eight
//! columns 3.53. Two weights in one multiplication would save a `muls`, but take more to take apart.
//!
//! Counted, whole product: 3.56 an element at 256x256.
//!
//! With packed activations of two tokens (see [`two`](super::two)) two columns of two rows are 21
//! instructions for eight multiplications: 2.63 each, with the branch 2.66. Counted with packing: 2.71.

#![allow(unsafe_code)]

use super::scalar::{ROWS, Size};
use super::two;
use core::arch::naked_asm;

macro_rules! column {
    () => {
        concat!(
            "ldrsb r6, [r5, r4]\n",
            row!("r0", "r8"),
            row!("r1", "r9"),
            row!("r2", "r10"),
            row!("r3", "r11"),
            "adds r4, #1\n",
        )
    };
}

macro_rules! row {
    ($row:literal, $sum:literal) => {
        concat!(
            "ldrsb r7, [",
            $row,
            ", r4]\n",
            "muls r7, r6, r7\n",
            "add ",
            $sum,
            ", r7\n",
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
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4-r7}}",
        "mov r12, r2", // sums
        "ldm r3!, {{r4, r6}}",
        "push {{r4, r6}}", // columns, blocks
        "adds r5, r0, r4",
        "adds r0, r1, r4",
        "adds r1, r0, r4",
        "adds r2, r1, r4",
        "adds r3, r2, r4",
        "2:", // a block
        "ldr r4, [sp]",
        "rsbs r4, r4, #0",
        "movs r7, #0",
        "mov r8, r7",
        "mov r9, r7",
        "mov r10, r7",
        "mov r11, r7",
        "b 4f",
        "3:", // one column at a time, until those that are left are a multiple of eight
        column!(),
        "4:",
        "lsls r7, r4, #29",
        "bne 3b",
        "cmp r4, #0",
        "beq 6f",
        "5:",
        column!(),
        column!(),
        column!(),
        column!(),
        column!(),
        column!(),
        column!(),
        column!(),
        "bne 5b", // the last addition to the index has set the flags
        "6:",
        "mov r7, r12",
        "mov r4, r8",
        "mov r6, r9",
        "stm r7!, {{r4, r6}}",
        "mov r4, r10",
        "mov r6, r11",
        "stm r7!, {{r4, r6}}",
        "mov r12, r7",
        "ldr r4, [sp]",
        "lsls r4, r4, #2",
        "adds r0, r0, r4",
        "adds r1, r1, r4",
        "adds r2, r2, r4",
        "adds r3, r3, r4",
        "ldr r4, [sp, #4]",
        "subs r4, #1",
        "str r4, [sp, #4]",
        "beq 7f",
        "b 2b",
        "7:",
        "add sp, #8",
        "pop {{r4-r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4-r7, pc}}",
    )
}

/// Rows of a block of [`two_tokens`].
pub(super) const ROWS_OF_TWO: usize = 2;

macro_rules! two_columns {
    () => {
        concat!(
            "ldm r2!, {{r4, r5}}\n",
            "ldrsb r6, [r0, r3]\n",
            "ldrsb r7, [r1, r3]\n",
            "muls r6, r4, r6\n",
            "muls r7, r4, r7\n",
            "adds r3, #1\n",
            "ldrsb r4, [r0, r3]\n",
            "muls r4, r5, r4\n",
            "adds r6, r6, r4\n",
            "ldrsb r4, [r1, r3]\n",
            "muls r4, r5, r4\n",
            "adds r7, r7, r4\n",
            take_apart!("r6", "r8", "r9"),
            take_apart!("r7", "r10", "r11"),
            "adds r3, #1\n",
        )
    };
}

/// All sums to `$all`, those of the first token to `$first`.
macro_rules! take_apart {
    ($s:literal, $all:literal, $first:literal) => {
        concat!(
            "add ", $all, ", ", $s, "\n", "add ", $s, ", r12\n", "asrs ", $s, ", ", $s, ", #16\n",
            "add ", $first, ", ", $s, "\n",
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
    // r0 and r1 ends of rows, r2 activations, r3 from minus the columns up to zero, r12 half a unit
    naked_asm!(
        "push {{r4-r7, lr}}",
        "mov r4, r8",
        "mov r5, r9",
        "mov r6, r10",
        "mov r7, r11",
        "push {{r4-r7}}",
        "ldm r2!, {{r3-r6}}",
        "push {{r0, r3-r6}}", // packed, columns, blocks, sums
        "adds r0, r1, r3",
        "adds r1, r0, r3",
        "movs r4, #1",
        "lsls r4, r4, #15",
        "mov r12, r4",
        "2:", // a block
        "ldr r2, [sp]",
        "ldr r3, [sp, #4]",
        "rsbs r3, r3, #0",
        "movs r7, #0",
        "mov r8, r7",
        "mov r9, r7",
        "mov r10, r7",
        "mov r11, r7",
        "b 4f",
        "3:", // two columns at a time, until those that are left are a multiple of eight
        two_columns!(),
        "4:",
        "lsls r7, r3, #29",
        "bne 3b",
        "cmp r3, #0",
        "beq 6f",
        "5:",
        two_columns!(),
        two_columns!(),
        two_columns!(),
        two_columns!(),
        "bne 5b", // the last addition to the index has set the flags
        "6:",
        "mov r4, r9",
        "mov r5, r11",
        "ldr r7, [sp, #12]",
        "stm r7!, {{r4, r5}}",
        "str r7, [sp, #12]",
        "lsls r4, r4, #16",
        "lsls r5, r5, #16",
        "mov r6, r8",
        "subs r4, r6, r4",
        "mov r6, r10",
        "subs r5, r6, r5",
        "ldr r7, [sp, #16]",
        "stm r7!, {{r4, r5}}",
        "str r7, [sp, #16]",
        "ldr r4, [sp, #4]",
        "lsls r4, r4, #1",
        "adds r0, r0, r4",
        "adds r1, r1, r4",
        "ldr r4, [sp, #8]",
        "subs r4, #1",
        "str r4, [sp, #8]",
        "beq 7f",
        "b 2b",
        "7:",
        "add sp, #20",
        "pop {{r4-r7}}",
        "mov r8, r4",
        "mov r9, r5",
        "mov r10, r6",
        "mov r11, r7",
        "pop {{r4-r7, pc}}",
    )
}
