//! The `key: value` lines.

use crate::memory::{DETECTOR_BYTES, FRONT_END_BYTES};
use boards::footprint::{Stack, flash_bytes, static_ram_bytes};
use boards::{BOARD, Console};
use toeplite::classifier::Model;

/// Writes what the program takes of the board's memories. The model passed its known-answer test before.
pub fn memory(console: &mut Console, model: &Model<'_>, stack: &Stack) {
    let (statics, peak) = (static_ram_bytes() as u64, stack.peak_bytes() as u64);
    console.line("board", BOARD.name);
    console.line("core", BOARD.core);
    console.identity("model_identity", model.identity());
    console.number("model_bytes", model.blob_bytes() as u64);
    console.number("flash_bytes", flash_bytes() as u64);
    console.number("session_memory_bytes", model.memory_needed() as u64);
    console.number("front_end_memory_bytes", FRONT_END_BYTES as u64);
    console.number("detector_memory_bytes", DETECTOR_BYTES as u64);
    console.number("static_ram_bytes", statics);
    console.number("stack_peak_bytes", peak);
    console.number("ram_bytes", statics + peak);
    console.line("self_test", "passed");
}

/// Writes a number of thousandths with three digits behind the point.
pub fn thousandths(console: &mut Console, number: u64) {
    console.decimal(number / 1000);
    console.text(".");
    for digit in [number / 100 % 10, number / 10 % 10, number % 10] {
        console.decimal(digit);
    }
}
