//! Order [`dual`](super::dual) on Armv7E-M with DSP instructions, for two tokens.
//!
//! Two columns of four rows are 16 multiplications in 12 instructions: a load of both tokens'
//! activations, one of two words of weights, `smlad` of each of them with each token's, two `sxtb16`, and `smlad`
//! again. That is .75 each, and takes all 14 registers: two pointers, eight sums, two activations, two
//! words of weights. For one token it is .844: the extraction is shared now, but weights and activations are
//! loaded by two words instead of four. On a Cortex-M4 it wins more in cycles, 16 where one token takes 20.
//!
//! Counted, whole product: .78 an element and token at 256x256.

#![allow(unsafe_code)]

use super::dual::{CHUNK, ROWS};
use core::arch::naked_asm;

/// What does not fit into the first arguments. The assembly reads it by offset.
#[repr(C)]
struct Size {
    /// Where the activations end that are multiplied 32 columns at a time.
    many_end: *const u32,
    /// Where all activations end.
    end: *const u32,
    /// Blocks of four rows.
    blocks: usize,
    /// Where the sums of each token go.
    sums: [*mut [i32; ROWS]; 2],
}

/// The sums of all rows with `joined` activations, one word of each token by turns; of at most [`CHUNK`]
/// columns.
pub(super) fn product(weights: &[u32], joined: &[u32], [sums0, sums1]: [&mut [i32]; 2]) {
    let words = joined.len();
    let ((whole0, rest0), (whole1, rest1)) = (sums0.as_chunks_mut(), sums1.as_chunks_mut());
    let done = whole0.len() * words;
    blocks(weights, joined, [whole0, whole1]);
    if !rest0.is_empty() {
        let (mut last0, mut last1) = ([[0; ROWS]], [[0; ROWS]]);
        let weights = weights.get(done..).unwrap_or(&[]);
        blocks(weights, joined, [&mut last0, &mut last1]);
        for (to, from) in [(rest0, last0), (rest1, last1)] {
            to.iter_mut()
                .zip(from.as_flattened())
                .for_each(|(to, from)| *to = *from);
        }
    }
}

fn blocks(weights: &[u32], joined: &[u32], [sums0, sums1]: [&mut [[i32; ROWS]]; 2]) {
    let (words, blocks) = (joined.len(), sums0.len());
    // words of two tokens in pairs of columns: groups of eight columns are eight
    let fits = words != 0 && words <= CHUNK && words.is_multiple_of(8);
    if !fits || blocks == 0 || sums1.len() != blocks || weights.len() / words < blocks {
        return;
    }
    let size = Size {
        many_end: joined.get(words / 32 * 32..).unwrap_or(&[]).as_ptr(),
        end: joined.as_ptr_range().end,
        blocks,
        sums: [sums0.as_mut_ptr(), sums1.as_mut_ptr()],
    };
    // SAFETY: joined is a positive multiple of eight words long; weights are as many words for each of `blocks`
    // blocks, at least one, and both sums ROWS numbers, as computed above.
    unsafe { two_tokens(joined.as_ptr(), weights.as_ptr(), &size) };
}

/// Two columns of a block: raw words into S, low bytes into SB.
macro_rules! two_columns {
    () => {
        concat!(
            "ldrd r4, r5, [r0], #8\n",
            "ldrd r6, r7, [r1], #8\n",
            "smlad r2, r6, r4, r2\n",
            "smlad r8, r6, r5, r8\n",
            "smlad r12, r7, r4, r12\n",
            "smlad r10, r7, r5, r10\n",
            "sxtb16 r6, r6\n",
            "sxtb16 r7, r7\n",
            "smlad r3, r6, r4, r3\n",
            "smlad r9, r6, r5, r9\n",
            "smlad lr, r7, r4, lr\n",
            "smlad r11, r7, r5, r11\n",
        )
    };
}

macro_rules! eight_columns {
    () => {
        concat!(
            two_columns!(),
            two_columns!(),
            two_columns!(),
            two_columns!()
        )
    };
}

/// # Safety
/// `joined` to `size.end` are words, a positive multiple of 8 of them; `joined` to `size.many_end` a
/// multiple of 32; `weights` are as many words for each of `size.blocks` blocks, at least one; each of
/// `size.sums` has its blocks.
#[unsafe(naked)]
unsafe extern "C" fn two_tokens(joined: *const u32, weights: *const u32, size: &Size) {
    // r0 activations, r1 weights; S and SB of the first token in r2, r3 and r12, lr, of the second in
    // r8, r9 and r10, r11
    naked_asm!(
        dsp_core!(),
        "push {{r4-r11, lr}}",
        "ldm r2, {{r4-r8}}",
        "push {{r0, r4-r8}}", // at 0: joined, many_end, end, blocks, sums
        "2:",                 // a block
        "movs r2, #0",
        "movs r3, #0",
        "mov r12, r2",
        "mov lr, r2",
        "mov r8, r2",
        "mov r9, r2",
        "mov r10, r2",
        "mov r11, r2",
        "ldr r4, [sp, #4]",
        "cmp r0, r4",
        "beq 4f",
        "3:", // 32 columns
        eight_columns!(),
        eight_columns!(),
        eight_columns!(),
        eight_columns!(),
        "ldr r4, [sp, #4]",
        "cmp r0, r4",
        "bne 3b",
        "4:",
        "ldr r4, [sp, #8]",
        "cmp r0, r4",
        "beq 6f",
        "5:", // 8 columns
        eight_columns!(),
        "ldr r4, [sp, #8]",
        "cmp r0, r4",
        "bne 5b",
        "6:", // A is (S - SB) >> 8
        "subs r2, r2, r3",
        "sub r12, r12, lr",
        "sub r8, r8, r9",
        "sub r10, r10, r11",
        "asrs r2, r2, #8",
        "asr r12, r12, #8",
        "asr r8, r8, #8",
        "asr r10, r10, #8",
        "ldrd r4, r5, [sp, #16]",
        "stmia r4!, {{r2, r3, r12, lr}}",
        "stmia r5!, {{r8-r11}}",
        "strd r4, r5, [sp, #16]",
        "ldr r0, [sp]",
        "ldr r4, [sp, #12]",
        "subs r4, r4, #1",
        "str r4, [sp, #12]",
        "bne 2b",
        "add sp, #24",
        "pop {{r4-r11, pc}}",
    )
}
