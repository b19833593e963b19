//! `toeplite-train worker`: one of the processes that `--processes` starts.

use super::Backend;
use crate::group::worker;
use crate::train::TrainError;
use anyhow::Result;
use clap::Args;
use std::process::ExitCode;

/// Compute a share of what another process trains, which starts this one.
#[derive(Args)]
pub struct Cmd {}

impl Cmd {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// It was started by hand.
    pub fn run(self, backend: &dyn Backend) -> Result<ExitCode> {
        worker::serve(backend).map_err(TrainError::Model)?;
        Ok(ExitCode::SUCCESS)
    }
}
