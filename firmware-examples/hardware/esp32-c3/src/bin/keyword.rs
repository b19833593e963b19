//! Hears words: an analog microphone at GPIO2, sampled by a timer's interrupt.
#![no_std]
#![no_main]

use common::keyword::{BLOCK, Block, Blocks, Leveller, Listener, put};
use core::cell::RefCell;
use critical_section::Mutex;
use esp_hal::analog::adc::{Adc, AdcConfig, AdcPin, Attenuation};
use esp_hal::clock::CpuClock;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::interrupt::Priority;
use esp_hal::peripherals::{ADC1, GPIO2};
use esp_hal::time::Duration;
use esp_hal::timer::PeriodicTimer;
use esp_hal::timer::systimer::SystemTimer;
use esp_hal::{Blocking, handler};
use {esp_backtrace as _, esp_println as _};

esp_bootloader_esp_idf::esp_app_desc!();

static BLOCKS: Blocks = Blocks::new();
/// What the interrupt works with, from when the listener is ready.
static MICROPHONE: Mutex<RefCell<Option<Microphone>>> = Mutex::new(RefCell::new(None));

/// The converter, its clock, and the samples of a block that is not whole yet.
struct Microphone {
    timer: PeriodicTimer<'static, Blocking>,
    converter: Adc<'static, ADC1<'static>, Blocking>,
    pin: AdcPin<GPIO2<'static>, ADC1<'static>>,
    leveller: Leveller,
    block: Block,
    used: usize,
}

impl Microphone {
    /// Takes one sample; hands the block over once it is whole.
    fn sample(&mut self) {
        self.timer.clear_interrupt();
        let Ok(number) = nb::block!(self.converter.read_oneshot(&mut self.pin)) else {
            return;
        };
        if let Some(slot) = self.block.get_mut(self.used) {
            *slot = self.leveller.sample(number);
        }
        self.used += 1;
        if self.used >= BLOCK {
            self.used = 0;
            put(&BLOCKS, self.block);
        }
    }
}

#[handler(priority = Priority::Priority2)]
fn sample() {
    critical_section::with(|cs| {
        if let Some(microphone) = MICROPHONE.borrow_ref_mut(cs).as_mut() {
            microphone.sample();
        }
    });
}

#[esp_hal::main]
fn main() -> ! {
    let p = esp_hal::init(esp_hal::Config::default().with_cpu_clock(CpuClock::max()));
    let mut led = Output::new(p.GPIO10, Level::Low, OutputConfig::default());
    let mut listener = Listener::new(esp32_c3::partition(p.FLASH));
    let mut config = AdcConfig::new();
    let pin = config.enable_pin(p.GPIO2, Attenuation::_11dB);
    let mut timer = PeriodicTimer::new(SystemTimer::new(p.SYSTIMER).alarm0);
    timer.set_interrupt_handler(sample);
    timer.listen();
    let period = Duration::from_micros(1_000_000 / u64::from(listener.rate()));
    if timer.start(period).is_err() {
        defmt::panic!("the timer cannot keep the model's sampling rate");
    }
    let microphone = Microphone {
        timer,
        converter: Adc::new(p.ADC1, config),
        pin,
        leveller: Leveller::new(12),
        block: [0; BLOCK],
        used: 0,
    };
    critical_section::with(|cs| MICROPHONE.borrow_ref_mut(cs).replace(microphone));
    loop {
        if let Ok(block) = BLOCKS.try_receive()
            && listener.hear(&block)
        {
            led.toggle();
        }
    }
}
