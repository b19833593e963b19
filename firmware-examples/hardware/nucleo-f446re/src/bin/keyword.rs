//! Hears words: an analog microphone at A0 (PA0), sampled by timer and DMA.
#![no_std]
#![no_main]

use common::keyword::{BLOCK, Leveller, Listener, Rates, Sound};
use embassy_executor::InterruptExecutor;
use embassy_stm32::adc::{Adc, AdcChannel, Exten, SampleTime};
use embassy_stm32::gpio::{Level, Output, Speed};
use embassy_stm32::interrupt::{InterruptExt, Priority};
use embassy_stm32::time::Hertz;
use embassy_stm32::timer::low_level::{MasterMode, RoundTo, Timer};
use embassy_stm32::triggers::TIM2_TRGO;
use embassy_stm32::{Peri, bind_interrupts, dma, interrupt, peripherals};
use {defmt_rtt as _, panic_probe as _};

bind_interrupts!(struct Irqs {
    DMA2_STREAM0 => dma::InterruptHandler<peripherals::DMA2_CH0>;
});

/// Runs the microphone's task above the main program.
static MICROPHONE: InterruptExecutor = InterruptExecutor::new();
static SOUND: Sound = Sound::new();
/// The timer's clock is 84 MHz: whole numbers of its ticks.
const RATES: Rates = Rates::new(&[8000, 16_000]);

#[interrupt]
unsafe fn UART5() {
    // SAFETY: it is started before the interrupt is enabled, by `start` itself.
    unsafe { MICROPHONE.on_interrupt() }
}

/// Samples for ever, into the halves of a buffer in turn.
#[embassy_executor::task]
async fn sample(
    converter: Peri<'static, peripherals::ADC1>,
    pin: Peri<'static, peripherals::PA0>,
    dma: Peri<'static, peripherals::DMA2_CH0>,
    timer: Peri<'static, peripherals::TIM2>,
    rate: u32,
) {
    let timer = Timer::new(timer);
    timer.set_frequency(Hertz(rate), RoundTo::Slower);
    timer.set_master_mode(MasterMode::UPDATE);
    let mut buffer = [0; 2 * BLOCK];
    let sequence = [(pin.degrade_adc(), SampleTime::CYCLES56)];
    let mut converter = Adc::new(converter).into_ring_buffered(
        dma,
        &mut buffer,
        Irqs,
        sequence.into_iter(),
        TIM2_TRGO,
        Exten::RISING_EDGE,
    );
    timer.start();
    let mut leveller = Leveller::new(12);
    loop {
        let mut numbers = [0; BLOCK];
        if converter.read(&mut numbers).await.is_err() {
            // overwritten: this many, or more
            SOUND.lose(BLOCK as u32);
            continue;
        }
        SOUND.put(numbers.map(|number| leveller.sample(number)));
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let p = embassy_stm32::init(nucleo_f446re::config());
    let mut led = Output::new(p.PA5, Level::Low, Speed::Low);
    let listener = Listener::new(apps::flash::partition(), RATES);
    interrupt::UART5.set_priority(Priority::P6);
    let spawner = MICROPHONE.start(interrupt::UART5);
    match sample(p.ADC1, p.PA0, p.DMA2_CH0, p.TIM2, listener.rate()) {
        Ok(task) => spawner.spawn(task),
        Err(_) => defmt::panic!("the microphone's task is started once"),
    }
    // an interrupt on the way is an event: none is missed
    listener.listen(&SOUND, cortex_m::asm::wfe, || led.toggle())
}
