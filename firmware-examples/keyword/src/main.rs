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

use boards::footprint::Stack;
use boards::instructions::Counter;
use boards::report::{self, Tested};
use boards::{Arguments, Console, command_line, entry, exit};
use failure::Failure;
use memory::{DETECTOR_BYTES, FRONT_END_BYTES};
use microphone::Microphone;
use settings::Settings;
use static_cell::ConstStaticCell;

/// Written by `toeplite convert --meta`: the size of the session's memory, and the audio front end of the training.
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

/// Front end of the model's arithmetic, classifier and detector.
type Ear = apps::keyword::Ear<'static, model_meta::front_end::LogMel<'static>>;

/// A command line; not on the stack, which is the scarcer.
static LINE: ConstStaticCell<[u8; LONGEST_LINE]> = ConstStaticCell::new([0; LONGEST_LINE]);

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

fn run(console: &mut Console, stack: &Stack) -> Result<(), Failure> {
    let line = LINE.try_take().ok_or(Failure::LongLine)?;
    let settings = Settings::default()
        .with(Arguments::new(DEFAULT_ARGUMENTS.as_bytes()))?
        .with(command_line(line).ok_or(Failure::LongLine)?)?;
    let (mut ear, origin) = memory::ear(&settings.ear)?;
    let mut microphone = Microphone::open(settings.wav, ear.config().rate)?;
    let heard = listen::run(console, &mut ear, &mut microphone, Counter::start())?;
    heard.write(console);
    if let Some(origin) = origin {
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
    Ok(())
}
