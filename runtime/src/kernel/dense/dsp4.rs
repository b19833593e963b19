//! int4 weights of four rows in a lane ([`Packing::Quad`](crate::format::Packing::Quad)) on Armv7E-M
//! with DSP instructions.
//!
//! A word has two columns, each a lane `4096 A + 256 b + 16 c + d` with `b`, `c` and `d` in 1..=15 (8
//! more than the weight). Four multiply-adds of it with two activations sum
//!
//! ```text
//! S0: the word as it is                       4096 A + 256 b + 16 c + d
//! S1: uxtb16                                                   16 c + d
//! S2: the word & 0x0F0F0F0F                            256 b        + d
//! S3: uxtb16 of that                                                  d
//! ```
//!
//! from which the four rows' sums follow by subtractions and shifts, exactly. That is seven
//! instructions for eight multiplications; with loads, 124 for a group of 32 columns and four rows.
//! Taking sums apart, scaling and the loop are 21 more: 145 for 128 multiplications, 1.13.
//!
//! Counted, whole product: 1.15 an element at 256x256.

#![allow(unsafe_code)]

use super::int4::{ROWS, Size, by_block};
use core::arch::naked_asm;

/// The sums of all rows.
pub(super) fn product(weights: &[u32], q: &[u32], sums: &mut [i32]) {
    by_block(weights, q, sums, |weights, q, sums, size| {
        // SAFETY: `by_block` promises groups and blocks. The assembly reads WORDS words of `q` for each group,
        // and as many of `weights` for each group of each block; it writes ROWS sums a block.
        unsafe { quads(q.as_ptr(), weights.as_ptr(), sums.as_mut_ptr(), size) };
    });
}

/// Two columns: the word in `$w`, activations in `$x`, `$mac` sums with (`smlad`) or begins (`smuad`).
macro_rules! two_columns {
    ($w:literal, $x:literal) => {
        concat!(
            "smlad r2, ",
            $w,
            ", ",
            $x,
            ", r2\n",
            "uxtb16 r10, ",
            $w,
            "\n",
            "and ",
            $w,
            ", ",
            $w,
            ", #0x0F0F0F0F\n",
            "smlad r3, r10, ",
            $x,
            ", r3\n",
            "smlad r12, ",
            $w,
            ", ",
            $x,
            ", r12\n",
            "uxtb16 ",
            $w,
            ", ",
            $w,
            "\n",
            "smlad lr, ",
            $w,
            ", ",
            $x,
            ", lr\n",
        )
    };
}

macro_rules! first_two_columns {
    ($w:literal, $x:literal) => {
        concat!(
            "smuad r2, ",
            $w,
            ", ",
            $x,
            "\n",
            "uxtb16 r10, ",
            $w,
            "\n",
            "and ",
            $w,
            ", ",
            $w,
            ", #0x0F0F0F0F\n",
            "smuad r3, r10, ",
            $x,
            "\n",
            "smuad r12, ",
            $w,
            ", ",
            $x,
            "\n",
            "uxtb16 ",
            $w,
            ", ",
            $w,
            "\n",
            "smuad lr, ",
            $w,
            ", ",
            $x,
            "\n",
        )
    };
}

macro_rules! eight_columns {
    ($first:ident) => {
        concat!(
            "ldmia r1!, {{r6-r9}}\n",
            "ldrd r4, r5, [r0], #8\n",
            $first!("r6", "r4"),
            two_columns!("r7", "r5"),
            "ldrd r4, r5, [r0], #8\n",
            two_columns!("r8", "r4"),
            two_columns!("r9", "r5"),
        )
    };
}

/// The sums of blocks of four rows.
///
/// # Safety
/// `size` is not zero; `q` has 17 words for each of its groups, `weights` as many for each group of
/// each of its blocks, `sums` its blocks.
#[unsafe(naked)]
unsafe extern "C" fn quads(
    q: *const u32,
    weights: *const u32,
    sums: *mut [i32; ROWS],
    size: &Size,
) {
    // r0 activations, r1 weights, r2, r3, r12 and lr S0 to S3, r11 groups
    naked_asm!(
        dsp_core!(),
        "push {{r4-r11, lr}}",
        "ldrd r4, r5, [r3]",
        "push {{r0, r2, r4, r5}}", // at 16: q, sums, groups, blocks
        "sub sp, #16",             // at 0: the rows' sums
        "2:",                      // a block
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "stm sp, {{r4-r7}}",
        "ldr r0, [sp, #16]",
        "ldr r11, [sp, #24]",
        "3:", // a group
        "adds r1, #4",
        eight_columns!(first_two_columns),
        eight_columns!(two_columns),
        eight_columns!(two_columns),
        eight_columns!(two_columns),
        "ldr r4, [r0], #4",        // what the 8 in the nibbles adds
        "ldr r10, [r1, #-68]",     // scales
        "sub r5, r12, lr",         // 256 b
        "sub r6, r3, lr",          // 16 c
        "sub r2, r2, r3",          // 4096 A + 256 b
        "sub r2, r2, r5",          // 4096 A
        "asr r2, r2, #12",         // A
        "rsb r3, r4, r5, asr #8",  // B
        "rsb r12, r4, r6, asr #4", // C
        "sub lr, lr, r4",          // D
        "uxtb16 r8, r10",          // scales of A, C
        "uxtb16 r9, r10, ror #8",  // and of B, D
        "ldm sp, {{r4-r7}}",
        "smlabb r4, r2, r8, r4", // a group's sum fits 16 bits
        "smlabb r5, r3, r9, r5",
        "smlabt r6, r12, r8, r6",
        "smlabt r7, lr, r9, r7",
        "subs r11, #1",
        "stm sp, {{r4-r7}}",
        "bne 3b",
        "ldr r10, [sp, #20]",
        "stmia r10!, {{r4-r7}}",
        "str r10, [sp, #20]",
        "ldr r10, [sp, #28]",
        "subs r10, #1",
        "str r10, [sp, #28]",
        "bne 2b",
        "add sp, #32",
        "pop {{r4-r11, pc}}",
    )
}
