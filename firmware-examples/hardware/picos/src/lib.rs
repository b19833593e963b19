//! The microphone of Pico and Pico 2: the converter runs freely, and two channels of DMA fill a block each, in turn, by
//! hardware alone. An interrupt hands each block over while the other one fills.
#![no_std]

use common::keyword::{BLOCK, Leveller, Rates, Sound};
use core::cell::UnsafeCell;
use core::mem::{forget, size_of};
use embassy_rp::adc::{self, Adc};
use embassy_rp::gpio::Pull;
use embassy_rp::interrupt::{InterruptExt, Priority};
use embassy_rp::pac::dma::regs::CtrlTrig;
use embassy_rp::pac::dma::vals::{DataSize, TreqSel};
use embassy_rp::peripherals::{ADC, DMA_CH0, DMA_CH1, PIN_26};
use embassy_rp::{Peri, interrupt, pac};

/// Ticks a second of the converter's clock, which the crystal makes.
const TICKS: u32 = 48_000_000;
/// Whole numbers of ticks.
pub const RATES: Rates = Rates::new(&[8000, 16_000]);
/// What is heard.
pub static SOUND: Sound = Sound::new();

/// A block that a channel of DMA fills over and over: its addresses wrap at a multiple of its size.
#[repr(C, align(256))]
struct Ring(UnsafeCell<[u16; BLOCK]>);

const _: () = assert!(size_of::<Ring>() == 2 * BLOCK && align_of::<Ring>() == 2 * BLOCK);

// SAFETY: DMA alone writes to it, and the one interrupt alone reads it, by a volatile read.
unsafe impl Sync for Ring {}

/// Of channels 0 and 1.
static RINGS: [Ring; 2] = [const { Ring(UnsafeCell::new([0; BLOCK])) }; 2];
/// Their bits in registers.
const CHANNELS: u32 = 0b11;

/// Begins to fill [`SOUND`]. `rate`: one of [`RATES`].
pub fn start(
    converter: Peri<'static, ADC>,
    pin: Peri<'static, PIN_26>,
    _first: Peri<'static, DMA_CH0>,
    _second: Peri<'static, DMA_CH1>,
    rate: u32,
) {
    // both are set up by the HAL, and would be switched off again
    forget(adc::Channel::new_pin(pin, Pull::None));
    forget(Adc::new_blocking(converter, adc::Config::default()));
    let converter = pac::ADC;
    converter.cs().modify(|w| w.set_ainsel(0));
    converter
        .div()
        .write(|w| w.set_int((TICKS / rate - 1) as u16));
    converter.fcs().write(|w| {
        w.set_thresh(1);
        w.set_dreq_en(true);
        w.set_en(true);
    });
    for (number, ring) in RINGS.iter().enumerate() {
        let channel = pac::DMA.ch(number);
        channel
            .read_addr()
            .write_value(converter.fifo().as_ptr() as u32);
        channel.write_addr().write_value(ring.0.get() as u32);
        channel.al2_trans_count().write_value(BLOCK as u32);
        // not the register that starts it
        channel.al1_ctrl().write_value(control(1 - number as u8).0);
    }
    pac::DMA.inte(1).modify(|channels| *channels |= CHANNELS);
    interrupt::DMA_IRQ_1.set_priority(Priority::P2);
    // SAFETY: all that the interrupt uses is ready, and no critical section waits for it.
    unsafe { interrupt::DMA_IRQ_1.enable() };
    pac::DMA
        .multi_chan_trigger()
        .write(|w| w.set_multi_chan_trigger(1));
    converter.cs().modify(|w| w.set_start_many(true));
}

/// Of a channel that begins at the start of its ring again whenever the `other` one is done.
fn control(other: u8) -> CtrlTrig {
    let mut control = CtrlTrig(0);
    control.set_data_size(DataSize::SIZE_HALFWORD);
    control.set_incr_write(true);
    control.set_ring_sel(true);
    control.set_ring_size(size_of::<Ring>().trailing_zeros() as u8);
    control.set_treq_sel(TreqSel::ADC);
    control.set_chain_to(other);
    control.set_en(true);
    control
}

/// A block is whole.
#[interrupt]
fn DMA_IRQ_1() {
    static mut LEVELLER: Leveller = Leveller::new(12);
    let done = pac::DMA.ints(1).read() & CHANNELS;
    pac::DMA.ints(1).write_value(done);
    let number = match done {
        0 => return,
        0b01 => 0,
        0b10 => 1,
        _ => {
            // held back for as long as a block lasts: the older one is being filled anew
            SOUND.lose(BLOCK as u32);
            usize::from(pac::DMA.ch(0).ctrl_trig().read().busy())
        }
    };
    if pac::ADC.fcs().read().over() {
        // DMA came too late, which nothing here lets it
        SOUND.lose(1);
        pac::ADC.fcs().modify(|w| w.set_over(true));
    }
    // SAFETY: the ring is a static's, and DMA fills the other one; of an interrupt that was held back even longer, the numbers
    // are those of other samples, and any number is good.
    let numbers = unsafe { RINGS[number].0.get().read_volatile() };
    SOUND.put(numbers.map(|number| LEVELLER.sample(number)));
}
