//! Streams text into the log.

use crate::{MODEL, SESSION_BYTES, built_wrongly, model_meta, tell};
use apps::line::Line;
use apps::text::{choose, generate};
use static_cell::ConstStaticCell;
use toeplite::Memory;

#[cfg(contract = "fixed")]
use toeplite::fixed::{Model, sample::Sampler};
#[cfg(contract = "f32")]
use toeplite::{Model, sample::Sampler};

static MEMORY: ConstStaticCell<Memory<SESSION_BYTES>> = ConstStaticCell::new(Memory::new());

const PROMPT: &[u8] = b"PROSPERO.  My ";
const TOKENS: u32 = 400;

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
        let mut line = Line::new(log);
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
                // a token of a byte-level model is a byte; others stand for none
                line.add(u8::try_from(token.0).unwrap_or(b'?'));
            },
        );
        line.end();
        if written.is_err() {
            built_wrongly("it is not of bytes: the prompt has an unknown token");
        }
    }
    built_wrongly("no more seeds")
}

/// Logs a line.
fn log(bytes: &[u8]) {
    match core::str::from_utf8(bytes) {
        Ok(text) => defmt::println!("{=str}", text),
        Err(_) => defmt::println!("{=[u8]:a}", bytes),
    }
}
