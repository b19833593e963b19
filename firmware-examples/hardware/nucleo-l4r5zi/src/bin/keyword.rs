//! Hears words: an analog microphone at A0 (PA3), sampled by a timer's interrupt.
#![no_std]
#![no_main]

use common::keyword::{BLOCK, Leveller, Listener, Pace, Rates, Sound};
use embassy_executor::InterruptExecutor;
use embassy_stm32::adc::{Adc, SampleTime};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::interrupt::{InterruptExt, Priority};
use embassy_stm32::{Peri, interrupt, peripherals};
use embassy_time::{Instant, TICK_HZ, Timer};
use {defmt_rtt as _, panic_probe as _};

/// Runs the microphone's task above the main program.
static MICROPHONE: InterruptExecutor = InterruptExecutor::new();
static SOUND: Sound = Sound::new();
/// Time is counted in microseconds: the period of 16 kHz is no whole number of them.
const RATES: Rates = Rates::new(&[8000]);

#[interrupt]
unsafe fn UART5() {
    // SAFETY: it is started before the interrupt is enabled, by `start` itself.
    unsafe { MICROPHONE.on_interrupt() }
}

/// Samples for ever. The HAL has no conversions of this converter that a timer starts: the task itself keeps time, to the
/// microsecond, and counts the samples that it comes too late for.
#[embassy_executor::task]
async fn sample(
    converter: Peri<'static, peripherals::ADC1>,
    mut pin: Peri<'static, peripherals::PA3>,
    rate: u32,
) {
    let mut converter = Adc::new(converter);
    let mut leveller = Leveller::new(12);
    let mut pace = Pace::new(Instant::now().as_ticks(), TICK_HZ / u64::from(rate));
    loop {
        let mut block = [0; BLOCK];
        for slot in &mut block {
            Timer::at(Instant::from_ticks(pace.due())).await;
            SOUND.lose(pace.taken(Instant::now().as_ticks()));
            let number = converter.blocking_read(&mut pin, SampleTime::CYCLES47_5);
            *slot = leveller.sample(number);
        }
        SOUND.put(block);
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_stm32::init(nucleo_l4r5zi::config());
    let mut led = Output::new(p.PB7, Level::Low, Speed::Low);
    let listener = Listener::new(apps::flash::partition(), RATES);
    interrupt::UART5.set_priority(Priority::P6);
    let spawner = MICROPHONE.start(interrupt::UART5);
    match sample(p.ADC1, p.PA3, listener.rate()) {
        Ok(task) => spawner.spawn(task),
        Err(_) => defmt::panic!("the microphone's task is started once"),
    }
    // an interrupt on the way is an event: none is missed
    listener.listen(&SOUND, cortex_m::asm::wfe, || led.toggle())
}
