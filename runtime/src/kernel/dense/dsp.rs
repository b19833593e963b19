//! Order [`dual`](super::dual) on Armv7E-M with DSP instructions: Cortex-M4, M7, M33.
//!
//! Eight columns of a block of four rows are 32 multiplications in 27 instructions, .844 each: one
//! load of eight activations (four words), two of four words of weights, and for each of those
//! `smlad`, `sxtb16`, `smlad`. That takes all 14 registers: two pointers, four sums, four words of
//! activations, four of weights. So ends and counts stand on the stack, and the loop over 32 columns
//! pays three instructions more, .867 for each multiplication. A block costs 15 beside, 30 if columns are
//! no multiple of 32 or come in parts.
//!
//! Counted: whole product: .89 an element at 256x256.

#![allow(unsafe_code)]

use super::dual::{CHUNK, ROWS};
use core::arch::naked_asm;

/// What does not fit into the first four arguments. The assembly reads it by offset.
#[repr(C)]
struct Part {
    /// Where the activations end that are multiplied 32 at a time.
    many_end: *const u32,
    /// Where all activations of the part end.
    end: *const u32,
    /// Blocks of four rows.
    blocks: usize,
    /// Bytes of weights between the part of one block and that of the next.
    skip: usize,
}

/// The sums of all rows.
pub(super) fn product(weights: &[u32], q: &[u32], sums: &mut [i32]) {
    let words = 2 * q.len();
    if words == 0 {
        return;
    }
    sums.fill(0);
    let (whole, rest) = sums.as_chunks_mut::<ROWS>();
    add(weights, q, whole);
    if let Some(block) = weights.get(whole.len() * words..) {
        let mut last = [[0; ROWS]];
        if !rest.is_empty() {
            add(block, q, &mut last);
        }
        for (to, sum) in rest.iter_mut().zip(last.as_flattened()) {
            *to = *sum;
        }
    }
}

/// Adds the sums of whole blocks, part by part.
fn add(weights: &[u32], q: &[u32], sums: &mut [[i32; ROWS]]) {
    const PART: usize = CHUNK / 2;
    let words = 2 * q.len();
    let blocks = sums.len();
    // words in pairs of columns: groups of eight columns are four
    if blocks == 0 || weights.len() / words < blocks || !q.len().is_multiple_of(4) {
        return;
    }
    if q.len() <= PART && q.len().is_multiple_of(16) {
        let end = q.as_ptr_range().end;
        let weights = weights.as_ptr_range().start
            ..weights
                .get(..blocks * words)
                .unwrap_or(&[])
                .as_ptr_range()
                .end;
        // SAFETY: q is a positive multiple of 16 words long, for `words` is positive; weights are `words`
        // = 2 * q.len() for each of `blocks` blocks, and sums ROWS numbers, as computed above.
        return unsafe {
            whole(
                q.as_ptr(),
                weights.start,
                sums.as_mut_ptr(),
                end,
                weights.end,
            )
        };
    }
    for (i, q) in q.chunks(PART).enumerate() {
        let Some(weights) = weights.get(2 * PART * i..) else {
            return;
        };
        let range = q.as_ptr_range();
        let part = Part {
            many_end: q.get(q.len() / 16 * 16..).unwrap_or(&[]).as_ptr(),
            end: range.end,
            blocks,
            skip: 4 * (words - 2 * q.len()),
        };
        // SAFETY: q is not empty and a multiple of four words long, as the assembly needs (parts but
        // the last have 256, the whole has a multiple of four); it reads q.len() words of q from its
        // start once a block, and 2 * q.len() words of weights a block, `skip` bytes apart: block b
        // ends at word b * words + 2 * q.len() of this part's weights, and of all weights that is at
        // most (b + 1) * words <= weights.len(). It adds to ROWS numbers of `sums` a block.
        unsafe { add_part(q.as_ptr(), weights.as_ptr(), sums.as_mut_ptr(), &part) };
    }
}

/// Four columns of a block: `$x0` and `$x1` are two columns each.
macro_rules! four_columns {
    ($x0:literal, $x1:literal) => {
        concat!(
            "ldmia r1!, {{r8-r11}}\n",
            two_columns!("r8", "r9", $x0),
            two_columns!("r10", "r11", $x1),
        )
    };
}

/// Raw words into S, low bytes into SB. Neighbours do not wait for each other.
macro_rules! two_columns {
    ($w0:literal, $w1:literal, $x:literal) => {
        concat!(
            "smlad r2, ",
            $w0,
            ", ",
            $x,
            ", r2\n",
            "smlad r12, ",
            $w1,
            ", ",
            $x,
            ", r12\n",
            "sxtb16 ",
            $w0,
            ", ",
            $w0,
            "\n",
            "sxtb16 ",
            $w1,
            ", ",
            $w1,
            "\n",
            "smlad r3, ",
            $w0,
            ", ",
            $x,
            ", r3\n",
            "smlad lr, ",
            $w1,
            ", ",
            $x,
            ", lr\n",
        )
    };
}

macro_rules! eight_columns {
    () => {
        concat!(
            "ldmia r0!, {{r4-r7}}\n",
            four_columns!("r4", "r5"),
            four_columns!("r6", "r7"),
        )
    };
}

