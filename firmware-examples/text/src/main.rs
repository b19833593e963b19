//! Streams text from a converted Toeplitz network: weights in flash, read in place; state in one
//! static array; the same instructions for every token.
//!
//! The command line (`-append "WORDS"` after cargo's `--`) chooses what to do; see [`settings`].
#![no_std]
#![no_main]

mod contract;
mod cost;
mod failure;
mod generate;
mod hash;
mod log;
mod profile;
mod report;
mod settings;

use boards::footprint::Stack;
use boards::instructions::Counter;
use boards::{Arguments, Console, command_line, entry, exit};
use contract::{Model, Session};
use failure::Failure;
use settings::{Mode, Settings};
use static_cell::ConstStaticCell;
use toeplite::Memory;

/// Written by `toeplite convert --meta`.
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

static MODEL: &[u8] = toeplite::include_aligned!(env!("TOEPLITE_MODEL"));
static MEMORY: ConstStaticCell<Memory<SESSION_BYTES>> = ConstStaticCell::new(Memory::new());

/// A model in the board's partition may need more memory than the one compiled in.
const SESSION_BYTES: usize = match cfg!(feature = "partition") {
    true => apps::flash::session_bytes(
        option_env!("TOEPLITE_SESSION_BYTES"),
        model_meta::MEMORY_BYTES,
    ),
    false => model_meta::MEMORY_BYTES,
};

/// A command line; not on the stack, which is the scarcer.
static LINE: ConstStaticCell<[u8; LONGEST_LINE]> = ConstStaticCell::new([0; LONGEST_LINE]);

/// What a command line is added to. TOEPLITE_ARGS at build time takes its place.
const DEFAULT_ARGUMENTS: &str = match option_env!("TOEPLITE_ARGS") {
    Some(arguments) => arguments,
    None => "generate prompt=PROSPERO.%20%20My%20",
};

/// Longest command line, bytes.
const LONGEST_LINE: usize = 512;

#[entry]
fn main() -> ! {
    let stack = Stack::paint();
    let mut console = Console::open();
    match run(&mut console, &stack) {
        Ok(()) => exit(0),
        Err(failure) => {
            log::failed(failure);
            console.text("\n");
            console.line("error", failure.message());
            exit(failure.status())
        }
    }
}

fn run(console: &mut Console, stack: &Stack) -> Result<(), Failure> {
    let line = LINE.try_take().ok_or(Failure::LongLine)?;
    let settings = Settings::default()
        .with(Arguments::new(DEFAULT_ARGUMENTS.as_bytes()))?
        .with(command_line(line).ok_or(Failure::LongLine)?)?;

    let model = Model::from_bytes(MODEL).map_err(|_| Failure::Model)?;
    if model.memory_needed() != model_meta::MEMORY_BYTES {
        return Err(Failure::Prediction);
    }
    let memory = MEMORY.try_take().ok_or(Failure::Memory)?.as_mut_slice();
    #[cfg(feature = "partition")]
    let (model, origin) = apps::text::choose(apps::flash::partition(), model, memory);
    let mut session: Session = model.session(memory).map_err(|_| Failure::Memory)?;
    log::started(&model);
    session.self_test().map_err(|_| Failure::SelfTest)?;

    let counter = Counter::start();
    match settings.mode {
        Mode::Generate => generate::run(console, &mut session, counter, &settings)?,
        Mode::Hash => hash::run(console, &mut session),
        Mode::Cost => cost::run(console, &mut session, counter, settings.steps)?,
    }
    report::memory(console, &model, stack);
    #[cfg(feature = "partition")]
    console.origin(origin.name(), origin.reason());
    panic_control(settings.steps);
    float_control(settings.steps);
    Ok(())
}

/// With feature `float-control`, divides floats.
fn float_control(number: u32) {
    #[cfg(feature = "float-control")]
    core::hint::black_box(1.5 / core::hint::black_box(number as f32));
    #[cfg(not(feature = "float-control"))]
    let _ = number;
}

/// With feature `panic-control`, indexes out of bounds if `index` is large.
fn panic_control(index: u32) {
    #[cfg(feature = "panic-control")]
    core::hint::black_box(core::hint::black_box([0u8; 4])[index as usize]);
    #[cfg(not(feature = "panic-control"))]
    let _ = index;
}
