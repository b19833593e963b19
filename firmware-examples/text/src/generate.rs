//! Streams text.

use crate::contract::{Sampler, Session};
use crate::failure::Failure;
use crate::profile::Stages;
use crate::report::Range;
use crate::settings::Settings;
use crate::{hash, log};
use apps::text::{self, Steps};
use boards::Console;
use boards::instructions::Counter;
use toeplite::{StepError, Token};

/// Ends the text; everything after it is `key: value` lines.
const SEPARATOR: &str = "\n---\n";

/// Writes the prompt and the text that the model makes of it, token by token, then the figures.
pub fn run(
    console: &mut Console,
    session: &mut Session<'_, '_>,
    counter: Option<Counter>,
    settings: &Settings<'_>,
) -> Result<(), Failure> {
    let mut sampler = Sampler::new(settings.seed)
        .with_temperature(settings.temperature)
        .with_top_k(settings.top_k);
    settings.prompt.for_each(|byte| console.bytes(&[byte]));
    let mut steps = Counted {
        counter,
        instructions: Range::default(),
        stages: Stages::new(),
    };
    let written = text::generate(
        session,
        &mut sampler,
        settings.prompt.into_iter(),
        settings.tokens,
        &mut steps,
        |token| {
            write_token(console, token);
            log::token(token);
        },
    );
    written.map_err(|error| match error {
        StepError::NoTokens => Failure::NoPrompt,
        _ => Failure::Step,
    })?;
    let Counted {
        instructions,
        stages,
        ..
    } = steps;
    console.text(SEPARATOR);
    instructions.write(console);
    stages.write(console, settings.tokens);
    hash::run(console, session);
    Ok(())
}

/// Counts the instructions of steps, and of their stages.
struct Counted {
    /// Nothing, if this machine does not count.
    counter: Option<Counter>,
    instructions: Range,
    stages: Stages,
}

impl Steps<Session<'_, '_>> for Counted {
    fn step(&mut self, session: &mut Session<'_, '_>, token: Token) -> Result<(), StepError> {
        let Self {
            counter,
            instructions,
            stages,
        } = self;
        let mut step = || stages.step(session, token);
        let Some(counter) = counter else {
            return step();
        };
        let (result, count) = counter.measure(step);
        instructions.add(count);
        result
    }

    fn sample(&mut self, session: &Session<'_, '_>, sampler: &mut Sampler) -> Token {
        self.stages.sample(sampler, session)
    }
}

/// A token of a byte-level model is a byte of text.
fn write_token(console: &mut Console, token: Token) {
    match u8::try_from(token.0) {
        Ok(byte) => console.bytes(&[byte]),
        Err(_) => {
            console.text("<");
            console.decimal(u64::from(token.0));
            console.text(">");
        }
    }
}
