//! The network as it was trained, evaluated over whole sequences: what every conversion is
//! measured against.
//!
//! Everything is generic over [`Real`] (`f32` as in training, `f64` to tell rounding from error).
//! Sequences are row-major `[positions, channels]`, kernels `[lags, channels]`; channel
//! `head * head_dim + d` is dimension `d` of head `head`.

mod activation;
pub mod case;
mod enter;
mod error;
pub mod evaluate;
pub mod glu;
pub mod gtu;
pub mod layer;
mod linear;
pub mod mix;
pub mod network;
mod norm;
mod params;
pub mod product;
mod real;
pub mod recurrence;
mod response;
pub mod rpe;
mod ski;
pub mod toeplitz;

pub use enter::Input;
pub use error::ReferenceError;
pub use evaluate::evaluate;
pub use linear::{AsTrained, Linear, Maps, Place};
pub use network::Network;
pub use norm::NormLayer;
pub use params::Params;
pub use real::Real;

#[cfg(test)]
pub(crate) mod testing;
