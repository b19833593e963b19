//! Counts the instructions of a window of a bidirectional model, and writes `key: number` lines.
#![no_std]
#![no_main]

use boards::instructions::Counter;
use boards::{Console, entry};
use static_cell::ConstStaticCell;
use toeplite::window::{Model, Session};
use toeplite::{Memory, Token};

/// `MEMORY_BYTES` and `WINDOW` of the model.
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static MEMORY: ConstStaticCell<Memory<{ model_meta::MEMORY_BYTES }>> =
    ConstStaticCell::new(Memory::new());

/// Tokens of the shorter run.
const FEW: usize = model_meta::WINDOW.div_ceil(2);

#[entry]
fn main() -> ! {
    bench::run(run)
}

fn run(console: &mut Console, counter: &mut Counter) -> Result<(), &'static str> {
    let model = Model::from_bytes(MODEL)
        .map_err(|_| "the model blob is refused; `toeplite inspect` says why")?;
    let memory = MEMORY.try_take().ok_or("the memory is taken")?;
    let mut session = model
        .session(memory.as_mut_slice())
        .map_err(|_| "the session memory is refused; build with the model's own MEMORY_BYTES")?;
    session.self_test().map_err(
        |_| "the known-answer test failed: this core computes other logits than the host",
    )?;
    let vocabulary = model.vocab_size().max(1);
    let token = |i: usize| Token(((i * 97 + 13) % vocabulary) as u32);
    let tokens: [Token; model_meta::WINDOW] = core::array::from_fn(token);
    console.number("tokens", tokens.len() as u64);
    console.number("window", counted(&mut session, counter, &tokens)?);
    let (result, head) = counter.measure(|| session.logits(0).map(|_| ()));
    result.map_err(|_| REFUSED)?;
    console.number("head", head);
    let hash = session.hash_run(&tokens).map_err(|_| REFUSED)?;
    console.number("logits_hash", hash);
    let few = tokens.get(..FEW).ok_or(REFUSED)?;
    console.number("few_tokens", few.len() as u64);
    console.number("few", counted(&mut session, counter, few)?);
    Ok(())
}

const REFUSED: &str = "the model refused a window of its vocabulary";

/// Instructions of a run.
fn counted(
    session: &mut Session<'_, '_>,
    counter: &mut Counter,
    tokens: &[Token],
) -> Result<u64, &'static str> {
    let (result, instructions) = counter.measure(|| session.run(tokens));
    result.map_err(|_| REFUSED)?;
    Ok(instructions)
}
