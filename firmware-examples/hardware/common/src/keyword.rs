//! Hears words.
//!
//! The board's microphone fills [`Blocks`] of samples, at an interrupt's priority, at the rate that [`Listener::rate`] says; the
//! main program hands them to the [`Listener`], which logs events.

use crate::model_meta::front_end::{CLASSES, CONFIG, LogMel, Memory, Tables};
use crate::{MODEL, SESSION_BYTES, built_wrongly, model_meta, tell};
use apps::keyword::{self, Ear, Material, Names, Settings, choose};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use static_cell::ConstStaticCell;
use toeplite::classifier::Model;

/// Samples of a block: 10 ms at 8 kHz.
pub const BLOCK: usize = 80;
/// Samples, in 16 bits, that follow each other.
pub type Block = [i16; BLOCK];
/// Blocks on their way from the microphone to the listener. A frame and a decision must take less time than they last.
pub type Blocks = Channel<CriticalSectionRawMutex, Block, 12>;

static TABLES: Tables<{ CONFIG.frame }, { CONFIG.bins() }, { CONFIG.bands }> = Tables::new(CONFIG);
static SESSION: ConstStaticCell<toeplite::Memory<SESSION_BYTES>> =
    ConstStaticCell::new(toeplite::Memory::new());
static FRONT_END: ConstStaticCell<Memory<FRAME, BINS, BANDS>> = ConstStaticCell::new(Memory::new());
static FEATURES: ConstStaticCell<[f32; BANDS]> = ConstStaticCell::new([0.0; BANDS]);
static POSTERIORS: ConstStaticCell<[f32; WORDS]> = ConstStaticCell::new([0.0; WORDS]);

// Room for models of other shapes in the partition: frames of 32 ms at 16 kHz.
const FRAME: usize = larger(CONFIG.frame, 512);
const BINS: usize = larger(CONFIG.bins(), 256);
const BANDS: usize = larger(CONFIG.bands, 64);
const WORDS: usize = larger(CLASSES.len(), 64);

const fn larger(a: usize, b: usize) -> usize {
    if a > b { a } else { b }
}

/// The ear, its time and its log.
pub struct Listener {
    ear: Ear<'static, LogMel<'static>>,
    /// Samples heard.
    samples: u64,
}

impl Listener {
    /// Listens by the model in `partition`, or the one compiled in. Call it once.
    pub fn new(partition: &'static [u8]) -> Self {
        let built_in = built_in();
        let mut memory = keyword::Memory::<LogMel> {
            session: SESSION.take().as_mut_slice(),
            front_end: FRONT_END.take().buffers(),
            features: FEATURES.take(),
            posteriors: POSTERIORS.take(),
        };
        let (material, origin) = choose(partition, built_in, &mut memory);
        tell(&origin, material.model.identity());
        let Ok(ear) = Ear::new(material, memory, &Settings::default()) else {
            built_wrongly("this core computes other logits than the host did");
        };
        let samples = 0;
        Self { ear, samples }
    }

    /// Samples a second that the model was trained on.
    pub fn rate(&self) -> u32 {
        self.ear.config().rate
    }

    /// Takes samples, logs what was heard, and returns whether it was a word.
    pub fn hear(&mut self, block: &Block) -> bool {
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
                            (event.posterior * 100.0) as u8
                        );
                    }
                }
                Err(_) => defmt::warn!("a frame with a number that cannot be computed with"),
            }
        }
    }
}

/// Hands a block over. If the listener is behind, the block is lost, which is logged.
pub fn put(blocks: &Blocks, block: Block) {
    if blocks.try_send(block).is_err() {
        defmt::warn!("10 ms of sound are lost: the model takes longer than a block lasts");
    }
}

fn built_in() -> Material<'static, LogMel<'static>> {
    let Ok(model) = Model::from_bytes(MODEL) else {
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

/// Binary places of a resting voltage.
const PLACES: u32 = 16;

/// What an analog-digital converter gives, as samples around zero: the microphone's resting voltage is followed slowly and
/// taken away.
pub struct Leveller {
    /// The resting voltage, with [`PLACES`] binary places.
    rest: i32,
    /// Places that a converter's number is shifted by to fill 16 bits.
    shift: u32,
}

impl Leveller {
    /// For a converter of 8 to 14 bits, whose numbers begin at 0.
    pub const fn new(bits: u32) -> Self {
        // half the supply, where most microphones' boards rest
        let rest = 1 << (bits - 1 + PLACES);
        let shift = 16 - bits;
        Self { rest, shift }
    }

    /// The next sample.
    pub fn sample(&mut self, number: u16) -> i16 {
        let error = i32::from(number) - (self.rest >> PLACES);
        // what is 2^9 samples old counts for a third: below speech, above the drift of temperature
        self.rest += error << (PLACES - 9);
        (error << self.shift).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }
}
