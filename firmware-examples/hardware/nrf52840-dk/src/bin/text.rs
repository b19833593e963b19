//! Streams text into the log, by the model of the partition or the one compiled in.
#![no_std]
#![no_main]

use embassy_nrf::gpio::{Level, Output, OutputDrive};
use {defmt_rtt as _, panic_probe as _};

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_nrf::init(Default::default());
    let mut led = Output::new(p.P0_13, Level::High, OutputDrive::Standard);
    common::text::run(apps::flash::partition(), move || led.toggle())
}
