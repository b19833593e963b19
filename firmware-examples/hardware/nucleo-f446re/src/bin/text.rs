//! Streams text into the log, by the model of the partition or the one compiled in.
#![no_std]
#![no_main]

use embassy_stm32::gpio::{Level, Output, Speed};
use {defmt_rtt as _, panic_probe as _};

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_stm32::init(nucleo_f446re::config());
    let mut led = Output::new(p.PA5, Level::Low, Speed::Low);
    common::text::run(apps::flash::partition(), move || led.toggle())
}
