//! Streams a converted Toeplitz neural network on a microcontroller: one token at a time, in
//! constant time and memory, without a heap, its weights read in place from flash.
//!
//! ```no_run
//! use toeplite::{Memory, Model, sample::Sampler};
//! # mod model_meta { pub const MEMORY_BYTES: usize = 4096; }
//! # macro_rules! include_aligned { ($path:expr) => { &[] } }
//!
//! static MODEL: &[u8] = include_aligned!("model.toep");
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let model = Model::from_bytes(MODEL)?;                           // checked once, nothing copied
//! let mut memory = Memory::<{ model_meta::MEMORY_BYTES }>::new();  // written by toeplite convert
//! let mut session = model.session(memory.as_mut_slice())?;
//! session.self_test()?;                                            // this device computes what the host computed
//! let mut sampler = Sampler::new(42).with_temperature(0.8);
//! let mut token = sampler.sample(session.prefill(*b"To be")?);
//! for _ in 0..100 {
//!     // print(token)
//!     token = sampler.sample(session.step(token)?);
//! }
//! # Ok(()) }
//! ```
//!
//! Models that see a window of tokens at once are those of the module [`window`], those that tell the class of
//! a sequence those of the module [`classifier`].
//!
//! Nothing in this crate panics, recurses, allocates or loops without bound, whatever the bytes
//! it is given: [`Model::from_bytes`] checks them all once, with a typed error for each fault.
//!
//! # Numbers
//! A *numeric contract* says exactly what is computed, so that the host and every target give the
//! same bits. A blob names its contract. There are two: [`fixed`](fixed#numbers) for cores without an FPU,
//! by the types of the module [`fixed`], and `f32`, by those of this page:
//! * IEEE 754 binary32, round to nearest even, every addition, multiplication, division and square
//!   root rounded on its own: no fused multiply-add, no reassociation, no flush-to-zero mode;
//! * float sums over a vector keep eight partial sums, element `i` in sum `i % 8`, added as
//!   `((0+4) + (2+6)) + ((1+5) + (3+7))`;
//! * int8 weights take int8 activations: a vector `x` becomes integers `round(x * (127 / max|x|))`,
//!   ties to even, products are summed in i32, and the sum is multiplied by
//!   `(max|x| / 127) * row scale` once, in f32;
//! * int4 weights do the same with groups of 32 columns: a group's sum is multiplied by its scale, an
//!   integer, and those are summed in i32 before they become f32;
//! * `exp` and `sigmoid` are those of [`math`];
//! * sums of a layer's Toeplitz operator and its state are updated as [`kernel::modes`](mod@kernel::modes) says, in the
//!   order of the blob;
//! * at every step the states of four channels of each layer are visited, the next four at the next
//!   step, and those below 2^-50 become zero, so silence decays to exactly zero.
//!
//! `Session::prefill_by_fft` (feature `fft`) alone sums long FIR heads in another order: that of FFTs, the same on every target.
//!
//! On cores with vector floats that flush subnormal numbers (Armv8.1-M MVE), build with
//! `-C target-feature=-mve.fp`; integer vectors may stay on.
#![no_std]
#![deny(unsafe_code)]

#[cfg(target_endian = "big")]
compile_error!("toeplite reads little-endian blobs in place: big-endian targets are not supported");

/// Guides whose examples are compiled where they are complete; those that need a device are not.
#[cfg(doctest)]
mod guides {
    #[doc = include_str!("../README.md")]
    mod runtime {}
    #[doc = include_str!("../../README.md")]
    mod project {}
}

#[cfg(feature = "bench")]
pub mod bench;
pub mod classifier;
pub mod error;
#[cfg(feature = "fft")]
mod fft;
pub mod fixed;
pub mod format;
pub mod image;
pub mod kernel;
pub mod layer;
pub mod math;
pub mod matrix;
pub mod model;
#[cfg(feature = "profile")]
pub mod profile;
pub mod sample;
pub mod window;

mod block;
mod gates;
mod hash;
mod memory;
mod norm;
mod pass;
mod prefill;
mod probe;
mod recurrence;
mod session;
mod snapshot;

pub use error::{
    ClipError, DecayError, InputError, MemoryError, ModelError, PrefillError, SelfTestError,
    SnapshotError, StepError, WindowError,
};
pub use hash::LogitsHash;
pub use memory::{Aligned, Memory};
pub use model::Model;
pub use session::{Session, Token};
