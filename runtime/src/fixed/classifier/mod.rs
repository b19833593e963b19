//! Classifiers that stream, in integers: tokens or frames in, one at a time, the class of what was heard so far out.
//!
//! [`Model`] and [`Session`] are those of [`classifier`](crate::classifier), whose docs say how to listen to clips and for ever.
//! `toeplite convert --contract fixed` writes the blobs.
//!
//! ```no_run
//! use toeplite::{Memory, fixed::classifier::{Decay, Model}};
//! # mod model_meta { pub const MEMORY_BYTES: usize = 4096; }
//! # macro_rules! include_aligned { ($path:expr) => { &[] } }
//! # fn next_frame() -> [i16; 10] { [0; 10] }   // in units of 1 / 2048, as toeplite_audio::fixed has them
//!
//! static MODEL: &[u8] = include_aligned!("keywords.toep");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::from_bytes(MODEL)?;
//! let mut memory = Memory::<{ model_meta::MEMORY_BYTES }>::new();
//! let mut session = model.session(memory.as_mut_slice())?;
//! session.self_test()?;
//! session.set_decay(Decay::half_life(25_000)?)?;   // for models of the mean: what is 25 frames old counts half
//! loop {
//!     let frame = next_frame().map(|x| i32::from(x) << 5);   // in units of 2^-FRAME_BITS
//!     session.push_frame(&frame)?;
//!     let logits = session.logits();                         // [classes], in units of 2^-LOGIT_BITS
//!     // act on them
//! #   let _ = logits; break
//! }
//! # Ok(()) }
//! ```
//!
//! # Numbers
//! Those of [`fixed`](super#numbers). At each position the final norm, without its scales and biases, which are in the head, makes of
//! the residual stream numbers of at most 1 in Q30: the numbers `x` of 15 bits that it has in step 2 of a matrix's input, times
//! `floor(2^15 mantissa / M)`, shifted, where `mantissa * 2^exponent` is the factor of step 4. Sums of 64 bits are kept of each of them and
//! of the weights, in Q30; an input makes `s' = s - floor(s lost / 2^32) + x`, where `lost` is the [`Decay`]'s. If the sum of weights
//! has exceeded 2^61, `s` and `x` are halved first. So nothing overflows, ever, and nothing is lost of means without a decay until
//! 2^31 inputs were taken. The last position alone is a sum of one. The sums without their low places, such that
//! the largest has 31 bits, are the head's input as step 2 has it; its factor is divided by the weight.

mod model;
mod pool;
mod session;

pub use model::Model;
pub use pool::Decay;
pub use session::Session;
