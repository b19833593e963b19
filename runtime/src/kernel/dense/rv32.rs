//! Row-major bytes on RV32 with multiplication.
//!
//! A column of four rows is `lb` of the activation, and `lb`, `mul` and `add` for each row: 3.25 a
//! multiplication. Pointers and the loop's end are six instructions for 16 columns, 3.34 in all.
//!
//! Counted on RV32IMAC, whole product: 3.36 an element at 256x256.
//!
//! With packed activations of two tokens (see [`two`](super::two)) two columns of a row are nine instructions for
//! four multiplications; with two loads for four rows, and six for the loop over 16 columns, 2.42 each.
//! Counted with packing: 2.46.

#![allow(unsafe_code)]

use super::scalar::{ROWS, Size};
use super::two;
use core::arch::naked_asm;

macro_rules! column {
    ($at:literal) => {
        concat!(
            "lb t4, ",
            $at,
            "(a0)\n",
            "lb t5, ",
            $at,
            "(a1)\n",
            "lb t6, ",
            $at,
            "(a4)\n",
            "mul t5, t5, t4\n",
            "mul t6, t6, t4\n",
            "add t0, t0, t5\n",
            "add t1, t1, t6\n",
            "lb t5, ",
            $at,
            "(a5)\n",
            "lb t6, ",
            $at,
            "(a6)\n",
            "mul t5, t5, t4\n",
            "mul t6, t6, t4\n",
            "add t2, t2, t5\n",
            "add t3, t3, t6\n",
        )
    };
}

