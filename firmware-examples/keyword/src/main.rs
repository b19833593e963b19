//! Spots keywords in a recording that the host hands in, samples by samples, as a microphone would: audio front end, classifier,
//! smoothed posteriors, an event a word.
//!
//! The command line (`-append "wav=FILE"` after cargo's `--`) says what to hear; see [`settings`].
#![no_std]
#![no_main]

mod failure;
mod listen;
mod memory;
mod microphone;
mod settings;

use apps::partition::Origin;
use boards::footprint::Stack;
use boards::instructions::Counter;
use boards::report::{self, Tested};
use boards::{Arguments, Console, command_line, entry, exit};
use failure::Failure;
use memory::{DETECTOR_BYTES, FRONT_END_BYTES};
use microphone::Microphone;
use settings::Settings;

/// Written by `toeplite convert --meta`: the size of the session's memory, and the audio front end of the training.
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

/// Front end of the model's arithmetic, classifier and detector.
type Ear = apps::keyword::Ear<'static, model_meta::front_end::SharedLogMel<'static>>;

/// What a command line is added to. TOEPLITE_ARGS at build time takes its place.
const DEFAULT_ARGUMENTS: &str = match option_env!("TOEPLITE_ARGS") {
    Some(arguments) => arguments,
    None => "",
};

/// Longest command line, bytes.
const LONGEST_LINE: usize = 384;

#[entry]
fn main() -> ! {
    let stack = Stack::paint();
    let mut console = Console::open();
    match run(&mut console, &stack) {
        Ok(()) => exit(0),
        Err(failure) => {
            console.text("\n");
            console.line("error", failure.message());
            exit(failure.status())
        }
    }
}

/// What the command line asks for. The line is gone from the stack when it returns, before the stack is at its deepest.
#[inline(never)]
fn arguments() -> Result<(apps::keyword::Settings, Microphone), Failure> {
    let mut line = [0; LONGEST_LINE];
    let settings = Settings::default()
        .with(Arguments::new(DEFAULT_ARGUMENTS.as_bytes()))?
        .with(command_line(&mut line).ok_or(Failure::LongLine)?)?;
    Ok((settings.ear, Microphone::open(settings.wav)?))
}

fn run(console: &mut Console, stack: &Stack) -> Result<(), Failure> {
    let (settings, mut microphone) = arguments()?;
    let (ear, origin) = memory::ear(&settings)?;
    if microphone.rate() != ear.config().rate {
        return Err(Failure::Rate);
    }
    ear.self_test()?;
    let heard = listen::run(console, ear, &mut microphone, Counter::start())?;
    heard.write(console);
    report(console, ear, origin, stack);
    Ok(())
}

/// Writes where the model is from, and what it takes.
#[inline(never)]
fn report(console: &mut Console, ear: &Ear, origin: Option<Origin>, stack: &Stack) {
    // known at compile time: without a partition, the texts of why it is refused are not linked
    if cfg!(feature = "partition")
        && let Some(origin) = origin
    {
        console.origin(origin.name(), origin.reason());
    }
    let model = ear.model();
    let tested = Tested {
        identity: model.identity(),
        bytes: model.blob_bytes(),
        session: model.memory_needed(),
    };
    let parts = [
        ("front_end_memory_bytes", FRONT_END_BYTES),
        ("detector_memory_bytes", DETECTOR_BYTES),
    ];
    report::memory(console, &tested, parts, stack);
}
