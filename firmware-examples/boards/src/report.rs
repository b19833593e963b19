//! The lines that applications of classifiers write: events, and figures as `key: value`.

use crate::footprint::{Stack, flash_bytes, static_ram_bytes};
use crate::{BOARD, Console};

/// Ends the events; everything after it is `key: value` lines.
pub const SEPARATOR: &str = "\n---\n";

/// Writes an event and the time at which it was noticed: `1.240 s: seven 93%`.
pub fn event(console: &mut Console, milliseconds: u64, name: &str, posterior: f32) {
    thousandths(console, milliseconds);
    console.text(" s: ");
    console.text(name);
    console.text(" ");
    console.decimal((posterior * 100.0) as u64);
    console.text("%\n");
}

/// Instructions that went into a part, and how often it ran.
pub struct Part {
    /// What the mean is called.
    pub key: &'static str,
    /// Instructions of all runs.
    pub sum: u64,
    /// Runs.
    pub count: u64,
}

/// Writes the mean of each part, and of all together of a second that has `rate` of `samples`; of no parts, that nothing was counted.
pub fn costs(console: &mut Console, parts: Option<[Part; 3]>, rate: u32, samples: u64) {
    let Some(parts) = parts else {
        console.line("instructions", "not counted (needs QEMU's -icount)");
        return;
    };
    let mean = |sum: u64, count: u64| sum.checked_div(count).unwrap_or(0);
    let mut all = 0;
    for Part { key, sum, count } in parts {
        console.number(key, mean(sum, count));
        all += sum;
    }
    let second = mean(all * u64::from(rate), samples);
    console.number("instructions_per_second", second);
    console.text("percent_of_64_mhz_at_one_instruction_a_cycle: ");
    thousandths(console, second / 640);
    console.text("\n");
}

/// A model that passed its known-answer test.
pub struct Tested {
    /// Identity of the blob.
    pub identity: u32,
    /// Its length.
    pub bytes: usize,
    /// Memory of its session.
    pub session: usize,
}

/// Writes what a program takes of the board's memories; `parts` are those beside the session.
pub fn memory(console: &mut Console, model: &Tested, parts: [(&str, usize); 2], stack: &Stack) {
    let (statics, peak) = (static_ram_bytes() as u64, stack.peak_bytes() as u64);
    console.line("board", BOARD.name);
    console.line("core", BOARD.core);
    console.identity("model_identity", model.identity);
    console.number("model_bytes", model.bytes as u64);
    console.number("flash_bytes", flash_bytes() as u64);
    console.number("session_memory_bytes", model.session as u64);
    for (key, bytes) in parts {
        console.number(key, bytes as u64);
    }
    console.number("static_ram_bytes", statics);
    console.number("stack_peak_bytes", peak);
    console.number("ram_bytes", statics + peak);
    console.line("self_test", "passed");
}

/// Writes a number of thousandths with three digits behind the point.
fn thousandths(console: &mut Console, number: u64) {
    console.decimal(number / 1000);
    console.text(".");
    for digit in [number / 100 % 10, number / 10 % 10, number % 10] {
        console.decimal(digit);
    }
}
