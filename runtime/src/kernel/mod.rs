//! The inner loops: everything whose instructions are counted.
//!
//! One interface, one implementation a file, chosen at compile time from the target. Every
//! implementation gives the bits of the portable one, which runs everywhere and is what the others
//! are tested against.

pub mod dense;
pub mod elementwise;
pub mod modes;
mod portable;
mod quantize;
#[cfg(toeplite_vfp)]
#[allow(unsafe_code)]
mod vfp;

pub use dense::rows::dot_i8;
#[cfg(not(toeplite_vfp))]
pub use modes::{fir, modes};
pub use portable::{dot_f32, sum, sum_of_squares};
pub use quantize::quantize;
#[cfg(toeplite_vfp)]
pub use vfp::{fir, modes};
