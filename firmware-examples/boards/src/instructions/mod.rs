//! Exact counts of executed instructions, by QEMU's `-icount`.
//!
//! Instructions are not cycles: QEMU has no pipeline. But the count is exact and repeatable, which
//! is what it takes to see that a step costs the same at token 10 and at token 100,000.

#[cfg_attr(target_arch = "arm", path = "systick.rs")]
#[cfg_attr(target_arch = "riscv32", path = "minstret.rs")]
mod clock;

pub use clock::{Instant, now};
use core::hint::black_box;

/// Instructions between two readings of [`now`], what the reading itself takes included. Only once
/// [`Counter::start`] has found that they are counted.
pub fn between(start: Instant, end: Instant) -> u64 {
    clock::instructions(start, end)
}

/// Counts instructions.
pub struct Counter {
    /// What an empty measurement counts.
    overhead: u64,
}

/// Turns of the loop whose length is known; two instructions each.
const TURNS: u32 = 3_000_000;

impl Counter {
    /// Starts counting; `None` if the machine does not count instructions exactly (real hardware,
    /// or QEMU without the board's `-icount`).
    ///
    /// That is found out by counting a loop of known length, long enough for SysTick to wrap.
    pub fn start() -> Option<Self> {
        clock::start();
        let mut counter = Self { overhead: 0 };
        let ((), overhead) = counter.measure(|| ());
        counter.overhead = overhead;
        let mut spin = |turns| counter.measure(|| clock::spin(black_box(turns))).1;
        let (one, many) = (spin(1), spin(1 + TURNS));
        (many.wrapping_sub(one) == 2 * u64::from(TURNS) && one < 32).then_some(counter)
    }

    /// What `work` returns, and the number of instructions that it took.
    ///
    /// Never inlined, so that every call from one place runs the very same code, in whatever way the
    /// compiler unrolls the loop around it.
    #[inline(never)]
    pub fn measure<R>(&mut self, work: impl FnOnce() -> R) -> (R, u64) {
        let start = clock::now();
        let result = work();
        let end = clock::now();
        let count = clock::instructions(start, end).saturating_sub(self.overhead);
        // Computed here and now, lest the compiler move this work into the next measurement.
        (result, black_box(count))
    }
}
