//! The hash of 256 fixed steps, to compare with that of other machines.

use crate::contract::Session;
use boards::Console;
use toeplite::Token;

/// Steps that are hashed.
const STEPS: usize = 256;

/// Writes the hash of the logits of tokens `(i * 97 + 13) % vocabulary` for `i` in `0..256`.
pub fn run(console: &mut Console, session: &mut Session<'_, '_>) {
    let vocabulary = session.model().vocab_size().max(1);
    let hash = session.hash_steps((0..STEPS).map(|i| Token(((i * 97 + 13) % vocabulary) as u32)));
    console.hash("logits_hash", hash);
}
