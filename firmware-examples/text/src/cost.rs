//! Counts the instructions of every step of a long sequence.

use crate::contract::Session;
use crate::failure::Failure;
use crate::report::Range;
use boards::Console;
use boards::instructions::Counter;
use toeplite::Token;

/// An early step to compare the last one with.
const EARLY: u32 = 10;
/// The tokens repeat with this period, a divisor of 100,000 - 10: the token is the same at both.
const PERIOD: u32 = 90;

/// Runs `steps` steps and writes what the tenth, the last, the cheapest and the dearest took.
pub fn run(
    console: &mut Console,
    session: &mut Session<'_, '_>,
    counter: Option<Counter>,
    steps: u32,
) -> Result<(), Failure> {
    let mut counter = counter.ok_or(Failure::Counting)?;
    let vocabulary = (session.model().vocab_size() as u32).max(1);
    let (mut early, mut last, mut range) = (0, 0, Range::default());
    for step in 1..=steps {
        let token = Token((step % PERIOD * 97 + 13) % vocabulary);
        let (result, count) = counter.measure(|| session.step(token).map(|_| ()));
        result.map_err(|_| Failure::Step)?;
        range.add(count);
        last = count;
        if step == EARLY {
            early = count;
        }
    }
    console.number("steps", u64::from(steps));
    console.number("instructions_at_token_10", early);
    console.number("instructions_at_last_token", last);
    range.write(console);
    Ok(())
}
