//! Hears words: an analog microphone at GP26 (ADC0), sampled by the converter's own clock and DMA.
#![no_std]
#![no_main]

use common::keyword::{BLOCK, Blocks, Leveller, Listener, put};
use embassy_executor::InterruptExecutor;
use embassy_rp::adc::{self, Adc, Channel};
use embassy_rp::gpio::{Level, Output, Pull};
use embassy_rp::interrupt::{InterruptExt, Priority};
use embassy_rp::{Peri, bind_interrupts, dma, interrupt, peripherals};
use {defmt_rtt as _, panic_probe as _};

bind_interrupts!(struct Irqs {
    ADC_IRQ_FIFO => adc::InterruptHandler;
    DMA_IRQ_0 => dma::InterruptHandler<peripherals::DMA_CH0>;
});

/// Runs the microphone's task above the main program.
static MICROPHONE: InterruptExecutor = InterruptExecutor::new();
static BLOCKS: Blocks = Blocks::new();

#[interrupt]
unsafe fn SWI_IRQ_1() {
    // SAFETY: it is started before the interrupt is enabled, by `start` itself.
    unsafe { MICROPHONE.on_interrupt() }
}

/// Ticks a second of the converter's clock.
const TICKS: u32 = 48_000_000;

/// Samples for ever. The first sample of each block is late by as long as the next transfer takes to begin, some
/// microseconds.
#[embassy_executor::task]
async fn sample(
    converter: Peri<'static, peripherals::ADC>,
    pin: Peri<'static, peripherals::PIN_26>,
    dma: Peri<'static, peripherals::DMA_CH0>,
    rate: u32,
) {
    let mut converter = Adc::new(converter, Irqs, adc::Config::default());
    let mut channel = Channel::new_pin(pin, Pull::None);
    let mut dma = dma::Channel::new(dma, Irqs);
    let mut leveller = Leveller::new(12);
    let divider = (TICKS / rate - 1) as u16;
    loop {
        let mut numbers = [0u16; BLOCK];
        let read = converter.read_many(&mut channel, &mut numbers, divider, &mut dma);
        if read.await.is_err() {
            defmt::warn!("the converter has no good samples");
            continue;
        }
        put(&BLOCKS, numbers.map(|number| leveller.sample(number)));
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_rp::init(Default::default());
    let mut led = Output::new(p.PIN_25, Level::Low);
    let mut listener = Listener::new(apps::flash::partition());
    interrupt::SWI_IRQ_1.set_priority(Priority::P2);
    let spawner = MICROPHONE.start(interrupt::SWI_IRQ_1);
    match sample(p.ADC, p.PIN_26, p.DMA_CH0, listener.rate()) {
        Ok(task) => spawner.spawn(task),
        Err(_) => defmt::panic!("the microphone's task is started once"),
    }
    loop {
        match BLOCKS.try_receive() {
            Ok(block) => {
                if listener.hear(&block) {
                    led.toggle();
                }
            }
            // an interrupt on the way is an event: none is missed
            Err(_) => cortex_m::asm::wfe(),
        }
    }
}
