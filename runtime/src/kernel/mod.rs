//! The inner loops: everything whose instructions are counted.
//!
//! One interface, one implementation a file, chosen at compile time from the target. Every
//! implementation gives the bits of the portable one, which runs everywhere and is what the others
//! are tested against.

pub mod dense;
mod modes;
mod portable;
mod quantize;

pub use dense::rows::dot_i8;
pub use modes::{fir, modes_complex, modes_real};
pub use portable::{dot_f32, sum, sum_of_squares};
pub use quantize::quantize;
