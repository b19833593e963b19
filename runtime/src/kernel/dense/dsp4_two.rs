//! int4 weights of four rows in a lane ([`Packing::Quad`](crate::format::Packing::Quad)) on Armv7E-M
//! with DSP instructions, for two tokens.
//!
//! Sums are those of `dsp4.rs`, of each token. Two columns of four rows are 16 multiplications in 13
//! instructions, since weights are taken apart once for both: eight sums, two pointers, two activations and
//! two words are all 14 registers. Taking sums apart, scaling and the loop are 42 more for a group: 250
//! for 256 multiplications, .98, where one token takes 1.13.
//!
//! Counted, whole product: .99 an element and token at 256x256.

#![allow(unsafe_code)]

use super::int4::WORDS;
use super::two::Size;
use core::arch::naked_asm;

/// The sums of all rows with `joined` activations, one word of each token by turns.
pub(super) fn product(weights: &[u32], joined: &[u32], sums: [&mut [i32]; 2]) {
    super::two::by_block_of_four(weights, joined, sums, |weights, joined, sums, blocks| {
        let size = Size {
            columns: joined.len() / (2 * WORDS),
            blocks,
            sums,
        };
        // SAFETY: `by_block_of_four` promises blocks and a group. The assembly reads 2 * WORDS words of
        // `joined` for each group, WORDS of `weights` for each group of each block, and writes four sums a
        // block of each token.
        unsafe { quads(joined.as_ptr(), weights.as_ptr(), &size) };
    });
}

/// Two columns; `$mac` adds to sums (`smlad`) or begins them (`smuad`).
macro_rules! two_columns {
    (smlad) => {
        concat!(
            "ldr r6, [r1], #4\n",
            "ldrd r4, r5, [r0], #8\n",
            "smlad r2, r6, r4, r2\n",
            "smlad r8, r6, r5, r8\n",
            "uxtb16 r7, r6\n",
            "and r6, r6, #0x0F0F0F0F\n",
            "smlad r3, r7, r4, r3\n",
            "smlad r9, r7, r5, r9\n",
            "smlad r12, r6, r4, r12\n",
            "smlad r10, r6, r5, r10\n",
            "uxtb16 r6, r6\n",
            "smlad lr, r6, r4, lr\n",
            "smlad r11, r6, r5, r11\n",
        )
    };
    (smuad) => {
        concat!(
            "ldr r6, [r1], #4\n",
            "ldrd r4, r5, [r0], #8\n",
            "smuad r2, r6, r4\n",
            "smuad r8, r6, r5\n",
            "uxtb16 r7, r6\n",
            "and r6, r6, #0x0F0F0F0F\n",
            "smuad r3, r7, r4\n",
            "smuad r9, r7, r5\n",
            "smuad r12, r6, r4\n",
            "smuad r10, r6, r5\n",
            "uxtb16 r6, r6\n",
            "smuad lr, r6, r4\n",
            "smuad r11, r6, r5\n",
        )
    };
}

macro_rules! six_columns {
    () => {
        concat!(
            two_columns!(smlad),
            two_columns!(smlad),
            two_columns!(smlad)
        )
    };
}

/// The weights' sums from S0 to S3, in their places: S0 becomes A, S2 B, S1 C, S3 D. `$eight_x` is what the 8 in the
/// nibbles adds.
macro_rules! take_apart {
    ($s0:literal, $s1:literal, $s2:literal, $s3:literal, $eight_x:literal) => {
        concat!(
            "sub ",
            $s0,
            ", ",
            $s0,
            ", ",
            $s1,
            "\n", // 4096 A + 256 b
            "sub ",
            $s1,
            ", ",
            $s1,
            ", ",
            $s3,
            "\n", // 16 c
            "sub ",
            $s2,
            ", ",
            $s2,
            ", ",
            $s3,
            "\n", // 256 b
            "sub ",
            $s0,
            ", ",
            $s0,
            ", ",
            $s2,
            "\n", // 4096 A
            "asr ",
            $s0,
            ", ",
            $s0,
            ", #12\n",
            "rsb ",
            $s2,
            ", ",
            $eight_x,
            ", ",
            $s2,
            ", asr #8\n",
            "rsb ",
            $s1,
            ", ",
            $eight_x,
            ", ",
            $s1,
            ", asr #4\n",
            "sub ",
            $s3,
            ", ",
            $s3,
            ", ",
            $eight_x,
            "\n",
        )
    };
}

