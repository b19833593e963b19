//! The `toeplite` command. All of it is in the library's module `cli`, so that generic code is
//! compiled once.

use clap::Parser;
use std::process::ExitCode;
use toeplite_tools::cli;

fn main() -> ExitCode {
    match cli::App::parse().run() {
        Ok(code) => code,
        Err(error) if cli::output::is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", cli::output::message(&error));
            ExitCode::FAILURE
        }
    }
}
