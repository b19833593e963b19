//! Counts the instructions of one token of a model, stage by stage, and writes `key: number` lines.
#![no_std]
#![no_main]

use boards::instructions::{self, Counter, Instant};
use boards::{Console, entry};
use static_cell::ConstStaticCell;
use toeplite::profile::{Clock, Profile, Stage};
use toeplite::{Memory, Token};

#[cfg(contract = "fixed")]
use toeplite::fixed::{Model, Session, sample::Sampler};
#[cfg(contract = "f32")]
use toeplite::{Model, Session, sample::Sampler};

/// `MEMORY_BYTES` and `PREFILL_BYTES` of the model.
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static MEMORY: ConstStaticCell<Memory<{ model_meta::MEMORY_BYTES }>> =
    ConstStaticCell::new(Memory::new());

/// 0.8, as the contract takes it.
#[cfg(contract = "f32")]
const TEMPERATURE: f32 = 0.8;
#[cfg(contract = "fixed")]
const TEMPERATURE: u32 = 800;

/// The token that is counted, from 0. Those before fill the recurrence's state.
const COUNTED: usize = 16;
/// Tokens of the prefill that is counted.
const PREFILLED: usize = 8;

/// For the prefill.
static WORKSPACE: ConstStaticCell<Memory<{ model_meta::PREFILL_BYTES }>> =
    ConstStaticCell::new(Memory::new());

/// The count of instructions, for the runtime's profile.
struct Instructions;

impl Clock for Instructions {
    type Instant = Instant;

    fn now(&mut self) -> Instant {
        instructions::now()
    }

    fn elapsed(&self, start: Instant, end: Instant) -> u64 {
        instructions::between(start, end)
    }
}

#[entry]
fn main() -> ! {
    bench::run(run)
}

fn run(console: &mut Console, counter: &mut Counter) -> Result<(), &'static str> {
    let model = Model::from_bytes(MODEL)
        .map_err(|_| "the model blob is refused; `toeplite inspect` says why")?;
    let memory = MEMORY.try_take().ok_or("the memory is taken")?;
    let mut session: Session = model
        .session(memory.as_mut_slice())
        .map_err(|_| "the session memory is refused; build with the model's own MEMORY_BYTES")?;
    session.self_test().map_err(
        |_| "the known-answer test failed: this core computes other logits than the host",
    )?;

    warm_up(&mut session)?;
    let token = token(&session, COUNTED);
    let (result, step) = counter.measure(|| session.step(token).map(|_| ()));
    result.map_err(|_| REFUSED)?;
    console.number("step", step);
    let mut sampler = Sampler::new(42).with_temperature(TEMPERATURE);
    let (_, sampling) = counter.measure(|| sampler.sample(session.logits()));
    console.number("sampling", sampling);

    console.number("prefill", prefill(&mut session, counter)?);
    console.number("prefilled", PREFILLED as u64);

    session.reset();
    warm_up(&mut session)?;
    let mut profile = Profile::new(Instructions);
    session
        .step_with(token, &mut profile)
        .map_err(|_| REFUSED)?;
    profile.stop();
    for stage in Stage::ALL {
        if stage != Stage::Sampling {
            console.text("stage ");
            console.number(stage.name(), profile.total(stage));
        }
    }
    Ok(())
}

/// Instructions of a prefill in blocks.
fn prefill(session: &mut Session<'_, '_>, counter: &mut Counter) -> Result<u64, &'static str> {
    let workspace = WORKSPACE.try_take().ok_or("the workspace is taken")?;
    let workspace = workspace.as_mut_slice();
    let tokens: [Token; PREFILLED] = core::array::from_fn(|i| token(session, i));
    let (result, instructions) =
        counter.measure(|| session.prefill_in_blocks(&tokens, workspace).map(|_| ()));
    result.map_err(|_| "the prefill was refused")?;
    Ok(instructions)
}

const REFUSED: &str = "the model refused a token of its vocabulary";

fn warm_up(session: &mut Session<'_, '_>) -> Result<(), &'static str> {
    for i in 0..COUNTED {
        let token = token(session, i);
        session.step(token).map_err(|_| REFUSED)?;
    }
    Ok(())
}

fn token(session: &Session<'_, '_>, i: usize) -> Token {
    Token(((i * 97 + 13) % session.model().vocab_size().max(1)) as u32)
}