/// Adds a token's sums, times the scales in r4 and r5, to those on the stack. A group's sum fits 16
/// bits.
macro_rules! add_scaled {
    ($a:literal, $b:literal, $c:literal, $d:literal, $low:literal, $high:literal) => {
        concat!(
            "ldrd r6, r7, [sp, #",
            $low,
            "]\n",
            "smlabb r6, ",
            $a,
            ", r4, r6\n",
            "smlabb r7, ",
            $b,
            ", r5, r7\n",
            "strd r6, r7, [sp, #",
            $low,
            "]\n",
            "ldrd r6, r7, [sp, #",
            $high,
            "]\n",
            "smlabt r6, ",
            $c,
            ", r4, r6\n",
            "smlabt r7, ",
            $d,
            ", r5, r7\n",
            "strd r6, r7, [sp, #",
            $high,
            "]\n",
        )
    };
}

/// The sums of blocks of four rows.
///
/// # Safety
/// `size` is not zero; `joined` has 34 words for each of its groups, `weights` 17 for each group of
/// each of its blocks, the sums of each token its blocks.
#[unsafe(naked)]
unsafe extern "C" fn quads(joined: *const u32, weights: *const u32, size: &Size) {
    // r0 activations, r1 weights; S0 to S3 of the first token in r2, r3, r12 and lr, of the second
    // in r8 to r11
    naked_asm!(
        dsp_core!(),
        "push {{r4-r11, lr}}",
        "ldm r2, {{r4-r7}}",
        "push {{r0, r4-r7}}", // at 36: joined, groups, blocks, sums
        "sub sp, #36",        // at 0: the rows' sums, at 32: groups that are left
        "2:",                 // a block
        "movs r4, #0",
        "movs r5, #0",
        "strd r4, r5, [sp]",
        "strd r4, r5, [sp, #8]",
        "strd r4, r5, [sp, #16]",
        "strd r4, r5, [sp, #24]",
        "ldrd r0, r4, [sp, #36]",
        "str r4, [sp, #32]",
        "3:", // a group
        "adds r1, #4",
        two_columns!(smuad),
        six_columns!(),
        six_columns!(),
        six_columns!(),
        six_columns!(),
        six_columns!(),
        "ldrd r4, r5, [r0], #8",
        take_apart!("r2", "r3", "r12", "lr", "r4"),
        take_apart!("r8", "r9", "r10", "r11", "r5"),
        "ldr r6, [r1, #-68]",    // scales
        "uxtb16 r4, r6",         // of A, C
        "uxtb16 r5, r6, ror #8", // and of B, D
        add_scaled!("r2", "r12", "r3", "lr", "0", "8"),
        add_scaled!("r8", "r10", "r9", "r11", "16", "24"),
        "ldr r4, [sp, #32]",
        "subs r4, #1",
        "str r4, [sp, #32]",
        "bne 3b",
        "ldm sp, {{r4-r11}}",
        "ldrd r2, r3, [sp, #48]",
        "stmia r2!, {{r4-r7}}",
        "stmia r3!, {{r8-r11}}",
        "strd r2, r3, [sp, #48]",
        "ldr r4, [sp, #44]",
        "subs r4, #1",
        "str r4, [sp, #44]",
        "bne 2b",
        "add sp, #56",
        "pop {{r4-r11, pc}}",
    )
}