/// The sums of all columns of all blocks, 32 columns at a time.
///
/// # Safety
/// `q` to `end` are words, a positive multiple of 16 of them; `weights` to `weights_end` are twice as
/// many for each block, at least one; `sums` has a row a block.
#[unsafe(naked)]
unsafe extern "C" fn whole(
    q: *const u32,
    weights: *const u32,
    sums: *mut [i32; ROWS],
    end: *const u32,
    weights_end: *const u32,
) {
    naked_asm!(
        dsp_core!(),
        "push {{r0, r2, r3, r4-r11, lr}}", // at 0: q, sums, end; at 48: weights_end
        "2:",                              // a block
        "movs r2, #0",
        "movs r3, #0",
        "mov r12, r2",
        "mov lr, r2",
        "3:", // 32 columns
        eight_columns!(),
        eight_columns!(),
        eight_columns!(),
        eight_columns!(),
        "ldr r4, [sp, #8]",
        "cmp r0, r4",
        "bne 3b",
        "sub r2, r2, r3", // A is (S - SB) >> 8
        "sub r12, r12, lr",
        "asrs r2, r2, #8",
        "asr r12, r12, #8",
        "ldr r4, [sp, #4]",
        "stmia r4!, {{r2, r3, r12, lr}}",
        "str r4, [sp, #4]",
        "ldr r0, [sp]",
        "ldr r4, [sp, #48]",
        "cmp r1, r4",
        "bne 2b",
        "add sp, #12",
        "pop {{r4-r11, pc}}",
    )
}

/// Adds the sums of a part of the columns of all blocks.
///
/// # Safety
/// `q` to `part.end` are words, a positive multiple of 4 of them; `q` to `part.many_end` are a
/// multiple of 16; `weights` has twice as many words for each of `part.blocks` blocks, at least one,
/// and `part.skip` bytes between; `sums` has `part.blocks` elements.
#[unsafe(naked)]
unsafe extern "C" fn add_part(
    q: *const u32,
    weights: *const u32,
    sums: *mut [i32; ROWS],
    part: &Part,
) {
    // r0 activations, r1 weights; S and SB of rows 0 and 1 in r2 and r3, of rows 2 and 3 in r12 and lr
    naked_asm!(
        dsp_core!(),
        "push {{r4-r11, lr}}",
        "ldm r3, {{r4-r7}}",
        "push {{r0, r2, r6, r7}}", // at 8: q, sums, blocks, skip
        "push {{r4, r5}}",         // at 0: many_end, end
        "2:",                      // a block
        "movs r2, #0",
        "movs r3, #0",
        "mov r12, r2",
        "mov lr, r2",
        "ldr r4, [sp]",
        "cmp r0, r4",
        "beq 4f",
        "3:", // 32 columns
        eight_columns!(),
        eight_columns!(),
        eight_columns!(),
        eight_columns!(),
        "ldr r4, [sp]",
        "cmp r0, r4",
        "bne 3b",
        "4:",
        "ldr r4, [sp, #4]",
        "cmp r0, r4",
        "beq 6f",
        "5:", // 8 columns
        eight_columns!(),
        "ldr r4, [sp, #4]",
        "cmp r0, r4",
        "bne 5b",
        "6:", // A is (S - SB) >> 8
        "sub r2, r2, r3",
        "sub r12, r12, lr",
        "ldr r4, [sp, #12]",
        "ldm r4, {{r5-r8}}",
        "add r5, r5, r2, asr #8",
        "add r6, r6, r3",
        "add r7, r7, r12, asr #8",
        "add r8, r8, lr",
        "stmia r4!, {{r5-r8}}",
        "str r4, [sp, #12]",
        "ldr r0, [sp, #8]",
        "ldr r5, [sp, #20]",
        "add r1, r1, r5",
        "ldr r5, [sp, #16]",
        "subs r5, r5, #1",
        "str r5, [sp, #16]",
        "bne 2b",
        "add sp, #24",
        "pop {{r4-r11, pc}}",
    )
}

/// The bits of the largest magnitude among whole groups of eight numbers, and the numbers after them.
pub(crate) fn largest_of_eights(x: &[f32]) -> (u32, &[f32]) {
    let (eights, rest) = x.as_chunks::<8>();
    if eights.is_empty() {
        return (0, rest);
    }
    let range = eights.as_ptr_range();
    // SAFETY: at least one group lies between the ends.
    let twice = unsafe { twice_largest(range.start, range.end) };
    (twice >> 1, rest)
}

/// A number may be the largest so far, but most are not: those take a comparison and a branch that
/// is not taken. Shifting the sign out costs nothing.
macro_rules! compare {
    ($($x:literal),*) => {
        concat!($("cmp r2, ", $x, ", lsl #1\n", "it lo\n", "lsllo r2, ", $x, ", #1\n",)*)
    };
}

/// Twice the bits of the largest magnitude.
///
/// # Safety
/// `start` to `end` are groups, at least one.
#[unsafe(naked)]
unsafe extern "C" fn twice_largest(start: *const [f32; 8], end: *const [f32; 8]) -> u32 {
    naked_asm!(
        dsp_core!(),
        "push {{r4-r10, lr}}",
        "movs r2, #0",
        "2:",
        "ldmia r0!, {{r3-r10}}",
        compare!("r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10"),
        "cmp r0, r1",
        "bne 2b",
        "mov r0, r2",
        "pop {{r4-r10, pc}}",
    )
}
