//! What the applications do, on any board: no registers, no console, no memory of its own.
//!
//! * [`flash`]: where a board's flash has a partition for a model;
//! * [`partition`]: the model that a board's flash partition has, if it is good, or the one compiled in;
//! * [`text`]: from a prompt to text, [`line`](mod@line) by line;
//! * [`microphone`]: from a converter's numbers to samples;
//! * [`keyword`] (feature): from samples to events.
//!
//! Nothing here panics, allocates or formats with `core::fmt`.
#![no_std]
#![deny(unsafe_code)]

pub mod flash;
#[cfg(feature = "keyword")]
pub mod keyword;
pub mod line;
pub mod microphone;
pub mod partition;
pub mod text;
