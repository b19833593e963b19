//! Classifiers that stream: tokens or frames in, one at a time, the class of what was heard so far out.
//!
//! Those that look ahead, too, and see a whole window at once, are those of the module [`window`].
//!
//! A [`Session`] takes each input in constant time and memory, whatever the sequence's length. The head is computed
//! where logits are asked for, and only there:
//!
//! ```no_run
//! use toeplite::{Memory, classifier::{Decay, Model}};
//! # mod model_meta { pub const MEMORY_BYTES: usize = 4096; }
//! # macro_rules! include_aligned { ($path:expr) => { &[] } }
//! # fn next_frame() -> [f32; 10] { [0.0; 10] }
//!
//! static MODEL: &[u8] = include_aligned!("keywords.toep");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::from_bytes(MODEL)?;
//! let mut memory = Memory::<{ model_meta::MEMORY_BYTES }>::new();
//! let mut session = model.session(memory.as_mut_slice())?;
//! session.self_test()?;
//! session.set_decay(Decay::half_life(25.0)?)?;   // listen for ever: what is 25 frames old counts half
//! loop {
//!     for _ in 0..10 {
//!         session.push_frame(&next_frame())?;    // say every 20 ms
//!     }
//!     let logits = session.logits();             // say every 200 ms, [classes]
//!     // act on them
//! #   let _ = logits; break
//! }
//! # Ok(()) }
//! ```
//!
//! # Memory
//! [`Model::memory_needed`] bytes: taps and modes of all layers, the pooled vector, and scratch, which is in use within a call
//! only. Between calls [`Session::scratch`] lends it to whoever makes the frames.
//!
//! # Clips, and listening for ever
//! A classifier makes one vector of all positions: the mean over them or the last one, as it was trained
//! ([`Model::pooling`]). That vector, times the head's matrix, gives the logits.
//! * **Clips**: [`reset`](Session::reset), then push the clip, then [`logits`](Session::logits). They are what the
//!   trained network gives for the clip. Asked for in between, they are those of the clip's start up to there.
//! * **Listening for ever**, model of the mean: [`set_decay`](Session::set_decay) with a [`Decay`], which makes the mean a weighted one: an
//!   input that is `n` inputs old has the weight `factor^n`. Without it, a word after an hour of noise would be lost in
//!   the mean. The half-life should be about half the length of the clips in training.
//! * **Listening for ever**, model of the last position: nothing needs to be done.
//!
//! Either way the layers have heard the whole past, where in training they heard a clip from silence. They forget
//! by their own decay. Whether that is near enough is for a test on long recordings to tell; if not, two sessions
//! that are reset in turn cover every word.
//!
//! # Numbers
//! Those of the contract `f32`, see the [crate docs](crate#numbers); frames are quantized as other inputs of
//! integer matrices are. The final norm is applied at every input. For the mean, sums are kept of
//! each element and of the weights, with Kahan's compensation: with the decay `d` (1 without one), a sum `s` and
//! its compensation `c`, an input `x` (for the sum of weights 1) makes
//! `s' = d s; y = x - d c; s = s' + y; c = (s - s') - y`. The mean is `s` divided by the sum of weights, in f32, zero before
//! the first input.
//!
//! So the mean of `n` inputs is off by no more than about `2^-22 + n 2^-47` of the inputs' mean magnitude: after an hour of
//! 100 frames a second still seven digits. With a decay it is off by no more than about `2^-23 + 2^-24 / (1 - d)` of the largest magnitude
//! that the mean of magnitudes had, for ever.

mod frames;
mod model;
mod pool;
mod session;
pub mod window;

pub use frames::{FrameModel, FrameSession};
pub use model::{Input, Model, Pooling};
pub use pool::Decay;
pub use session::Session;
