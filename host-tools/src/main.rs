//! The `toeplite` command: from a trained Toeplitz neural network to a model that streams on a
//! microcontroller.

mod cli;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::App::parse().run() {
        Ok(code) => code,
        Err(error) if cli::output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
