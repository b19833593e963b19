//! The counter of retired instructions, which QEMU keeps exactly under `-icount shift=0`.

use core::arch::asm;

/// Low and high word of `minstret`.
#[derive(Clone, Copy)]
pub struct Instant(u32, u32);

pub fn start() {
    // SAFETY: lets `minstret` run; nothing else looks at this register.
    unsafe { asm!("csrci mcountinhibit, 4", options(nomem, nostack)) };
}

/// Reads the count. Always the same number of instructions, wherever it is called from.
#[inline(never)]
pub fn now() -> Instant {
    let (high, low, later): (u32, u32, u32);
    // SAFETY: reads counters.
    unsafe {
        asm!(
            "csrr {0}, minstreth", "csrr {1}, minstret", "csrr {2}, minstreth",
            out(reg) high, out(reg) low, out(reg) later, options(nomem, nostack),
        );
    }
    // If the high word moved on between the readings, a low word that is small belongs to the new one.
    Instant(low, if low < 1 << 31 { later } else { high })
}

pub fn instructions(start: Instant, end: Instant) -> u64 {
    let wide = |Instant(low, high): Instant| u64::from(high) << 32 | u64::from(low);
    wide(end).wrapping_sub(wide(start))
}

/// A loop of two instructions a turn.
#[inline(never)]
pub fn spin(turns: u32) {
    // SAFETY: counts a register down; touches nothing else.
    unsafe {
        asm!("2:", "addi {0}, {0}, -1", "bnez {0}, 2b", inout(reg) turns => _, options(nomem, nostack));
    }
}
