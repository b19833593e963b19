//! `gradcheck`: every operation against plain f64 arithmetic, and every parameter of a small network
//! against differences of its loss.

use crate::cli::gradcheck::{Checked, GradientCheck};
use crate::config::Preset;
use crate::data::{Batch, Inputs};
use crate::device::{Activation, Device, Gemm, MixShape, Norm, checks};
use crate::network::Network;
use crate::train::ModelError;
use toeplite_checkpoint::Config;

/// Errors of sums of a few hundred terms, relative to the largest element: f32, and bf16.
const TOLERANCES: [f64; 2] = [2e-5, 3e-2];
/// Error of a difference of the loss, in f32; bf16 cannot tell such small differences apart.
const DIFFERENCE: f64 = 0.02;

pub(super) fn check<D: Device>(
    device: D,
    check: &GradientCheck,
) -> Result<Vec<Checked>, ModelError> {
    let half = device.act_bytes() == 2;
    let tolerance = check.tolerance.unwrap_or(TOLERANCES[usize::from(half)]);
    let mut results: Vec<_> = operations(&device, check.seed)?
        .into_iter()
        .map(|(name, error)| Checked {
            name,
            error,
            tolerance,
        })
        .collect();
    if half {
        return Ok(results);
    }
    let mut network = Network::new(device, small(), 0.9, check.seed)?;
    for (name, error) in network.gradient_errors(&random_batch(check.seed))? {
        let tolerance = check.tolerance.unwrap_or(DIFFERENCE);
        results.push(Checked {
            name,
            error,
            tolerance,
        });
    }
    Ok(results)
}

/// Names and errors of all operations on a few shapes each, odd ones among them.
fn operations<D: Device>(device: &D, seed: u64) -> Result<Vec<(String, f64)>, ModelError> {
    let mut results = Vec::new();
    for (m, n, k) in [(1, 1, 1), (33, 17, 65), (256, 384, 128)] {
        for bits in 0..4 {
            let shape = Gemm {
                m,
                n,
                k,
                transpose_a: bits & 1 != 0,
                transpose_b: bits & 2 != 0,
                accumulate: true,
            };
            let name = format!("{m}x{n}x{k} {}", ["", "A^T", "B^T", "A^T B^T"][bits]);
            let error = checks::gemm(device, shape, true, seed)?;
            results.push((format!("gemm {name}"), error));
            let error = checks::gemm_gradient(device, shape, seed)?;
            results.push((format!("gemm gradient {name}"), error));
        }
    }
    for (norm, name) in [
        (Norm::SimpleRms, "simplermsnorm"),
        (Norm::Layer, "layernorm"),
    ] {
        for width in [7, 128, 512] {
            let error = checks::norm(device, norm, 9, width, seed)?;
            results.push((format!("{name} of {width}"), error));
        }
    }
    mixes(device, seed, &mut results)?;
    Ok(results)
}

fn mixes<D: Device>(
    device: &D,
    seed: u64,
    results: &mut Vec<(String, f64)>,
) -> Result<(), ModelError> {
    let acts = [
        Activation::None,
        Activation::Silu,
        Activation::Relu,
        Activation::Gelu,
    ];
    let shapes = [
        (3, 1, 2, true),
        (2, 7, 3, true),
        (3, 64, 2, true),
        (5, 100, 3, false),
        (2, 512, 2, true),
        (1, 2048, 2, true),
        (1, 2048, 1, false),
    ];
    for (index, (batch, length, channels, causal)) in shapes.into_iter().enumerate() {
        let shape = MixShape {
            batch,
            length,
            channels,
            causal,
            act: acts[index % 4],
            support: length,
        };
        let error = checks::mix(device, shape, index % 2 == 0, seed)?;
        let sides = if causal { "causal" } else { "bidirectional" };
        results.push((format!("mix {sides} {batch}x{length}"), error));
    }
    for act in acts {
        let error = checks::gate(device, act, 12, 33, true, seed)?;
        results.push((format!("gate {act:?}"), error));
    }
    Ok(())
}

/// A network with all parts, small enough for differences.
fn small() -> Config {
    let mut config = Preset::Shakespeare32x2.config();
    (config.vocab_size, config.dim, config.glu_dim) = (11, 8, 12);
    config.toeplitz.rpe_dim = 8;
    config.train_len = 10;
    config
}

fn random_batch(seed: u64) -> Batch {
    let token = |i: u64| ((i * i * 7 + 3 * i + seed) % 11) as u32;
    Batch {
        sequences: 3,
        length: 10,
        inputs: Inputs::Tokens((0..30).map(token).collect()),
        targets: (7..37).map(token).collect(),
    }
}
