//! int4 weights in the portable order ([`Packing::Groups`](crate::format::Packing::Groups)) by integer
//! vectors of Armv8.1-M.
//!
//! 16 bytes are a row of a group: a mask makes 16 weights of them, a shift the other 16, two
//! `vmladava` sum their products. With scales that is eight instructions a row of 32 columns, .25 a
//! multiplication, and six for all four rows: .297.
//!
//! Counted, whole product: .31 an element at 256x256.

#![allow(unsafe_code)]

use super::int4::{ROWS, Size, by_block};
use core::arch::naked_asm;

/// The sums of all rows.
pub(super) fn product(weights: &[u32], q: &[u32], sums: &mut [i32]) {
    by_block(weights, q, sums, |weights, q, sums, size| {
        // SAFETY: `by_block` promises groups and blocks. The assembly reads WORDS words of `q` for each group,
        // and as many of `weights` for each group of each block; it writes ROWS sums a block.
        unsafe { groups(q.as_ptr(), weights.as_ptr(), sums.as_mut_ptr(), size) };
    });
}

/// A row of a group: its place in the chunk, that of its scale, its sum.
macro_rules! row {
    ($at:literal, $scale:literal, $sum:literal) => {
        concat!(
            "vldrb.u8 q2, [r1, #",
            $at,
            "]\n",
            "ldrb r9, [r1, #",
            $scale,
            "]\n",
            "vand q3, q2, q4\n",
            "vshr.u8 q2, q2, #4\n",
            "vmladav.s8 r8, q3, q0\n",
            "vmladava.s8 r8, q2, q1\n",
            "sub r8, r8, r11\n",
            "mla ",
            $sum,
            ", r8, r9, ",
            $sum,
            "\n",
        )
    };
}

/// The sums of blocks of four rows.
///
/// # Safety
/// `size` is not zero; `q` has 17 words for each of its groups, `weights` as many for each group of
/// each of its blocks, `sums` its blocks.
#[unsafe(naked)]
unsafe extern "C" fn groups(
    q: *const u32,
    weights: *const u32,
    sums: *mut [i32; ROWS],
    size: &Size,
) {
    // r0 activations, r1 weights, r2 sums, r3 blocks, r10 groups, r12 where activations begin,
    // r4 to r7 the rows' sums
    naked_asm!(
        ".cpu cortex-m55", // assembly does not know the core by itself
        "push {{r4-r12, lr}}",
        "vpush {{d8, d9}}",
        "ldrd r10, r3, [r3]",
        "mov r12, r0",
        "vmov.i8 q4, #15",
        "2:", // a block
        "movs r4, #0",
        "movs r5, #0",
        "movs r6, #0",
        "movs r7, #0",
        "mov r0, r12",
        "dls lr, r10",
        "3:",                 // a group
        "ldr r11, [r0, #64]", // what the 8 in the nibbles adds
        "vldrb.u8 q0, [r0]",
        "vldrb.u8 q1, [r0, #16]",
        row!("4", "0", "r4"),
        row!("20", "1", "r5"),
        row!("36", "2", "r6"),
        row!("52", "3", "r7"),
        "adds r0, #68",
        "adds r1, #68",
        "le lr, 3b",
        "stmia r2!, {{r4-r7}}",
        "subs r3, #1",
        "bne 2b",
        "vpop {{d8, d9}}",
        "pop {{r4-r12, pc}}",
    )
}
