//! Training and evaluation of Toeplitz neural networks by FFT, on CUDA devices and CPUs.

pub mod backend;
pub mod bench;
pub mod cache;
pub mod cli;
pub mod config;
pub mod data;
pub mod device;
pub mod group;
pub mod network;
pub mod tasks;
pub mod train;
