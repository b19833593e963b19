//! The CUDA device without one: its operations run on the CPU by the emulator, against plain f64,
//! and its kernels are compiled for every architecture.
//!
//! With `TOEPLITE_TEST_CUDA=1` the operations run on the first CUDA device instead.

mod absent;
mod emulator;
mod fixtures;
mod nvrtc;
mod operations;
mod reference;
mod rpe;
mod ski;

use emulator::Emulator;
use toeplite_train::device::cuda::{Cuda, Precision};

/// A device: the emulator, or a real one.
fn device(precision: Precision) -> Cuda {
    if is_real() {
        return Cuda::open(0, precision).unwrap();
    }
    Cuda::on(Box::new(Emulator::new()), precision)
}

/// Whether it is a real one.
fn is_real() -> bool {
    std::env::var_os("TOEPLITE_TEST_CUDA").is_some()
}
