//! Streams text into the log, by the model of the partition or the one compiled in.
#![no_std]
#![no_main]

use embassy_rp::gpio::{Level, Output};
use {defmt_rtt as _, panic_probe as _};

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_rp::init(Default::default());
    let mut led = Output::new(p.PIN_25, Level::Low);
    common::text::run(apps::flash::partition(), move || led.toggle())
}
