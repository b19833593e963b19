//! The clocks of the NUCLEO-L4R5ZI.
#![no_std]

use embassy_stm32::Config;
use embassy_stm32::rcc::{Pll, PllMul, PllPreDiv, PllRDiv, PllSource, Sysclk, mux};

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
