//! `toeplite-train train`: a new run, or more of an old one.

use super::Backend;
use super::eval::positive;
use crate::config::{ConfigError, DeviceChoice, RunConfig};
use crate::data::Sources;
use crate::group::Group;
use crate::network;
use crate::train::stop::Stop;
use crate::train::{ModelError, Portions, Run, TrainError, Trainable};
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use toeplite_checkpoint::AnyFrontEnd;
use toeplite_terminal as output;

/// Train a network: a new run, or go on with one.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train train --config run.toml
  toeplite-train train --config run.toml --set train.batch=16 --set model.norm=layernorm --out runs/b16
  toeplite-train train --resume runs/b16
  toeplite-train train --resume runs/b16 --set train.steps=9000
  toeplite-train train --config run.toml --processes 8           on the GPUs 0 to 7
  toeplite-train train --resume runs/b16 --processes 2 --device cuda:4

N processes with train.micro_batches = M compute what one computes with M * N; train.batch is what
all of them compute in a step.

Ctrl-C finishes the step and writes a checkpoint; a second one ends at once.")]
pub struct Cmd {
    /// The run's configuration.
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    config: Option<PathBuf>,
    /// Replace a value of the configuration; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of a new run [default: the configuration's name without its ending].
    #[arg(long, value_name = "RUN")]
    out: Option<PathBuf>,
    /// Go on with the run in this folder.
    #[arg(long, value_name = "RUN", conflicts_with_all = ["config", "out"])]
    resume: Option<PathBuf>,
    /// Where to compute, with --resume this time only [default: what the configuration says].
    #[arg(long, value_name = "auto|cpu|cuda[:i]")]
    device: Option<DeviceChoice>,
    /// Processes that train together, one a GPU from --device on; on the CPU each has a share of the
    /// cores. A run may go on with another number.
    #[arg(long, default_value = "1", value_name = "N", value_parser = positive)]
    processes: usize,
    /// Print the outcome as JSON, and no progress.
    #[arg(long)]
    json: bool,
}

impl Cmd {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What went wrong with configuration, data, device or files.
    pub fn run(self, backend: &dyn Backend) -> Result<ExitCode> {
        let (run, sources) = match self.open() {
            Ok(opened) => opened,
            // A `--set` that cannot be is a wrong argument, like any other.
            Err(
                e @ (TrainError::Config(ConfigError::Override { .. } | ConfigError::Frozen { .. })
                | TrainError::Portions { .. }),
            ) => {
                output::tell(format_args!("error: {e}"));
                return Ok(ExitCode::from(2));
            }
            Err(e) => return Err(e.into()),
        };
        let stop = Stop::default();
        stop.on_signals().context("signals cannot be caught")?;
        let mut model = match self.model(backend, &run) {
            Ok(model) => model,
            Err(error) => {
                // What could not begin must not be in the way of the next try.
                if self.resume.is_none() {
                    run.discard();
                }
                return Err(TrainError::Model(error).into());
            }
        };
        let outcome = run.train(&mut *model, &sources, &stop, self.json)?;
        let folder = run.folder.display();
        if self.json {
            output::json_line(&json!({
                "run": run.folder,
                "step": outcome.step,
                "finished": outcome.finished,
                "best_loss": outcome.best,
            }))?;
        } else if outcome.finished {
            let best = outcome
                .best
                .map_or(String::new(), |b| format!(", best validation loss {b:.4}"));
            output::line(format!("{} steps done{best}: {folder}", outcome.step))?;
        } else {
            output::line(format!(
                "stopped after step {}; go on with: toeplite-train train --resume {folder}",
                outcome.step
            ))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn model(&self, backend: &dyn Backend, run: &Run) -> Result<Box<dyn Trainable>, ModelError> {
        match self.processes {
            1 => backend.create(&run.config, None),
            many => Ok(Box::new(Group::start(backend, run, many)?)),
        }
    }

    /// The data is opened before a run folder is made: a misspelt path leaves nothing behind.
    fn open(&self) -> Result<(Run, Sources), TrainError> {
        if let Some(folder) = &self.resume {
            let mut run = Run::resume(folder, &self.overrides)?;
            // The device belongs to the command, like the number of processes, and is not frozen.
            run.config.train.device = self.device.unwrap_or(run.config.train.device);
            // Its own checkpoint is what it goes on from: the one that it began with may be gone.
            if !run.store().steps()?.is_empty() {
                run.config.train.from = None;
            }
            Portions::check(&run.config, self.processes)?;
            let sources = Sources::open(&run.config)?;
            return Ok((run, sources));
        }
        let path = self.config.as_deref().unwrap_or(Path::new("run.toml"));
        let mut config = RunConfig::load(path, &self.overrides)?;
        config.train.device = self.device.unwrap_or(config.train.device);
        Portions::check(&config, self.processes)?;
        network::check(&config.model).map_err(|e| TrainError::Model(e.into()))?;
        let sources = Sources::open(&config)?;
        check_start(&config, &sources)?;
        sources.complete(&mut config);
        let folder = self.out.clone().unwrap_or_else(|| path.with_extension(""));
        Ok((Run::create(&folder, config)?, sources))
    }
}

/// Refuses to begin with what was learnt of other features.
fn check_start(config: &RunConfig, sources: &Sources) -> Result<(), TrainError> {
    let Some(path) = &config.train.from else {
        return Ok(());
    };
    let theirs = AnyFrontEnd::of_checkpoint(path);
    let theirs = theirs.map_err(|cause| TrainError::Checkpoint(Box::new(cause)))?;
    match (theirs, sources.train.front_end()) {
        (Some(theirs), Some(ours)) if !theirs.makes_as(&ours) => {
            Err(TrainError::OtherFeatures { path: path.clone() })
        }
        _ => Ok(()),
    }
}
