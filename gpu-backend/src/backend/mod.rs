//! The networks and devices of this crate, as the commands see them.

mod against_cpu;
mod gradients;
mod learner;
mod open;
mod small;

use crate::bench;
use crate::bench::{NetworkResult, OperatorResult};
use crate::cli::bench::{NetworkBench, Operator, OperatorBench};
use crate::cli::gradcheck::{Checked, GradientCheck};
use crate::cli::{Backend, Placement};
use crate::config::RunConfig;
use crate::device::Device;
use crate::group::{Meeting, Member};
use crate::network::Network;
use crate::train::{ModelError, Trainable};
use learner::Learner;
use open::{Opened, open};
use std::path::Path;
use std::time::Instant;
use toeplite_checkpoint::{Checkpoint, Config as ModelConfig};

/// Decay rate of a benchmark's kernels: the published models'.
const GAMMA: f32 = 0.99;

/// Runs `$body` with `$device` bound to the device that was opened, whichever it is.
macro_rules! on {
    ($opened:expr, |$device:ident| $body:expr) => {
        match $opened {
            Opened::Cpu($device) => $body,
            Opened::Cuda($device) => $body,
        }
    };
}

/// The CPU and CUDA devices of this machine.
pub struct Devices {
    started: Instant,
}

impl Devices {
    /// `started` is when the process began: benchmarks report the time to the first step.
    pub fn new(started: Instant) -> Self {
        Self { started }
    }
}

impl Backend for Devices {
    fn meet(&self, placement: Placement, processes: usize) -> Result<Meeting, ModelError> {
        open::meet(placement, processes)
    }

    fn create(
        &self,
        config: &RunConfig,
        member: Option<Member>,
    ) -> Result<Box<dyn Trainable>, ModelError> {
        let placement = Placement {
            device: config.train.device,
            precision: config.train.precision,
        };
        let (model, train) = (config.model.clone(), &config.train);
        on!(open(placement, member)?, |device| {
            let mut network = Network::new(device, model, train.gamma as f32, train.seed)?;
            if let Some(from) = &train.from {
                begin_with(&mut network, from)?;
            }
            Ok(Box::new(Learner::new(network)))
        })
    }

    fn load(
        &self,
        checkpoint: &Checkpoint,
        placement: Placement,
    ) -> Result<Box<dyn Trainable>, ModelError> {
        on!(open(placement, None)?, |device| {
            let network = Network::from_checkpoint(device, checkpoint)?;
            Ok(Box::new(Learner::new(network)))
        })
    }

    fn bench_network(
        &self,
        asked: &NetworkBench,
        member: Option<Member>,
    ) -> Result<NetworkResult, ModelError> {
        let mut config = asked.preset.config();
        config.train_len = asked.length;
        on!(open(asked.placement, member)?, |device| {
            let mut network = Network::new(device, config, GAMMA, 1)?;
            bench_network(&mut network, asked, self.started)
        })
    }

    fn bench_operator(&self, asked: &OperatorBench) -> Result<OperatorResult, ModelError> {
        let bench = bench::OperatorBench {
            channels: asked.channels,
            length: asked.length,
            tokens: asked.sequences * asked.length,
            gamma: asked.gamma,
            product: match asked.operator {
                Operator::Ski => bench::Product::Ski {
                    rank: asked.points_and_taps.0,
                    taps: asked.points_and_taps.1,
                },
                operator => bench::Product::Toeplitz {
                    gated: operator == Operator::Gtu,
                    causal: !asked.bidirectional,
                },
            },
            calls: asked.steps,
        };
        on!(open(asked.placement, None)?, |device| Ok(bench::operator(
            &device, bench
        )?))
    }

    fn check_gradients(
        &self,
        check: &GradientCheck,
        report: &mut dyn FnMut(Checked),
    ) -> Result<(), ModelError> {
        on!(open(check.placement, None)?, |device| gradients::check(
            device, check, report
        ))
    }
}

/// Gives a network the parameters of the checkpoint `path`. The head for classes of another number stays as it is, and that is
/// said.
fn begin_with<D: Device>(network: &mut Network<D>, path: &Path) -> Result<(), ModelError> {
    const HEAD: &str = "head.weight";
    let mut checkpoint = Checkpoint::open(path)?;
    let own = network.checkpoint()?;
    let differing = differing(&checkpoint.config, &own.config);
    if !differing.is_empty() {
        return Err(format!(
            "train.from: {} is of another network: {differing}",
            path.display()
        )
        .into());
    }
    let (learnt, asked) = (checkpoint.config.outputs(), own.config.outputs());
    let is_classifier = own.config.classifier.is_some();
    if let Some(head) = own
        .tensors
        .get(HEAD)
        .filter(|_| is_classifier && learnt != asked)
    {
        checkpoint.tensors.insert(HEAD.to_owned(), head.clone());
        let path = path.display();
        toeplite_terminal::tell(format_args!(
            "{path} tells {learnt} classes apart, this network {asked}: its head begins anew"
        ));
    }
    Ok(network.set_checkpoint(&checkpoint)?)
}

/// Keys of two configurations that make other tensors, with both values; nothing if there are none.
fn differing(from: &ModelConfig, own: &ModelConfig) -> String {
    let json = |config: &ModelConfig| serde_json::to_value(config).unwrap_or_default();
    let (from, own) = (json(from), json(own));
    // what a head is for, how long sequences are, and what positions are divided by may change
    let mays = ["classifier", "train_len", "format", "version", "vocab_size"];
    let keys = own.as_object().into_iter().flatten();
    let keys = keys.filter(|(key, value)| !mays.contains(&&key[..]) && from[key] != **value);
    keys.map(|(key, value)| format!("model.{key} = {} there, {value} here", from[key]))
        .collect::<Vec<_>>()
        .join("; ")
}

fn bench_network<D: Device>(
    network: &mut Network<D>,
    asked: &NetworkBench,
    started: Instant,
) -> Result<NetworkResult, ModelError> {
    let bench = bench::NetworkBench {
        length: asked.length,
        tokens: asked.sequences * asked.length,
        micro_batches: asked.micro_batches,
        steps: asked.steps,
    };
    Ok(bench::network(network, bench, started)?)
}
