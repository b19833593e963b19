//! `toeplite-train bench`: how fast training steps, or one operator, are.

use super::eval::positive;
use super::{Backend, Placement};
use crate::bench::{NetworkResult, Spread};
use crate::config::Preset;
use crate::group;
use crate::train::TrainError;
use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};
use std::process::ExitCode;
use toeplite_checkpoint::{MAX_RANK, MAX_SHORT_TAPS};
use toeplite_terminal as output;

/// Time training steps of a preset on random tokens, or one operator.
#[derive(Args)]
#[command(after_help = "\
Examples:
  toeplite-train bench --preset wikitext103 --length 512 --tokens 32768 --json
  toeplite-train bench --preset wikitext103 --tokens 262144 --processes 8
  toeplite-train bench --operator ski --length 65536 --tokens 65536 --device cuda
  toeplite-train bench --operator tno --channels 1536 --length 8192 --tokens 32768 --json

With --json {device, tokens_per_second, step_ms: {median, min, max}, peak_bytes, startup_ms, stages},
or {forward_ms, backward_ms, floor_ms} of an operator.")]
pub struct Cmd {
    /// The network.
    #[arg(
        long,
        value_enum,
        required_unless_present = "operator",
        conflicts_with = "operator"
    )]
    preset: Option<Preset>,
    /// One operator instead.
    #[arg(long, value_enum)]
    operator: Option<Operator>,
    /// Channels of the operator.
    #[arg(long, default_value = "1536", value_name = "E", value_parser = positive)]
    channels: usize,
    /// Positions of a sequence.
    #[arg(long, default_value = "512", value_name = "N", value_parser = positive)]
    length: usize,
    /// Tokens of a step, all processes together; a multiple of the length.
    #[arg(long, default_value = "32768", value_name = "N", value_parser = positive)]
    tokens: usize,
    /// Give the operators tno and gtu lags below zero, too.
    #[arg(long, requires = "operator")]
    bidirectional: bool,
    /// Inducing points of the operator ski.
    #[arg(long, default_value = "64", value_name = "R", value_parser = inducing)]
    rank: usize,
    /// Taps of the operator ski's short convolution: odd.
    #[arg(long, default_value = "9", value_name = "N", value_parser = odd)]
    taps: usize,
    /// Decay of the operator's kernel a lag. Where it has fallen below f32's rounding, lags may be
    /// left out; 1 for a kernel that does not decay.
    #[arg(long, default_value = "0.99", value_name = "G")]
    gamma: f32,
    /// Portions that a process computes its share of a step in.
    #[arg(long, default_value = "1", value_name = "N", value_parser = positive)]
    micro_batches: usize,
    /// Processes that compute together, one a GPU; on the CPU each has a share of the cores.
    #[arg(long, default_value = "1", value_name = "N", value_parser = positive, conflicts_with = "operator")]
    processes: usize,
    /// Steps that are timed, after some that are not.
    #[arg(long, default_value = "20", value_name = "N", value_parser = positive)]
    steps: usize,
    #[command(flatten)]
    placement: Placement,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Operators that can be timed alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operator {
    /// The Toeplitz product alone.
    Tno,
    /// The same in a gated Toeplitz unit: biases, activations, product, gate.
    Gtu,
    /// The gated unit with a short convolution and inducing points: bidirectional.
    Ski,
}

/// A number of inducing points.
fn inducing(text: &str) -> Result<usize, String> {
    let number = positive(text)?;
    match (2..=MAX_RANK).contains(&number) {
        true => Ok(number),
        false => Err(format!("must be 2 to {MAX_RANK}")),
    }
}

/// A number of taps on both sides and in the middle.
fn odd(text: &str) -> Result<usize, String> {
    let number = positive(text)?;
    match number % 2 == 1 && number <= MAX_SHORT_TAPS {
        true => Ok(number),
        false => Err(format!("must be odd, at most {MAX_SHORT_TAPS}")),
    }
}

/// What to time of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkBench {
    /// The network.
    pub preset: Preset,
    /// Positions of a sequence.
    pub length: usize,
    /// Sequences of a step of one process.
    pub sequences: usize,
    /// Portions that a process computes them in.
    pub micro_batches: usize,
    /// Steps that are timed.
    pub steps: usize,
    /// Where, and in what.
    pub placement: Placement,
}

/// What to time of an operator.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorBench {
    /// Which one.
    pub operator: Operator,
    /// Its channels.
    pub channels: usize,
    /// Whether tno and gtu have lags below zero.
    pub bidirectional: bool,
    /// Inducing points and taps of ski.
    pub points_and_taps: (usize, usize),
    /// Positions of a sequence.
    pub length: usize,
    /// Sequences.
    pub sequences: usize,
    /// Decay of the kernel a lag; 1 for none.
    pub gamma: f32,
    /// Passes that are timed.
    pub steps: usize,
    /// Where, and in what.
    pub placement: Placement,
}

impl Cmd {
    /// Runs the subcommand.
    ///
    /// # Errors
    /// What the device could not do.
    pub fn run(self, backend: &dyn Backend) -> Result<ExitCode> {
        let sequences = self.tokens / self.length;
        let portions = self.micro_batches.saturating_mul(self.processes);
        if sequences * self.length != self.tokens || !sequences.is_multiple_of(portions) {
            output::tell(format_args!(
                "error: --tokens {} must be a multiple of --length {} times --micro-batches {} times \
                 --processes {}",
                self.tokens, self.length, self.micro_batches, self.processes
            ));
            return Ok(ExitCode::from(2));
        }
        let (length, steps) = (self.length, self.steps);
        match (self.preset, self.operator) {
            (Some(preset), None) => {
                let bench = NetworkBench {
                    preset,
                    length,
                    sequences: sequences / self.processes,
                    micro_batches: self.micro_batches,
                    steps,
                    placement: self.placement,
                };
                let figures = match self.processes {
                    1 => backend.bench_network(&bench, None),
                    many => group::bench(backend, &bench, many),
                };
                let figures = figures.map_err(TrainError::Model)?;
                if self.json {
                    output::json_line(&figures)?;
                } else {
                    print_network(&figures)?;
                }
            }
            (None, Some(operator)) => {
                let bench = OperatorBench {
                    operator,
                    channels: self.channels,
                    bidirectional: self.bidirectional,
                    points_and_taps: (self.rank, self.taps),
                    length,
                    sequences,
                    gamma: self.gamma,
                    steps,
                    placement: self.placement,
                };
                let figures = backend.bench_operator(&bench).map_err(TrainError::Model)?;
                if self.json {
                    output::json_line(&figures)?;
                } else {
                    output::line(format!(
                        "{}: forward {:.3} ms (bytes alone {:.3}), backward {:.3} ms (bytes alone {:.3})",
                        figures.device,
                        figures.forward_ms,
                        figures.floor_ms,
                        figures.backward_ms,
                        figures.backward_floor_ms
                    ))?;
                }
            }
            _ => bail!("give either --preset or --operator"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn print_network(figures: &NetworkResult) -> Result<()> {
    let Spread { median, min, max } = figures.step_ms;
    output::line(format!(
        "{}: {:.0} tokens/s, step {median:.3} ms ({min:.3} to {max:.3}), first step after {:.0} ms",
        figures.device, figures.tokens_per_second, figures.startup_ms
    ))?;
    output::line(format!("peak memory: {} bytes", figures.peak_bytes))?;
    for (stage, ms) in &figures.stages {
        output::line(format!("  {stage}: {ms:.3} ms"))?;
    }
    Ok(())
}
