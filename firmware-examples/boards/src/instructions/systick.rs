//! SysTick as a clock of instructions.
//!
//! Under `-icount shift=S` an instruction takes 2^S virtual nanoseconds, and SysTick, clocked by the
//! core, counts virtual time. It has 24 bits; its exception counts how often it wraps.

use crate::BOARD;
use core::arch::{asm, global_asm};
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

const CONTROL: *mut u32 = ptr::without_provenance_mut(0xE000_E010);
const RELOAD: *mut u32 = ptr::without_provenance_mut(0xE000_E014);
const CURRENT: *mut u32 = ptr::without_provenance_mut(0xE000_E018);
/// Counter on, exception on, clocked by the core.
const ENABLE: u32 = 0b111;
const BITS: u32 = 24;
const MASK: u32 = (1 << BITS) - 1;

/// Times that SysTick has passed zero.
#[unsafe(no_mangle)]
static BOARDS_SYSTICK_WRAPS: AtomicU32 = AtomicU32::new(0);
/// Instructions that the exception below runs at each wrap.
const WRAP_INSTRUCTIONS: u64 = 5;

// In assembly, so that its instructions are known and can be subtracted. Cortex-M0 code; r0 and r1
// are saved by the exception entry.
global_asm!(
    ".section .text.SysTick, \"ax\", %progbits",
    ".global SysTick",
    ".type SysTick, %function",
    ".thumb_func",
    "SysTick:",
    "ldr r0, 2f",
    "ldr r1, [r0]",
    "adds r1, #1",
    "str r1, [r0]",
    "bx lr",
    ".p2align 2",
    "2: .word BOARDS_SYSTICK_WRAPS",
    ".size SysTick, . - SysTick",
);

/// A point in time.
#[derive(Clone, Copy)]
pub struct Instant {
    wraps: u32,
    current: u32,
}

pub fn start() {
    // SAFETY: the core's own timer registers, which nobody else uses.
    unsafe {
        CONTROL.write_volatile(0);
        RELOAD.write_volatile(MASK);
        CURRENT.write_volatile(0);
        CONTROL.write_volatile(ENABLE);
        // The first tick loads the counter.
        while CURRENT.read_volatile() == 0 {}
    }
    BOARDS_SYSTICK_WRAPS.store(0, Ordering::Relaxed);
}

/// Reads the count. Always the same number of instructions, wherever it is called from.
#[inline(never)]
pub fn now() -> Instant {
    // SAFETY: reading this register has no effect.
    let (current, later) = unsafe { (CURRENT.read_volatile(), CURRENT.read_volatile()) };
    // A wrap between the two readings is not one that `current` has seen.
    let wraps = BOARDS_SYSTICK_WRAPS.load(Ordering::Relaxed);
    Instant {
        wraps: wraps.wrapping_sub(u32::from(period(later) < period(current))),
        current,
    }
}

/// Ticks since the counter passed zero; it counts down.
fn period(current: u32) -> u32 {
    current.wrapping_neg() & MASK
}

pub fn instructions(start: Instant, end: Instant) -> u64 {
    let wraps = u64::from(end.wraps.wrapping_sub(start.wraps));
    let ticks = (wraps << BITS) + u64::from(period(end.current)) - u64::from(period(start.current));
    // ticks / Hz = instructions * 2^shift ns; the nearest whole number is exact, since an
    // instruction is more than two ticks.
    let ticks_of_1e9 = u64::from(BOARD.systick_hz) << BOARD.icount_shift;
    let total = (ticks * 1_000_000_000 + ticks_of_1e9 / 2) / ticks_of_1e9;
    total.saturating_sub(wraps * WRAP_INSTRUCTIONS)
}

/// A loop of two instructions a turn.
#[inline(never)]
pub fn spin(turns: u32) {
    // SAFETY: counts a register down; touches nothing else.
    unsafe {
        asm!("2:", "subs {0}, {0}, #1", "bne 2b", inout(reg) turns => _, options(nomem, nostack));
    }
}
