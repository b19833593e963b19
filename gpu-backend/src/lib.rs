//! Training and evaluation of Toeplitz neural networks by FFT, on CUDA devices and CPUs.
//!
//! This crate has no operations yet. What it will be built on is in `toeplite-tools`: the
//! checkpoint format that training writes and `toeplite convert` reads
//! (`toeplite_checkpoint`), and the reference network in f32 and f64, which every faster
//! implementation of the same operations is judged by (`toeplite_tools::reference`).
