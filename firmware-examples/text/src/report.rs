//! The `key: value` lines.

use crate::contract::Model;
use crate::model_meta;
use boards::footprint::{Stack, flash_bytes, static_ram_bytes};
use boards::{BOARD, Console};

/// Writes what the program takes of the board's memories. It ran its known-answer test before.
pub fn memory(console: &mut Console, model: &Model<'_>, stack: &Stack) {
    console.line("board", BOARD.name);
    console.line("core", BOARD.core);
    console.number("vocabulary", model.vocab_size() as u64);
    console.number("layers", model.layers() as u64);
    console.identity("model_identity", model.identity());
    console.number("model_bytes", model.blob_bytes() as u64);
    console.number("flash_bytes", flash_bytes() as u64);
    console.number("session_memory_bytes", model.memory_needed() as u64);
    console.number("predicted_memory_bytes", model_meta::MEMORY_BYTES as u64);
    console.number("static_ram_bytes", static_ram_bytes() as u64);
    console.number("stack_peak_bytes", stack.peak_bytes() as u64);
    console.line("self_test", "passed");
}

/// Smallest and largest of the counts seen.
#[derive(Default)]
pub struct Range(Option<(u64, u64)>);

impl Range {
    /// Takes one more count.
    pub fn add(&mut self, count: u64) {
        let (least, most) = self.0.unwrap_or((count, count));
        self.0 = Some((least.min(count), most.max(count)));
    }

    /// Writes both, or that nothing was counted.
    pub fn write(&self, console: &mut Console) {
        match self.0 {
            Some((least, most)) => {
                console.number("instructions_per_token_min", least);
                console.number("instructions_per_token_max", most);
            }
            None => console.line(
                "instructions_per_token",
                "not counted (needs QEMU's -icount)",
            ),
        }
    }
}
