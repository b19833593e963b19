//! Streams text into the log, by the model of the partition or the one compiled in.
#![no_std]
#![no_main]

use esp_hal::clock::CpuClock;
use esp_hal::gpio::{Level, Output, OutputConfig};
use {esp_backtrace as _, esp_println as _};

esp_bootloader_esp_idf::esp_app_desc!();

#[esp_hal::main]
fn main() -> ! {
    let p = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let mut led = Output::new(p.GPIO10, Level::Low, OutputConfig::default());
    common::text::run(esp32_c3::partition(p.FLASH), move || led.toggle())
}
