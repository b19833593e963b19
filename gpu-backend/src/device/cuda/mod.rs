//! CUDA devices.

pub mod mix;
