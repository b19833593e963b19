//! `toeplite-train gradcheck`: gradients against differences of the loss.

use super::{Backend, Placement};
use crate::config::{DeviceChoice, Precision};
use crate::train::TrainError;
use anyhow::Result;
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::process::ExitCode;
use toeplite_terminal as output;

/// Compare the gradients of every operation and of small networks with differences of the loss.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train gradcheck
  toeplite-train gradcheck --device cuda --json
  toeplite-train gradcheck --device cuda --precision bf16 --only operations

Exit code 1 where a gradient is off by more than the tolerance.")]
pub struct Cmd {
    /// Largest relative error that passes [default: what the precision allows].
    #[arg(long, value_name = "X")]
    tolerance: Option<f64>,
    /// Decides the random inputs.
    #[arg(long, default_value = "0")]
    seed: u64,
    /// Where to compute.
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda[:i]")]
    device: DeviceChoice,
    /// What activations are computed in.
    #[arg(long, value_enum, default_value = "f32")]
    precision: Precision,
    /// Leave out the other part.
    #[arg(long, value_enum)]
    only: Option<Part>,
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

/// A part of the checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Single operations.
    Operations,
    /// Whole networks: their gradients (in f32) and their training.
    Networks,
}

/// What to check.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientCheck {
    /// Largest relative error that passes; `None`: what the precision allows.
    pub tolerance: Option<f64>,
    /// Decides the random inputs.
    pub seed: u64,
    /// The part to check; `None`: all.
    pub only: Option<Part>,
    /// Where, and in what.
    pub placement: Placement,
}

/// A gradient that was checked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Checked {
    /// Operation or parameter.
    pub name: String,
    /// Relative error against differences of the loss.
    pub error: f64,
    /// Largest one that passes.
    pub tolerance: f64,
}

impl Checked {
    /// Whether it passes; what is no number does not.
    pub fn passes(&self) -> bool {
        self.error <= self.tolerance
    }
}

impl Cmd {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What the device could not do.
    pub fn run(self, backend: &dyn Backend) -> Result<ExitCode> {
        let check = GradientCheck {
            tolerance: self.tolerance,
            seed: self.seed,
            only: self.only,
            placement: Placement {
                device: self.device,
                precision: self.precision,
            },
        };
        let (mut checks, mut wrong) = (0, 0);
        let mut printed = Ok(());
        backend
            .check_gradients(&check, &mut |checked| {
                checks += 1;
                wrong += usize::from(!checked.passes());
                if printed.is_ok() {
                    printed = self.print(&checked);
                }
            })
            .map_err(TrainError::Model)?;
        printed?;
        if !self.json {
            output::line(format!("{checks} checks, {wrong} wrong"))?;
        }
        Ok(if wrong == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    fn print(&self, checked: &Checked) -> Result<()> {
        if self.json {
            return output::json_line(checked);
        }
        let verdict = if checked.passes() { "ok" } else { "WRONG" };
        let (error, tolerance) = (checked.error, checked.tolerance);
        let line = format!(
            "{verdict:5} {:40} {error:.2e} (at most {tolerance:.0e})",
            checked.name
        );
        output::line(line).map_err(Into::into)
    }
}
