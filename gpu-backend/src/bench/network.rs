//! Whole training steps: forward, backward, clipping and AdamW.

use super::Spread;
use crate::data::{Batch, Inputs};
use crate::device::{Device, Optimiser};
use crate::network::{Network, NetworkError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkBench {
    /// Positions of a sequence.
    pub length: usize,
    /// Positions of all sequences of this process's share of a step.
    pub tokens: usize,
    /// Portions that a step is computed in.
    pub micro_batches: usize,
    /// Steps that are timed, after three that are not.
    pub steps: usize,
}

/// What was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkResult {
    /// Name of the device.
    pub device: String,
    /// Positions of a sequence.
    pub length: usize,
    /// Positions of a step, all processes together.
    pub tokens: usize,
    /// Processes that computed together.
    pub processes: usize,
    /// Trained parameters.
    pub parameters: usize,
    /// By the median step.
    pub tokens_per_second: f64,
    /// Milliseconds of a step: forward, backward, clipping, AdamW.
    pub step_ms: Spread,
    /// Most bytes allocated on one device.
    pub peak_bytes: usize,
    /// From the start of the program (its `main`) to the end of the first step.
    pub startup_ms: f64,
    /// Arithmetic of the matrix products of a step (6 per weight and token), in 10^12 a second.
    pub model_tflops: f64,
    /// Medians of parts of a step, each run and waited for by itself: slower than within a step.
    pub stages: BTreeMap<&'static str, f64>,
}

/// Times training steps of `network` on random tokens. `start` is when the process began.
///
/// # Errors
/// The device fails, for example for want of memory.
pub fn network<D: Device>(
    network: &mut Network<D>,
    bench: NetworkBench,
    start: Instant,
) -> Result<NetworkResult, NetworkError> {
    let processes = network.device().shard().ranks;
    let tokens = bench.tokens * processes;
    let batches: Vec<_> = (0..4)
        .map(|seed| random_batches(network, bench, seed))
        .collect();
    let one = |network: &mut Network<D>, step: usize| {
        let begin = Instant::now();
        let micro_batches = &batches[step % batches.len()];
        let values = Optimiser::published(1e-4, step as u64 + 1, tokens);
        network.step(micro_batches, values, 1)?;
        network.device().synchronize()?;
        Ok::<_, NetworkError>(begin.elapsed().as_secs_f64() * 1e3)
    };
    one(network, 0)?;
    let startup_ms = start.elapsed().as_secs_f64() * 1e3;
    for step in 1..3 {
        one(network, step)?;
    }
    let samples: Result<Vec<_>, _> = (0..bench.steps.max(1))
        .map(|step| one(network, step + 3))
        .collect();
    let step_ms = Spread::of(samples?).expect("at least one step is timed");
    let stages = network.stage_times(&batches[0][0], 5)?;
    let seconds = step_ms.median / 1e3;
    let per_token = 6.0 * network.product_weights() as f64;
    Ok(NetworkResult {
        device: network.device().name(),
        length: bench.length,
        tokens,
        processes,
        parameters: network.trained_parameters(),
        tokens_per_second: tokens as f64 / seconds,
        step_ms,
        peak_bytes: network.device().memory().1,
        startup_ms,
        model_tflops: per_token * tokens as f64 / seconds / 1e12,
        stages,
    })
}

/// The micro-batches of one step.
fn random_batches<D: Device>(network: &Network<D>, bench: NetworkBench, seed: u64) -> Vec<Batch> {
    let vocabulary = network.config().vocab_size;
    let noise = super::noise(seed + 1, bench.tokens + 1);
    let token = |x: &f32| (((x + 0.5) * vocabulary as f32) as u32).min(vocabulary as u32 - 1);
    let text: Vec<u32> = noise.iter().map(token).collect();
    let portion = bench.tokens / bench.micro_batches.max(1);
    let starts = (0..bench.tokens).step_by(portion.max(1));
    let batch = |start: usize| Batch {
        sequences: portion / bench.length,
        length: bench.length,
        inputs: Inputs::Tokens(text[start..start + portion].to_vec()),
        targets: text[start + 1..start + portion + 1].to_vec(),
    };
    starts.map(batch).collect()
}
