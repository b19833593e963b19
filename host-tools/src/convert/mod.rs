//! Toeplitz kernels to recurrences.

pub mod etsc;
pub mod fir;
pub mod measure;
pub mod modal;
mod rounding;
pub mod source;
