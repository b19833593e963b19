//! Row-major bytes on Armv8.1-M with integer vectors, for two tokens.
//!
//! Six even registers are the sums of three rows and two tokens. 16 columns are two loads of
//! activations, three of weights, six `vmladava` and the loop's end: 96 multiplications in 12 instructions, .125
//! each, where six rows of one token take .146.
//!
//! Counted, whole product: .141 an element and token at 256x256.

#![allow(unsafe_code)]

use super::rows;
use core::arch::naked_asm;

/// Rows of a block.
const ROWS: usize = 3;

/// What does not fit into registers beside the pointers. The assembly reads it by offset.
#[repr(C)]
struct Size {
    columns: usize,
    blocks: usize,
    /// From where a row's pointer is after the loop to the row of the next block.
    next: isize,
    /// Where the sums of each token go.
    sums: [*mut [i32; ROWS]; 2],
}

/// The sums of all rows. Fewer than three are products of one token each.
pub(super) fn product(weights: &[i8], [q0, q1]: [&[i8]; 2], [sums0, sums1]: [&mut [i32]; 2]) {
    let columns = q0.len().min(q1.len());
    let sums = [&mut *sums0, &mut *sums1];
    let done = rows::by_block_of_two(weights, columns, sums, |weights, sums| {
        let size = Size {
            columns,
            blocks: sums[0].len(),
            next: (ROWS * columns).cast_signed() - columns.next_multiple_of(16).cast_signed(),
            sums: sums.map(|sums| sums.as_mut_ptr()),
        };
        // SAFETY: `by_block_of_two` promises columns, and of each token as many blocks of sums, whose rows'
        // weights are there. The assembly reads `columns` bytes of both activations and of each row, since the
        // loop masks the bytes beyond, and writes each sum.
        unsafe { two_tokens(q0.as_ptr(), weights.as_ptr(), q1.as_ptr(), &size) };
    });
    if !done {
        super::portable(weights, q0, sums0);
        super::portable(weights, q1, sums1);
    }
}

/// The sums of blocks of three rows.
///
/// # Safety
/// `columns` and `blocks` are not zero; `q0` and `q1` have so many columns, `weights` have three rows of
/// them for each of the blocks, the sums of each token the blocks.
#[unsafe(naked)]
unsafe extern "C" fn two_tokens(q0: *const i8, weights: *const i8, q1: *const i8, size: &Size) {
    // r7 and r9 activations; r1, r3, r5 rows; r0, r2, r4 sums of the first token, r6, r8, r10 of the
    // second
    naked_asm!(
        ".cpu cortex-m55", // assembly does not know the core by itself
        "push {{r4-r11, lr}}",
        "ldm r3, {{r4-r8}}",
        "push {{r0, r2, r4-r8, lr}}", // q0, q1, columns, blocks, next, sums
        "add r3, r1, r4",
        "add r5, r3, r4",
        "2:", // a block
        "ldr r12, [sp, #8]",
        "movs r0, #0",
        "movs r2, #0",
        "movs r4, #0",
        "movs r6, #0",
        "mov r8, r0",
        "mov r10, r0",
        "dlstp.8 lr, r12",
        "ldr r7, [sp]",
        "ldr r9, [sp, #4]",
        "3:",
        "vldrb.u8 q0, [r7], #16",
        "vldrb.u8 q1, [r1], #16",
        "vmladava.s8 r0, q0, q1",
        "vldrb.u8 q2, [r9], #16",
        "vmladava.s8 r6, q2, q1",
        "vldrb.u8 q3, [r3], #16",
        "vmladava.s8 r2, q0, q3",
        "vmladava.s8 r8, q2, q3",
        "vldrb.u8 q1, [r5], #16",
        "vmladava.s8 r4, q0, q1",
        "vmladava.s8 r10, q2, q1",
        "letp lr, 3b",
        "ldrd r7, r9, [sp, #20]",
        "stmia r7!, {{r0, r2, r4}}",
        "stmia r9!, {{r6, r8, r10}}",
        "strd r7, r9, [sp, #20]",
        "ldrd r2, r0, [sp, #12]",
        "add r1, r0",
        "add r3, r0",
        "add r5, r0",
        "subs r2, #1",
        "str r2, [sp, #12]",
        "bne 2b",
        "add sp, #32",
        "pop {{r4-r11, pc}}",
    )
}
