//! What the process that the user started and its workers tell each other.

use crate::cli::bench::NetworkBench;
use crate::config::{DeviceChoice, RunConfig};
use crate::data::Shard;
use crate::train::evaluate::Windows;
use crate::train::{StepReport, StepValues, Sums};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a worker is to do.
#[derive(Serialize, Deserialize)]
pub(super) enum Order {
    /// The first one.
    Join(Box<Join>),
    /// The worker's share of an update; not answered.
    Step(StepValues),
    /// Answered with what its updates added up to.
    Report,
    /// To measure one batch of the validation data; answered.
    Evaluate { windows: Windows, index: u64 },
    /// To go on from a checkpoint; not answered.
    Restore { step: u64 },
    /// To end.
    End,
}

/// All that a worker needs to know to join the others.
#[derive(Serialize, Deserialize)]
pub(super) struct Join {
    pub shard: Shard,
    pub device: DeviceChoice,
    /// NCCL's identity of the group, on GPUs.
    pub nccl: Option<Vec<u8>>,
    pub job: Job,
}

/// What processes do together.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Job {
    /// A run.
    Train {
        folder: PathBuf,
        config: Box<RunConfig>,
    },
    /// A benchmark.
    Bench(NetworkBench),
}

/// What a worker answers.
#[derive(Serialize, Deserialize)]
pub(super) enum Reply {
    /// It has joined.
    Ready,
    /// Of [`Order::Report`].
    Report(Measured),
    /// Of [`Order::Evaluate`]; nothing behind the last batch.
    Evaluated(Option<Measured>),
    /// It is done with its benchmark.
    Done,
    /// It has failed, and ends.
    Failed(String),
}

/// A [`StepReport`] to the bit: JSON has no number for a loss that is none.
#[derive(Serialize, Deserialize)]
pub(super) struct Measured {
    loss: u64,
    targets: u64,
    correct: u64,
    gradient_norm: u32,
}

impl From<StepReport> for Measured {
    fn from(report: StepReport) -> Self {
        Self {
            loss: report.sums.loss.to_bits(),
            targets: report.sums.targets,
            correct: report.sums.correct,
            gradient_norm: report.gradient_norm.to_bits(),
        }
    }
}

impl From<Sums> for Measured {
    fn from(sums: Sums) -> Self {
        let gradient_norm = 0.0;
        StepReport {
            sums,
            gradient_norm,
        }
        .into()
    }
}

impl From<Measured> for StepReport {
    fn from(measured: Measured) -> Self {
        Self {
            sums: Sums {
                loss: f64::from_bits(measured.loss),
                targets: measured.targets,
                correct: measured.correct,
            },
            gradient_norm: f32::from_bits(measured.gradient_norm),
        }
    }
}
