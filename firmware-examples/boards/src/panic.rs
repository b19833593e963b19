//! Reports a panic and ends with status 101.
//!
//! The applications' release builds have no path that leads here; development builds and
//! applications built upon these may have.

use crate::{Console, exit};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

struct Report(Console);

impl Write for Report {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.text(text);
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // The console never fails, so neither does this.
    let _ = writeln!(Report(Console::open()), "\n{info}");
    exit(101)
}
