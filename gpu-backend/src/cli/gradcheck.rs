//! `toeplite-train gradcheck`: gradients against differences of the loss.

use super::{Backend, Placement};
use crate::config::{DeviceChoice, Precision};
use crate::train::TrainError;
use anyhow::Result;
use clap::Args;
use serde::Serialize;
use std::process::ExitCode;
use toeplite_terminal as output;

/// Compare the gradients of every operation and of a small network with differences of the loss.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train gradcheck
  toeplite-train gradcheck --device cuda --json

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
    /// Print JSON, one object a line.
    #[arg(long)]
    json: bool,
}

/// What to check.
#[derive(Clone, Debug, PartialEq)]
pub struct GradientCheck {
    /// Largest relative error that passes; `None`: what the precision allows.
    pub tolerance: Option<f64>,
    /// Decides the random inputs.
    pub seed: u64,
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
            placement: Placement {
                device: self.device,
                precision: self.precision,
            },
        };
        let results = backend.check_gradients(&check).map_err(TrainError::Model)?;
        for result in &results {
            if self.json {
                output::json_line(result)?;
            } else {
                let verdict = if result.passes() { "ok" } else { "WRONG" };
                output::line(format!(
                    "{verdict:5} {:40} {:.2e} (at most {:.0e})",
                    result.name, result.error, result.tolerance
                ))?;
            }
        }
        let wrong = results.iter().filter(|r| !r.passes()).count();
        if !self.json {
            output::line(format!("{} checks, {wrong} wrong", results.len()))?;
        }
        Ok(if wrong == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}
