//! Hears words: an analog microphone at GP26 (ADC0).
#![no_std]
#![no_main]

use common::keyword::Listener;
use embassy_rp::gpio::{Level, Output};
use picos::{RATES, SOUND};
use {defmt_rtt as _, panic_probe as _};

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_rp::init(Default::default());
    let mut led = Output::new(p.PIN_25, Level::Low);
    let listener = Listener::new(apps::flash::partition(), RATES);
    picos::start(p.ADC, p.PIN_26, p.DMA_CH0, p.DMA_CH1, listener.rate());
    // an interrupt on the way is an event: none is missed
    listener.listen(&SOUND, cortex_m::asm::wfe, || led.toggle())
}
