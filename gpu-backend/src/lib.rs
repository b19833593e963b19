//! Training and evaluation of Toeplitz neural networks by FFT, on CUDA devices and CPUs.

pub mod bench;
pub mod device;
pub mod network;
