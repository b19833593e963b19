//! The `toeplite` command as the tests run it.

use clap::Parser;
use std::process::ExitCode;
use toeplite_tools::cli::App;

fn main() -> anyhow::Result<ExitCode> {
    App::parse().run()
}
