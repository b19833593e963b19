//! What both binaries share.
#![no_std]

use boards::{Console, exit};

/// Ends the program: this machine does not count instructions exactly.
pub fn uncounted(mut console: Console) -> ! {
    console.line(
        "error",
        "this machine does not count instructions exactly; run QEMU with the -icount of the board's \
         config.toml",
    );
    exit(8)
}
