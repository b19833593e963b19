//! Features of a sensor's samples for a network, and events of its answers: on a microcontroller without a heap, and on the
//! host for training, with the same bits.
//!
//! ```
//! use toeplite_sensor::{Channel, Config, FrontEnd, Memory};
//!
//! // in firmware they come from model_meta.rs: `toeplite convert --meta`
//! const CHANNELS: [Channel; 3] = [Channel { offset: -12, scale: 2e-4 }, Channel { offset: 40, scale: 3e-4 }, Channel { offset: 4096, scale: 2e-4 }];
//! const CONFIG: Config = Config { rate: 50, average: 2, channels: &CHANNELS };
//!
//! # fn accelerometer() -> [i16; 3] { [100, -100, 4000] }
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let mut memory = Memory::<3>::new();
//! let mut front_end = FrontEnd::new(CONFIG, memory.buffers())?;
//! for _ in 0..100 {
//!     if let Some(frame) = front_end.push(&accelerometer()) {
//!         assert_eq!(frame.len(), 3);                     // to the network, 25 times a second
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! # What is computed
//! [`Config::average`] samples are one frame. Of a channel with [`Channel::offset`] `o` and [`Channel::scale`] `s` its number is
//! `s * (x1 + x2 + ... + xn - n o)`: the sum in integers, exactly, then one multiplication in IEEE 754 binary32. So there is one rounding,
//! and the bits are the same on every target. Offsets and scales are constants of the training: nothing is learnt from the stream, and
//! a frame depends on its own samples alone.
//!
//! [`activity::Tracker`] makes of a classifier's logits an event for each change of activity.
//!
//! Nothing in this crate panics, allocates or recurses at run time.
#![no_std]
#![forbid(unsafe_code)]

/// The guide, whose examples are compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod guide {}

pub mod activity;
mod config;
pub mod csv;
mod front_end;

pub use config::{Channel, Config, ConfigError, MAX_AVERAGE, MAX_CHANNELS};
pub use front_end::{Buffers, FrontEnd, LengthError, Memory};
