//! Hears words.
//!
//! The board's microphone fills [`Sound`] with blocks of samples, at an interrupt's priority, at the rate that [`Listener::rate`]
//! says; the main program lets the [`Listener`] hear them, which logs events, and samples that were lost.

use crate::model_meta::front_end::{CLASSES, CONFIG, SharedLogMel, SharedMemory, Tables};
use crate::{MODEL, SESSION_BYTES, built_wrongly, model_meta, tell};
use apps::keyword::{self, Ear, FrontEnd, Material, Names, Settings, choose};
use apps::microphone::Losses;
pub use apps::microphone::{Leveller, Pace};
use core::cell::Cell;
use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use static_cell::ConstStaticCell;

/// Samples of a block: 16 ms at 8 kHz, 8 ms at 16 kHz. A power of two, as DMA in rings needs.
pub const BLOCK: usize = 128;
/// Samples, in 16 bits, that follow each other.
pub type Block = [i16; BLOCK];
/// Blocks that can wait: 256 ms of sound at 8 kHz, 128 ms at 16 kHz. A frame and a decision must take less time.
const WAITING: usize = 16;

/// Samples on their way from the microphone to the listener, and how many were lost. The microphone's side never waits and
/// logs nothing: it may run in an interrupt.
pub struct Sound {
    blocks: Channel<CriticalSectionRawMutex, Block, WAITING>,
    lost: Mutex<CriticalSectionRawMutex, Cell<u32>>,
}

impl Default for Sound {
    fn default() -> Self {
        Self::new()
    }
}

impl Sound {
    /// Silence.
    pub const fn new() -> Self {
        Self {
            blocks: Channel::new(),
            lost: Mutex::new(Cell::new(0)),
        }
    }

    /// Hands a block over. If there is no room, for the listener is behind, its samples are lost.
    pub fn put(&self, block: Block) {
        if self.blocks.try_send(block).is_err() {
            self.lose(BLOCK as u32);
        }
    }

    /// Counts samples that were never taken.
    pub fn lose(&self, samples: u32) {
        if samples > 0 {
            self.lost
                .lock(|lost| lost.set(lost.get().saturating_add(samples)));
        }
    }

    /// How many samples were lost since the last call.
    fn take_lost(&self) -> u32 {
        self.lost.lock(Cell::take)
    }
}

