//! Subcommands, one file each.

mod allocate;
pub mod clips;
pub mod compare;
pub mod convert;
pub mod eval;
pub mod files;
pub mod image;
pub mod input;
pub mod inspect;
pub mod kernel;
pub mod layers;
mod made;
mod masked;
pub mod output;
pub mod reference;
mod report;
pub mod run;
pub mod streams;
mod weights;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Converts trained Toeplitz neural networks into recurrences that stream on microcontrollers.
#[derive(Parser)]
#[command(name = "toeplite", version, about, after_help = EXAMPLES)]
pub struct App {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  toeplite convert my-checkpoint -o model.toep           smallest recurrence, int8 weights
  toeplite compare my-checkpoint model.toep --text t.txt what the conversion costs, in bits per byte
  toeplite compare my-classifier model.toep --clips DATA or in clips that are taken for another class
  toeplite run model.toep --prompt 'To be' --tokens 200  stream text through the device's runtime
  toeplite image model.toep --board pico                 for a board's model partition: no new firmware
  toeplite inspect model.toep                            what is in a model or a checkpoint

Exit codes: 0 done, 1 failed or above a tolerance, 2 wrong arguments.";

#[derive(Subcommand)]
enum Command {
    Convert(Box<convert::Cmd>),
    Compare(compare::Cmd),
    Eval(eval::Cmd),
    Image(image::Cmd),
    Inspect(inspect::Cmd),
    Run(run::Cmd),
    Reference(reference::Cmd),
}

impl App {
    /// Runs the chosen subcommand.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Convert(c) => c.run(),
            Command::Compare(c) => c.run(),
            Command::Eval(c) => c.run(),
            Command::Image(c) => c.run(),
            Command::Inspect(c) => c.run(),
            Command::Run(c) => c.run(),
            Command::Reference(c) => c.run(),
        }
    }
}
