//! Toeplitz kernels to recurrences.

pub mod modal;
