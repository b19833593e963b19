//! Streams text into the log.

use crate::{MODEL, SESSION_BYTES, built_wrongly, model_meta, tell};
use apps::text::{choose, generate};
use static_cell::ConstStaticCell;
use toeplite::{Memory, Token};

#[cfg(contract = "fixed")]
use toeplite::fixed::{Model, sample::Sampler};
#[cfg(contract = "f32")]
use toeplite::{Model, sample::Sampler};

static MEMORY: ConstStaticCell<Memory<SESSION_BYTES>> = ConstStaticCell::new(Memory::new());

const PROMPT: &[u8] = b"PROSPERO.  My ";
const TOKENS: u32 = 400;
/// Of a log message: a line of the text, or as much of it.
const LINE: usize = 80;

#[cfg(contract = "fixed")]
fn sampler(seed: u64) -> Sampler {
    Sampler::new(seed).with_temperature(800)
}

#[cfg(contract = "f32")]
fn sampler(seed: u64) -> Sampler {
    Sampler::new(seed).with_temperature(0.8)
}

/// Writes one text after the other by the model in `partition`, or the one compiled in; calls `each` at every token: to
/// show that the board lives.
pub fn run(partition: &'static [u8], mut each: impl FnMut()) -> ! {
    let Ok(built_in) = Model::from_bytes(MODEL) else {
        built_wrongly("it is refused; `toeplite inspect` says why");
    };
    if built_in.memory_needed() != model_meta::MEMORY_BYTES {
        built_wrongly("it is not that of model_meta.rs");
    }
    let memory = MEMORY.take().as_mut_slice();
    let (model, origin) = choose(partition, built_in, memory);
    tell(&origin, model.identity());
    let Ok(mut session) = model.session(memory) else {
        built_wrongly("the session memory is refused");
    };
    if session.self_test().is_err() {
        built_wrongly("this core computes other logits than the host did");
    }
    for seed in 1.. {
        session.reset();
        let mut line = Line::default();
        let prompt = PROMPT.iter().copied();
        for byte in prompt.clone() {
            line.add(byte);
        }
        let mut sampler = sampler(seed);
        let written = generate(
            &mut session,
            &mut sampler,
            prompt,
            TOKENS,
            &mut (),
            |token| {
                each();
                line.token(token);
            },
        );
        line.end();
        if written.is_err() {
            built_wrongly("it is not of bytes: the prompt has an unknown token");
        }
    }
    built_wrongly("no more seeds")
}

/// A line of text that is not logged yet.
struct Line {
    bytes: [u8; LINE],
    used: usize,
}

impl Default for Line {
    fn default() -> Self {
        let (bytes, used) = ([0; LINE], 0);
        Self { bytes, used }
    }
}

impl Line {
    /// A token of a byte-level model is a byte; others stand for none.
    fn token(&mut self, token: Token) {
        self.add(u8::try_from(token.0).unwrap_or(b'?'));
    }

    fn add(&mut self, byte: u8) {
        if byte != b'\n'
            && let Some(slot) = self.bytes.get_mut(self.used)
        {
            *slot = byte;
            self.used += 1;
        }
        if byte == b'\n' || self.used == LINE {
            self.end();
        }
    }

    fn end(&mut self) {
        let bytes = self.bytes.get(..self.used).unwrap_or_default();
        match core::str::from_utf8(bytes) {
            Ok(text) => defmt::println!("{=str}", text),
            Err(_) => defmt::println!("{=[u8]:a}", bytes),
        }
        self.used = 0;
    }
}
