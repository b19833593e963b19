//! int4 weights in the portable order by integer vectors of Armv8.1-M, for two tokens.
//!
//! A row of a group is taken apart once for both: four instructions, and four more for each token, whose sum begins
//! with what the 8 in the nibbles adds, negated. With seven for a group, 256 multiplications are 55
//! instructions, .215 each, where one token takes .297.
//!
//! Counted, whole product with joining the activations: .237 an element and token at 256x256.

#![allow(unsafe_code)]

use super::int4::WORDS;
use super::two::Size;
use core::arch::naked_asm;

/// The sums of all rows with `joined` activations, one group of each token by turns.
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
        unsafe { groups(joined.as_ptr(), weights.as_ptr(), &size) };
    });
}

/// A row of a group: its place in the chunk, that of its scale, its sums.
macro_rules! row {
    ($at:literal, $scale:literal, $first:literal, $second:literal) => {
        concat!(
            "vldrb.u8 q5, [r1, #",
            $at,
            "]\n",
            "ldrb r11, [r1, #",
            $scale,
            "]\n",
            "vand q6, q5, q4\n",
            "vshr.u8 q5, q5, #4\n",
            "ldr r8, [r0, #64]\n",
            "vmladava.s8 r8, q6, q0\n",
            "vmladava.s8 r8, q5, q1\n",
            "mla ",
            $first,
            ", r8, r11, ",
            $first,
            "\n",
            "ldr r8, [r0, #132]\n",
            "vmladava.s8 r8, q6, q2\n",
            "vmladava.s8 r8, q5, q3\n",
            "mla ",
            $second,
            ", r8, r11, ",
            $second,
            "\n",
        )
    };
}

/// The sums of blocks of four rows.
///
/// # Safety
/// `size` is not zero; `joined` has 34 words for each of its groups, `weights` 17 for each group of
/// each of its blocks, the sums of each token its blocks.
#[unsafe(naked)]
unsafe extern "C" fn groups(joined: *const u32, weights: *const u32, size: &Size) {
    // r0 activations, r1 weights; sums of the first token in r2 to r5, of the second in r6, r7, r9, r10
    naked_asm!(
        ".cpu cortex-m55", // assembly does not know the core by itself
        "push {{r4-r12, lr}}",
        "vpush {{d8-d13}}",
        "ldm r2, {{r4-r7}}",
        "push {{r0, r4-r7, lr}}", // joined, groups, blocks, sums
        "vmov.i8 q4, #15",
        "2:", // a block
        "movs r2, #0",
        "movs r3, #0",
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "mov r9, r2",
        "mov r10, r2",
        "ldrd r0, r12, [sp]",
        "dls lr, r12",
        "3:", // a group
        "vldrb.u8 q0, [r0]",
        "vldrb.u8 q1, [r0, #16]",
        "vldrb.u8 q2, [r0, #68]",
        "vldrb.u8 q3, [r0, #84]",
        row!("4", "0", "r2", "r6"),
        row!("20", "1", "r3", "r7"),
        row!("36", "2", "r4", "r9"),
        row!("52", "3", "r5", "r10"),
        "adds r0, #136",
        "adds r1, #68",
        "le lr, 3b",
        "ldrd r11, r12, [sp, #12]",
        "stmia r11!, {{r2-r5}}",
        "stmia r12!, {{r6, r7, r9, r10}}",
        "strd r11, r12, [sp, #12]",
        "ldr r12, [sp, #8]",
        "subs r12, r12, #1",
        "str r12, [sp, #8]",
        "bne 2b",
        "add sp, #24",
        "vpop {{d8-d13}}",
        "pop {{r4-r12, pc}}",
    )
}
