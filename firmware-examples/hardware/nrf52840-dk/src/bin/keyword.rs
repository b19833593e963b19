//! Hears words: an analog microphone at A0 (P0.03), sampled by timer, PPI and DMA.
#![no_std]
#![no_main]

use common::keyword::{BLOCK, Leveller, Listener, Rates, Sound};
use embassy_executor::InterruptExecutor;
use embassy_nrf::config::HfclkSource;
use embassy_nrf::gpio::{Level, Output, OutputDrive};
use embassy_nrf::interrupt::{InterruptExt, Priority};
use embassy_nrf::saadc::{self, CallbackResult, ChannelConfig, Saadc};
use embassy_nrf::timer::Frequency;
use embassy_nrf::{Peri, bind_interrupts, interrupt, peripherals};
use {defmt_rtt as _, panic_probe as _};

bind_interrupts!(struct Irqs {
    SAADC => saadc::InterruptHandler;
});

/// Runs the microphone's task above the main program.
static MICROPHONE: InterruptExecutor = InterruptExecutor::new();
static SOUND: Sound = Sound::new();

#[interrupt]
unsafe fn EGU1_SWI1() {
    // SAFETY: it is started before the interrupt is enabled, by `start` itself.
    unsafe { MICROPHONE.on_interrupt() }
}

/// Ticks a second of the timer that paces the converter, which the crystal makes.
const TICKS: u32 = 16_000_000;
/// Whole numbers of ticks.
const RATES: Rates = Rates::new(&[8000, 16_000]);

/// Samples for ever, into two buffers in turn.
#[embassy_executor::task]
async fn sample(
    converter: Peri<'static, peripherals::SAADC>,
    pin: Peri<'static, peripherals::P0_03>,
    timer: Peri<'static, peripherals::TIMER1>,
    start: Peri<'static, peripherals::PPI_CH0>,
    pace: Peri<'static, peripherals::PPI_CH1>,
    rate: u32,
) {
    let channel = ChannelConfig::single_ended(pin);
    let mut converter = Saadc::new(converter, Irqs, saadc::Config::default(), [channel]);
    converter.calibrate().await;
    let mut buffers = [[[0; 1]; BLOCK]; 2];
    let mut leveller = Leveller::new(12);
    let take = |samples: &[[i16; 1]]| {
        let mut block = [0; BLOCK];
        for (to, [from]) in block.iter_mut().zip(samples) {
            // noise around the ground may be negative
            *to = leveller.sample((*from).max(0) as u16);
        }
        SOUND.put(block);
        CallbackResult::Continue
    };
    let period = TICKS / rate;
    converter
        .run_task_sampler(
            timer,
            start,
            pace,
            Frequency::F16MHz,
            period,
            &mut buffers,
            take,
        )
        .await;
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut config = embassy_nrf::config::Config::default();
    // the oscillator inside is off by some per cent, and trembles
    config.hfclk_source = HfclkSource::ExternalXtal;
    let p = embassy_nrf::init(config);
    let mut led = Output::new(p.P0_13, Level::High, OutputDrive::Standard);
    let listener = Listener::new(apps::flash::partition(), RATES);
    interrupt::EGU1_SWI1.set_priority(Priority::P6);
    let spawner = MICROPHONE.start(interrupt::EGU1_SWI1);
    match sample(
        p.SAADC,
        p.P0_03,
        p.TIMER1,
        p.PPI_CH0,
        p.PPI_CH1,
        listener.rate(),
    ) {
        Ok(task) => spawner.spawn(task),
        Err(_) => defmt::panic!("the microphone's task is started once"),
    }
    // an interrupt on the way is an event: none is missed
    listener.listen(&SOUND, cortex_m::asm::wfe, || led.toggle())
}
