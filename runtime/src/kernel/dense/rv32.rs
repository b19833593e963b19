//! Row-major bytes on RV32 with multiplication.
//!
//! A column of four rows is `lb` of the activation, and `lb`, `mul` and `add` for each row: 3.25 a
//! multiplication. Pointers and the loop's end are six instructions for 16 columns, 3.34 in all.
//!
//! Counted on RV32IMAC, whole product: 3.36 an element at 256x256.

#![allow(unsafe_code)]

use super::scalar::{ROWS, Size};
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
