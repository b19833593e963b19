//! The inner loops: everything whose instructions are counted.
//!
//! One interface, one implementation a file, chosen at compile time from the target. Every
//! implementation gives the bits of the portable one, which runs everywhere and is what the others
//! are tested against.

mod modes;
mod portable;

pub use modes::{fir, modes_complex, modes_real};
pub use portable::{dot_f32, dot_i8, quantize, sum, sum_of_squares};
