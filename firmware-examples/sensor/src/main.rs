//! Tells activities apart in a sensor's samples, which the host hands in one at a time as the sensor would: front end, classifier,
//! smoothed posteriors, an event a change.
//!
//! The command line (`-append "samples=FILE"` after cargo's `--`) says what to watch; see [`settings`].
#![no_std]
#![no_main]

mod failure;
mod settings;
mod stream;
mod watch;
mod watched;

use boards::footprint::Stack;
use boards::instructions::Counter;
use boards::report::{self, Tested};
use boards::{Arguments, Console, Escaped, command_line, entry, exit};
use failure::Failure;
use settings::Settings;
use stream::Stream;
use watch::{FRONT_END_BYTES, TRACKER_BYTES, Watch};

/// Written by `toeplite convert --meta`: the size of the session's memory, and the front end of the training.
mod model_meta {
    include!(env!("TOEPLITE_META"));
}

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

/// What the command line asks for. The line is gone from the stack when this returns, before the stack is at its deepest.
#[inline(never)]
fn arguments() -> Result<(Settings<'static>, Stream), Failure> {
    let mut line = [0; LONGEST_LINE];
    let settings = Settings::default()
        .with(Arguments::new(DEFAULT_ARGUMENTS.as_bytes()))?
        .with(command_line(&mut line).ok_or(Failure::LongLine)?)?;
    let stream = Stream::open(settings.samples)?;
    let samples = Escaped(b"");
    Ok((
        Settings {
            samples,
            ..settings
        },
        stream,
    ))
}

fn run(console: &mut Console, stack: &Stack) -> Result<(), Failure> {
    let (settings, stream) = arguments()?;
    let watch = watch::watch(&settings)?;
    watch.self_test()?;
    let watched = watched::watch(console, watch, &stream, Counter::start())?;
    watched.write(console);
    report(console, watch, stack);
    Ok(())
}

/// Writes what it takes.
#[inline(never)]
fn report(console: &mut Console, watch: &Watch, stack: &Stack) {
    let model = watch.model();
    let tested = Tested {
        identity: model.identity(),
        bytes: model.blob_bytes(),
        session: model.memory_needed(),
    };
    let parts = [
        ("front_end_memory_bytes", FRONT_END_BYTES),
        ("tracker_memory_bytes", TRACKER_BYTES),
    ];
    report::memory(console, &tested, parts, stack);
}