/// The rates that a board's microphone gives exactly, in samples a second.
#[derive(Clone, Copy)]
pub struct Rates(&'static [u32]);

impl Rates {
    /// Only for a constant: those of a board.
    ///
    /// # Panics
    /// In a `const` this is an error of compilation: the front end of the model compiled in takes another rate.
    pub const fn new(rates: &'static [u32]) -> Self {
        let mut i = 0;
        while i < rates.len() {
            if rates[i] == CONFIG.rate {
                return Self(rates);
            }
            i += 1;
        }
        let message = other_rate();
        match core::str::from_utf8(&message) {
            Ok(message) => panic!("{}", message),
            Err(_) => panic!(),
        }
    }
}

/// Names the rate of the model compiled in: constants have no `format!`.
const fn other_rate() -> [u8; 109] {
    let mut message =
        *b"the model to compile in takes           samples a second, which this board's microphone does not give exactly";
    let (mut at, mut rate) = (38, CONFIG.rate);
    while rate > 0 && at > 28 {
        message[at] = b'0' + (rate % 10) as u8;
        (at, rate) = (at - 1, rate / 10);
    }
    message
}

static TABLES: Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> = Tables::new(CONFIG);
static SESSION: ConstStaticCell<toeplite::Memory<{ SESSION_BYTES + WORK_BYTES }>> =
    ConstStaticCell::new(toeplite::Memory::new());
static FRONT_END: ConstStaticCell<SharedMemory<FRAME, BANDS>> =
    ConstStaticCell::new(SharedMemory::new());
static FEATURES: ConstStaticCell<[f32; BANDS]> = ConstStaticCell::new([0.0; BANDS]);
static POSTERIORS: ConstStaticCell<[f32; WORDS]> = ConstStaticCell::new([0.0; WORDS]);

// Room for models of other shapes in the partition: frames of 32 ms at 16 kHz. Of another model nobody knows how much of its
// session's memory it lends to the front end.
const WORK_BYTES: usize = {
    let largest = CONFIG.with_frames(FRAME, 1);
    4 * SharedLogMel::work_words(&largest.with_bands(BANDS, CONFIG.low, CONFIG.high))
};
const FRAME: usize = larger(CONFIG.frame, 512);
const BANDS: usize = larger(CONFIG.bands, 64);
const WORDS: usize = larger(CLASSES.len(), 64);

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// The ear, its time and its log.
pub struct Listener {
    ear: Ear<'static, SharedLogMel<'static>>,
    /// Samples heard, or lost.
    samples: u64,
    losses: Losses,
}

impl Listener {
    /// Listens by the model in `partition`, if it is good and its front end takes one of these `rates`, or by the one compiled
    /// in. Call it once.
    pub fn new(partition: &'static [u8], rates: Rates) -> Self {
        let built_in = built_in();
        let mut memory = keyword::Memory::<SharedLogMel> {
            session: SESSION.take().as_mut_slice(),
            front_end: FRONT_END.take().kept(),
            features: FEATURES.take(),
            posteriors: POSTERIORS.take(),
        };
        let (material, origin) = choose(partition, built_in, Some(rates.0), &mut memory);
        tell(&origin, material.model.identity());
        let Ok(mut ear) = Ear::new(material, memory, &Settings::default()) else {
            built_wrongly("memory is refused");
        };
        if ear.self_test().is_err() {
            built_wrongly("this core computes other logits than the host did");
        }
        let (samples, losses) = (0, Losses::new(ear.config().rate));
        Self {
            ear,
            samples,
            losses,
        }
    }

    /// Samples a second that the model was trained on.
    pub fn rate(&self) -> u32 {
        self.ear.config().rate
    }

    /// Hears `sound` for ever: logs words and losses, calls `word` at each word, and `wait` when there is nothing to hear, for
    /// an interrupt.
    pub fn listen(mut self, sound: &Sound, mut wait: impl FnMut(), mut word: impl FnMut()) -> ! {
        loop {
            let lost = sound.take_lost();
            match sound.blocks.try_receive() {
                Ok(block) => {
                    self.count(BLOCK as u32, lost);
                    if self.hear(&block) {
                        word();
                    }
                }
                Err(_) => {
                    self.count(0, lost);
                    wait();
                }
            }
        }
    }

    /// Counts samples, and logs, at times, how many are missing.
    fn count(&mut self, heard: u32, lost: u32) {
        self.samples += u64::from(lost);
        if let Some(lost) = self.losses.count(heard, lost) {
            defmt::warn!(
                "{=u32} samples at least are lost: the model takes longer than they last, or interrupts were held back",
                lost
            );
        }
    }

    /// Takes samples, logs what was heard, and returns whether it was a word.
    fn hear(&mut self, block: &Block) -> bool {
        let mut samples = &block[..];
        self.samples += BLOCK as u64;
        let mut any = false;
        loop {
            match self.ear.hear(&mut samples, &mut ()) {
                Ok(None) => return any,
                Ok(Some(heard)) => {
                    if let Some(event) = heard.event {
                        any = true;
                        let heard = self.samples - samples.len() as u64;
                        defmt::info!(
                            "{=u64} ms: {=str} {=u8}%",
                            heard * 1000 / u64::from(self.rate()),
                            self.ear.name(event.class),
                            (event.confidence * 100.0) as u8
                        );
                    }
                }
                Err(_) => defmt::warn!("a frame with a number that cannot be computed with"),
            }
        }
    }
}

fn built_in() -> Material<'static, SharedLogMel<'static>> {
    let Ok(model) = <SharedLogMel as FrontEnd>::Model::from_bytes(MODEL) else {
        built_wrongly("it is refused; `toeplite inspect` says why");
    };
    if model.identity() != model_meta::IDENTITY || model.memory_needed() != model_meta::MEMORY_BYTES
    {
        built_wrongly("it is not that of model_meta.rs");
    }
    let material = Material {
        model,
        tables: TABLES.view(),
        names: Names::BuiltIn(&CLASSES),
    };
    if let Err(refusal) = material.check() {
        built_wrongly(refusal.message());
    }
    material
}
