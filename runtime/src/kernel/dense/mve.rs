//! Row-major bytes on Armv8.1-M with integer vectors (MVE, "Helium"): Cortex-M55 and M85.
//!
//! `vmladava` multiplies 16 bytes by 16 and adds all products to a core register, an even one; a loop
//! of `dlstp` and `letp` leaves out what is beyond the last column by itself. With a load of 16
//! activations for six rows, 96 multiplications are 14 instructions, .146 each: six even registers are
//! sums, six odd ones point to rows. A block costs 23 beside.
//!
//! Counted, whole product: .164 an element at 256x256.

#![allow(unsafe_code)]

use super::rows;
use core::arch::naked_asm;

/// Rows that share activations.
const ROWS: usize = 6;

/// What does not fit into registers beside the pointers. The assembly reads it by offset.
#[repr(C)]
struct Size {
    columns: usize,
    blocks: usize,
    /// From where a row's pointer is after the loop to the row of the next block.
    next: isize,
}

/// The sums of all rows.
pub(crate) fn product(weights: &[i8], q: &[i8], sums: &mut [i32]) {
    rows::by_block(weights, q, sums, |weights, q, sums| {
        let columns = q.len();
        let size = Size {
            columns,
            blocks: sums.len(),
            next: (ROWS * columns).cast_signed() - columns.next_multiple_of(16).cast_signed(),
        };
        // SAFETY: `by_block` promises a column, a block, and the weights of all rows of the blocks.
        // The assembly reads `columns` bytes of `q` and as many of each row, since the loop masks the
        // bytes beyond, and writes each sum.
        unsafe { six_rows(q.as_ptr(), weights.as_ptr(), sums.as_mut_ptr(), &size) };
    });
}

/// The sums of blocks of six rows.
///
/// # Safety
/// `columns` and `blocks` are not zero; `q` has so many columns, `weights` have six rows of them for
/// each of the blocks, `sums` has the blocks.
#[unsafe(naked)]
unsafe extern "C" fn six_rows(
    q: *const i8,
    weights: *const i8,
    sums: *mut [i32; ROWS],
    size: &Size,
) {
    // r12 activations; r1, r3, ... r11 rows; r0, r2, ... r10 their sums
    naked_asm!(
        ".cpu cortex-m55", // assembly does not know the core by itself
        "push {{r4-r11, lr}}",
        "ldm r3, {{r4, r5, r6}}",
        "push {{r0, r2, r4, r5, r6, lr}}", // q, sums, columns, blocks, next
        "add r3, r1, r4",
        "add r5, r3, r4",
        "add r7, r5, r4",
        "add r9, r7, r4",
        "add r11, r9, r4",
        "2:", // a block
        "ldr r12, [sp, #8]",
        "movs r0, #0",
        "movs r2, #0",
        "movs r4, #0",
        "movs r6, #0",
        "mov r8, r0",
        "mov r10, r0",
        "dlstp.8 lr, r12",
        "ldr r12, [sp]",
        "3:",
        "vldrb.u8 q0, [r12], #16",
        "vldrb.u8 q1, [r1], #16",
        "vmladava.s8 r0, q0, q1",
        "vldrb.u8 q2, [r3], #16",
        "vmladava.s8 r2, q0, q2",
        "vldrb.u8 q1, [r5], #16",
        "vmladava.s8 r4, q0, q1",
        "vldrb.u8 q2, [r7], #16",
        "vmladava.s8 r6, q0, q2",
        "vldrb.u8 q1, [r9], #16",
        "vmladava.s8 r8, q0, q1",
        "vldrb.u8 q2, [r11], #16",
        "vmladava.s8 r10, q0, q2",
        "letp lr, 3b",
        "ldr r12, [sp, #4]",
        "stmia r12!, {{r0, r2, r4, r6, r8, r10}}",
        "str r12, [sp, #4]",
        "ldr r0, [sp, #16]",
        "add r1, r0",
        "add r3, r0",
        "add r5, r0",
        "add r7, r0",
        "add r9, r0",
        "add r11, r0",
        "ldr r0, [sp, #12]",
        "subs r0, #1",
        "str r0, [sp, #12]",
        "bne 2b",
        "add sp, #24",
        "pop {{r4-r11, pc}}",
    )
}
