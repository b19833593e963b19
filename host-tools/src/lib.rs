//! From a trained Toeplitz neural network to a model that streams on a microcontroller.

pub mod allocate;
pub mod blob;
pub use toeplite_checkpoint as checkpoint;
pub mod classify;
pub mod cli;
pub mod compare;
pub mod convert;
pub mod image;
pub mod listen;
pub mod masked;
pub mod quantize;
pub mod reference;
pub mod report;
pub mod stream;
