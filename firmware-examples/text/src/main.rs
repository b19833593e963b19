#![no_std]
#![no_main]
//! x
use boards as _;
#[boards::entry]
fn main() -> ! { loop {} }
