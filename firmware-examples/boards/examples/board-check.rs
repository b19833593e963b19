//! Says which board this is, and whether its instructions are counted exactly.
//!
//! `cargo +embedded run --release --package boards --example board-check --features mps2-an386 -- -append "some words"`
#![no_std]
#![no_main]

use boards::footprint::{Stack, flash_bytes, static_ram_bytes};
use boards::instructions::Counter;
use boards::{BOARD, Console, command_line, entry, exit};

#[entry]
fn main() -> ! {
    let stack = Stack::paint();
    let mut console = Console::open();
    console.line("board", BOARD.name);
    console.line("core", BOARD.core);
    let mut buffer = [0; 128];
    for word in command_line(&mut buffer).into_iter().flatten() {
        console.text("argument: ");
        console.bytes(word);
        console.text("\n");
    }
    console.number("flash_bytes", flash_bytes() as u64);
    console.number("static_ram_bytes", static_ram_bytes() as u64);
    console.number("stack_peak_bytes", stack.peak_bytes() as u64);
    // Counter::start checks itself against a loop of known length.
    let counted = Counter::start().is_some();
    console.line(
        "instructions_are_counted",
        if counted { "yes" } else { "no" },
    );
    exit(u8::from(!counted))
}