macro_rules! advance {
    ($by:literal) => {
        concat!(
            "addi a0, a0, ",
            $by,
            "\n",
            "addi a1, a1, ",
            $by,
            "\n",
            "addi a4, a4, ",
            $by,
            "\n",
            "addi a5, a5, ",
            $by,
            "\n",
            "addi a6, a6, ",
            $by,
            "\n",
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
    // a0 activation, a1 and a4 to a6 rows, t0 to t3 sums; s0 where activations begin, s1 where the
    // whole sixteens end, a7 where all end, a3 blocks
    naked_asm!(
        ".option push",
        ".option arch, +m", // assembly does not know the target's extensions by itself
        "addi sp, sp, -16",
        "sw s0, 0(sp)",
        "sw s1, 4(sp)",
        "sw s2, 8(sp)",
        "lw s2, 0(a3)", // columns
        "lw a3, 4(a3)",
        "mv s0, a0",
        "add a7, a0, s2",
        "andi s1, s2, -16",
        "add s1, s1, a0",
        "2:", // a block
        "add a4, a1, s2",
        "add a5, a4, s2",
        "add a6, a5, s2",
        "li t0, 0",
        "li t1, 0",
        "li t2, 0",
        "li t3, 0",
        "beq a0, s1, 4f",
        "3:",
        column!("0"),
        column!("1"),
        column!("2"),
        column!("3"),
        column!("4"),
        column!("5"),
        column!("6"),
        column!("7"),
        column!("8"),
        column!("9"),
        column!("10"),
        column!("11"),
        column!("12"),
        column!("13"),
        column!("14"),
        column!("15"),
        advance!("16"),
        "bne a0, s1, 3b",
        "4:",
        "beq a0, a7, 6f",
        "5:",
        column!("0"),
        advance!("1"),
        "bne a0, a7, 5b",
        "6:",
        "sw t0, 0(a2)",
        "sw t1, 4(a2)",
        "sw t2, 8(a2)",
        "sw t3, 12(a2)",
        "addi a2, a2, 16",
        "mv a0, s0",
        "mv a1, a6", // where the fourth row ends, the next begins
        "addi a3, a3, -1",
        "bnez a3, 2b",
        "lw s0, 0(sp)",
        "lw s1, 4(sp)",
        "lw s2, 8(sp)",
        "addi sp, sp, 16",
        "ret",
        ".option pop",
    )
}

/// Rows of a block of [`two_tokens`].
pub(super) const ROWS_OF_TWO: usize = 4;

macro_rules! two_columns {
    ($c0:literal, $c1:literal, $x0:literal, $x1:literal) => {
        concat!(
            "lw t4, ",
            $x0,
            "(a0)\n",
            "lw t5, ",
            $x1,
            "(a0)\n",
            packed_row!($c0, $c1, "(a1)", "t0", "s0"),
            packed_row!($c0, $c1, "(a4)", "t1", "s1"),
            packed_row!($c0, $c1, "(a5)", "t2", "s2"),
            packed_row!($c0, $c1, "(a6)", "t3", "s3"),
        )
    };
}

/// Two columns of a row: all sums in `$all`, those of the first token in `$first`.
macro_rules! packed_row {
    ($c0:literal, $c1:literal, $row:literal, $all:literal, $first:literal) => {
        concat!(
            "lb t6, ",
            $c0,
            $row,
            "\n",
            "lb a7, ",
            $c1,
            $row,
            "\n",
            "mul t6, t6, t4\n",
            "mul a7, a7, t5\n",
            "add t6, t6, a7\n",
            "add ",
            $all,
            ", ",
            $all,
            ", t6\n",
            "add t6, t6, s4\n",
            "srai t6, t6, 16\n",
            "add ",
            $first,
            ", ",
            $first,
            ", t6\n",
        )
    };
}

macro_rules! advance_packed {
    ($columns:literal, $bytes:literal) => {
        concat!(
            "addi a0, a0, ",
            $bytes,
            "\n",
            "addi a1, a1, ",
            $columns,
            "\n",
            "addi a4, a4, ",
            $columns,
            "\n",
            "addi a5, a5, ",
            $columns,
            "\n",
            "addi a6, a6, ",
            $columns,
            "\n",
        )
    };
}

/// What of a row's sums is the second token's, and where both tokens' sums go.
macro_rules! finish_row {
    ($at:literal, $all:literal, $first:literal) => {
        concat!(
            "sw ", $first, ", ", $at, "(s8)\n", "slli ", $first, ", ", $first, ", 16\n", "sub ",
            $all, ", ", $all, ", ", $first, "\n", "sw ", $all, ", ", $at, "(s9)\n",
        )
    };
}

/// The sums of blocks of four rows with packed activations.
///
/// # Safety
/// `size` is not zero, its columns even; `packed` has its columns, `weights` have four rows of them for
/// each of its blocks, the sums of each token four numbers.
#[unsafe(naked)]
pub(super) unsafe extern "C" fn two_tokens(
    packed: *const u32,
    weights: *const i8,
    size: &two::Size,
) {
    // a0 activation, a1 and a4 to a6 rows, t0 to t3 all sums, s0 to s3 the first token's; s4 half a
    // unit, s5 where activations begin, s6 columns, s7 blocks, s8 and s9 sums, a2 where the whole sixteens
    // end, a3 where all end
    naked_asm!(
        ".option push",
        ".option arch, +m", // assembly does not know the target's extensions by itself
        "addi sp, sp, -48",
        "sw s0, 0(sp)",
        "sw s1, 4(sp)",
        "sw s2, 8(sp)",
        "sw s3, 12(sp)",
        "sw s4, 16(sp)",
        "sw s5, 20(sp)",
        "sw s6, 24(sp)",
        "sw s7, 28(sp)",
        "sw s8, 32(sp)",
        "sw s9, 36(sp)",
        "lw s6, 0(a2)",
        "lw s7, 4(a2)",
        "lw s8, 8(a2)",
        "lw s9, 12(a2)",
        "li s4, 0x8000",
        "mv s5, a0",
        "slli a3, s6, 2",
        "andi a2, a3, -64",
        "add a2, a2, a0",
        "add a3, a3, a0",
        "2:", // a block
        "add a4, a1, s6",
        "add a5, a4, s6",
        "add a6, a5, s6",
        "li t0, 0",
        "li t1, 0",
        "li t2, 0",
        "li t3, 0",
        "li s0, 0",
        "li s1, 0",
        "li s2, 0",
        "li s3, 0",
        "beq a0, a2, 4f",
        "3:",
        two_columns!("0", "1", "0", "4"),
        two_columns!("2", "3", "8", "12"),
        two_columns!("4", "5", "16", "20"),
        two_columns!("6", "7", "24", "28"),
        two_columns!("8", "9", "32", "36"),
        two_columns!("10", "11", "40", "44"),
        two_columns!("12", "13", "48", "52"),
        two_columns!("14", "15", "56", "60"),
        advance_packed!("16", "64"),
        "bne a0, a2, 3b",
        "4:",
        "beq a0, a3, 6f",
        "5:",
        two_columns!("0", "1", "0", "4"),
        advance_packed!("2", "8"),
        "bne a0, a3, 5b",
        "6:",
        finish_row!("0", "t0", "s0"),
        finish_row!("4", "t1", "s1"),
        finish_row!("8", "t2", "s2"),
        finish_row!("12", "t3", "s3"),
        "addi s8, s8, 16",
        "addi s9, s9, 16",
        "mv a0, s5",
        "mv a1, a6", // where the fourth row ends, the next begins
        "addi s7, s7, -1",
        "bnez s7, 2b",
        "lw s0, 0(sp)",
        "lw s1, 4(sp)",
        "lw s2, 8(sp)",
        "lw s3, 12(sp)",
        "lw s4, 16(sp)",
        "lw s5, 20(sp)",
        "lw s6, 24(sp)",
        "lw s7, 28(sp)",
        "lw s8, 32(sp)",
        "lw s9, 36(sp)",
        "addi sp, sp, 48",
        "ret",
        ".option pop",
    )
}
