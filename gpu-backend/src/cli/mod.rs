//! Subcommands, one file each, over whatever makes networks ([`Backend`]).

mod backend;
pub mod bench;
pub mod data;
pub mod eval;
pub mod features;
pub mod gradcheck;
pub mod origin;
pub mod sample;
#[cfg(test)]
mod tests;
pub mod text;
pub mod train;
pub mod windows;
mod worker;

pub use backend::{Backend, Placement};

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Trains and evaluates Toeplitz neural networks.
#[derive(Parser)]
#[command(name = "toeplite-train", version, about, after_help = EXAMPLES)]
pub struct App {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  toeplite-train train --config run.toml --out runs/first        a new run
  toeplite-train train --resume runs/first                       go on with it
  toeplite-train eval runs/first/best --data val.txt --length 512,2048
  toeplite-train sample runs/first/best --prompt 'To be' --tokens 200
  toeplite-train data make listops --out data/listops --seed 1   a dataset of a published task
  toeplite-train data features recordings --out train.safetensors --agc   wav files as a device hears them
  toeplite convert runs/first/best -o model.toep                 for a microcontroller

Exit codes: 0 done, 1 failed, 2 wrong arguments.";

#[derive(Subcommand)]
enum Command {
    Train(train::Cmd),
    Eval(Box<eval::Cmd>),
    Sample(sample::Cmd),
    Bench(bench::Cmd),
    Gradcheck(gradcheck::Cmd),
    Data(data::Cmd),
    #[command(hide = true)]
    Worker(worker::Cmd),
}

impl App {
    /// Runs the chosen subcommand.
    ///
    /// # Errors
    /// What the subcommand could not do.
    pub fn run(self, backend: &dyn Backend) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Train(c) => c.run(backend),
            Command::Eval(c) => c.run(backend),
            Command::Sample(c) => c.run(backend),
            Command::Bench(c) => c.run(backend),
            Command::Gradcheck(c) => c.run(backend),
            Command::Data(c) => c.run(),
            Command::Worker(c) => c.run(backend),
        }
    }
}

/// The whole program.
pub fn main(backend: &dyn Backend) -> ExitCode {
    toeplite_terminal::finish(App::parse().run(backend))
}
