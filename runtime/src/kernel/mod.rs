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
#[cfg(all(target_arch = "arm", target_os = "none", target_abi = "eabihf"))]
#[allow(unsafe_code)]
mod vfp;

pub use dense::rows::dot_i8;
#[cfg(not(all(target_arch = "arm", target_os = "none", target_abi = "eabihf")))]
pub use modes::{fir, modes};
pub use portable::{dot_f32, sum, sum_of_squares};
pub use quantize::quantize;
#[cfg(all(target_arch = "arm", target_os = "none", target_abi = "eabihf"))]
pub use vfp::{fir, modes};
