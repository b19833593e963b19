//! What both binaries share.
#![no_std]

use boards::instructions::Counter;
use boards::{Console, exit};

/// Opens the console, runs `count` and ends the program: with its message, if it has one.
pub fn run(count: fn(&mut Console, &mut Counter) -> Result<(), &'static str>) -> ! {
    let mut console = Console::open();
    let Some(mut counter) = Counter::start() else {
        uncounted(console)
    };
    match count(&mut console, &mut counter) {
        Ok(()) => exit(0),
        Err(message) => {
            console.line("error", message);
            exit(1)
        }
    }
}

/// Ends the program: this machine does not count instructions exactly.
pub fn uncounted(mut console: Console) -> ! {
    console.line(
        "error",
        "this machine does not count instructions exactly; run QEMU with the -icount of the board's \
         config.toml",
    );
    exit(8)
}
