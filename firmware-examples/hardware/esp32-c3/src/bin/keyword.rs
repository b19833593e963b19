//! Hears words: an analog microphone at GPIO2, sampled by a timer's interrupt.
#![no_std]
#![no_main]

use common::keyword::{BLOCK, Block, Leveller, Listener, Pace, Rates, Sound};
use core::cell::RefCell;
use critical_section::Mutex;
use esp_hal::analog::adc::{Adc, AdcConfig, AdcPin, Attenuation};
use esp_hal::clock::CpuClock;
use esp_hal::gpio::{Level, Output, OutputConfig};
use esp_hal::interrupt::Priority;
use esp_hal::peripherals::{ADC1, GPIO2};
use esp_hal::time::{Duration, Instant};
use esp_hal::timer::PeriodicTimer;
use esp_hal::timer::systimer::SystemTimer;
use esp_hal::{Blocking, handler};
use {esp_backtrace as _, esp_println as _};

esp_bootloader_esp_idf::esp_app_desc!();

static SOUND: Sound = Sound::new();
/// Time is counted in microseconds: the period of 16 kHz is no whole number of them.
const RATES: Rates = Rates::new(&[8000]);
/// What the interrupt works with, from when the listener is ready.
static MICROPHONE: Mutex<RefCell<Option<Microphone>>> = Mutex::new(RefCell::new(None));

/// The converter, its clock, and the samples of a block that is not whole yet.
struct Microphone {
    timer: PeriodicTimer<'static, Blocking>,
    converter: Adc<'static, ADC1<'static>, Blocking>,
    pin: AdcPin<GPIO2<'static>, ADC1<'static>>,
    pace: Pace,
    leveller: Leveller,
    block: Block,
    used: usize,
}

impl Microphone {
    /// Takes one sample; hands the block over once it is whole.
    fn sample(&mut self) {
        // first: a tick while this one is worked at is an interrupt of its own
        self.timer.clear_interrupt();
        SOUND.lose(self.pace.taken(now()));
        let Ok(number) = nb::block!(self.converter.read_oneshot(&mut self.pin)) else {
            return SOUND.lose(1);
        };
        if let Some(slot) = self.block.get_mut(self.used) {
            *slot = self.leveller.sample(number);
        }
        self.used += 1;
        if self.used >= BLOCK {
            self.used = 0;
            SOUND.put(self.block);
        }
    }
}

/// Microseconds since the start.
fn now() -> u64 {
    Instant::now().duration_since_epoch().as_micros()
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
    let listener = Listener::new(esp32_c3::partition(p.FLASH), RATES);
    let mut config = AdcConfig::new();
    let pin = config.enable_pin(p.GPIO2, Attenuation::_11dB);
    let mut timer = PeriodicTimer::new(SystemTimer::new(p.SYSTIMER).alarm0);
    timer.set_interrupt_handler(sample);
    let period = 1_000_000 / u64::from(listener.rate());
    let microphone = Microphone {
        timer,
        converter: Adc::new(p.ADC1, config),
        pin,
        pace: Pace::new(now(), period),
        leveller: Leveller::new(12),
        block: [0; BLOCK],
        used: 0,
    };
    // no interrupt before the microphone is where it looks for it: nobody would clear it
    let started = critical_section::with(|cs| {
        let mut place = MICROPHONE.borrow_ref_mut(cs);
        let microphone = place.insert(microphone);
        microphone.timer.listen();
        microphone.pace = Pace::new(now(), period);
        microphone.timer.start(Duration::from_micros(period))
    });
    if started.is_err() {
        defmt::panic!("the timer cannot keep the model's sampling rate");
    }
    listener.listen(&SOUND, core::hint::spin_loop, || led.toggle())
}
