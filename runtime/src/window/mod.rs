//! Bidirectional models: the tokens of a window in, logits at each of them out.
//!
//! A masked language model sees what comes after a token, too, so that it cannot stream. It runs over a window of at
//! most [`Model::window`] tokens, from a state of rest, in memory that depends on the window alone and at the
//! same cost a token for each length:
//!
//! ```no_run
//! # mod model_meta { pub const MEMORY_BYTES: usize = 4096; }
//! # macro_rules! include_aligned { ($path:expr) => { &[] } }
//! use toeplite::{Memory, Token, sample, window::Model};
//!
//! static MODEL: &[u8] = include_aligned!("model.toep");
//! const MASK: Token = Token(256);
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::from_bytes(MODEL)?;
//! let mut memory = Memory::<{ model_meta::MEMORY_BYTES }>::new();
//! let mut session = model.session(memory.as_mut_slice())?;
//! session.self_test()?;
//! session.run(&[Token(84), Token(104), MASK])?; // "Th" and a byte to fill in
//! let filled_in = sample::greedy(session.logits(2)?);
//! # Ok(()) }
//! ```
//!
//! # Numbers
//! Those of the contract `f32`, see the [crate docs](crate#numbers). A layer's Toeplitz operator is the sum of two
//! recurrences, each from a state of zero: the forward one, over the tokens from the first to the last, as of a
//! model that streams, and the backward one from the last to the second, each of whose outputs is added to the
//! forward one's at the token before. A backward recurrence without taps and modes changes no bit.

mod model;
mod operator;
mod session;

pub use model::Model;
pub use operator::CHANNELS;
pub use session::Session;
