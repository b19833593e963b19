//! Streams text.

use crate::contract::{Sampler, Session};
use crate::failure::Failure;
use crate::profile::Stages;
use crate::report::Range;
use crate::settings::Settings;
use crate::{hash, log};
use boards::Console;
use boards::instructions::Counter;
use toeplite::{StepError, Token};

/// Ends the text; everything after it is `key: value` lines.
const SEPARATOR: &str = "\n---\n";

/// Writes the prompt and the text that the model makes of it, token by token, then the figures.
pub fn run(
    console: &mut Console,
    session: &mut Session<'_, '_>,
    mut counter: Option<Counter>,
    settings: &Settings<'_>,
) -> Result<(), Failure> {
    let mut sampler = Sampler::new(settings.seed)
        .with_temperature(settings.temperature)
        .with_top_k(settings.top_k);
    settings.prompt.for_each(|byte| console.bytes(&[byte]));
    let logits = session
        .prefill(settings.prompt)
        .map_err(|error| match error {
            StepError::NoTokens => Failure::NoPrompt,
            _ => Failure::Step,
        })?;
    let mut token = sampler.sample(logits);
    let mut instructions = Range::default();
    let mut stages = Stages::new();
    for _ in 0..settings.tokens {
        write_token(console, token);
        log::token(token);
        let mut step = || stages.step(session, token);
        let result = match &mut counter {
            Some(counter) => {
                let (result, count) = counter.measure(step);
                instructions.add(count);
                result
            }
            None => step(),
        };
        result.map_err(|_| Failure::Step)?;
        token = stages.sample(&mut sampler, session);
    }
    console.text(SEPARATOR);
    instructions.write(console);
    stages.write(console, settings.tokens);
    hash::run(console, session);
    Ok(())
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
