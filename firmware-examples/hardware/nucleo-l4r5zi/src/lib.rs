//! The clocks of the NUCLEO-L4R5ZI, and what becomes of flash that cannot be read.
#![no_std]

use cortex_m_rt::exception;
use embassy_stm32::rcc::{Pll, PllMul, PllPreDiv, PllRDiv, PllSource, Sysclk, mux};
use embassy_stm32::{Config, pac};

/// 80 MHz, from the internal oscillator of 16 MHz; the converter's clock is the system's.
pub fn config() -> Config {
    let mut config = Config::default();
    config.rcc.hsi = true;
    config.rcc.pll = Some(Pll {
        source: PllSource::HSI,
        prediv: PllPreDiv::DIV1,
        mul: PllMul::MUL10,
        divp: None,
        divq: None,
        divr: Some(PllRDiv::DIV2),
    });
    config.rcc.sys = Sysclk::PLL1_R;
    config.rcc.mux.adcsel = mux::Adcsel::SYS;
    config
}

/// Power that failed while flash was written may leave words that error correction cannot mend: reading one raises this
/// exception. In the bank of the model's partition it is not the end: the word reads as something else, so that the image's
/// checksum is another, and the model compiled in runs.
#[exception]
unsafe fn NonMaskableInt() {
    let errors = pac::FLASH.eccr();
    let found = errors.read();
    let of_partition = found.eccd() && found.bk_ecc();
    if !of_partition {
        // the firmware itself, or another cause: a fault, for the debugger
        cortex_m::asm::udf();
    }
    // a flag is cleared by writing a one
    errors.modify(|w| w.set_eccd(true));
}
