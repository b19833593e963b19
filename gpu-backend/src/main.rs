//! `toeplite-train`: trains and evaluates Toeplitz neural networks.

use std::process::ExitCode;
use std::time::Instant;
use toeplite_train::backend::Devices;

fn main() -> ExitCode {
    let started = Instant::now();
    toeplite_train::cli::main(&Devices::new(started))
}
