//! The `toeplite` command. All of it is in the library's module `cli`, so that generic code is
//! compiled once.

use clap::Parser;
use std::process::ExitCode;
use toeplite_tools::cli;

fn main() -> ExitCode {
    cli::output::finish(cli::App::parse().run())
}
