//! `gradcheck`: every operation against plain f64 arithmetic, every parameter of small networks
//! against differences of their loss, and training steps against the CPU's.

use super::{against_cpu, small};
use crate::cli::gradcheck::{Checked, GradientCheck, Part};
use crate::device::{Activation, Device, Gemm, MixShape, Norm, RpeInput, SkiShape, checks};
use crate::network::Network;
use crate::train::ModelError;

/// Errors of sums of a few hundred terms, relative to the largest element: f32, and bf16.
const TOLERANCES: [f64; 2] = [2e-5, 3e-2];
/// Error of a difference of the loss, in f32 (the CPU's: up to 1e-3); bf16 cannot tell such small
/// differences apart.
const DIFFERENCE: f64 = 2e-3;
/// Error of the loss of a training step, relative to the CPU's in f32: f32, and bf16.
const LOSSES: [f64; 2] = [1e-3, 2e-2];

/// Checks what is asked for, and reports each check as soon as it is done.
pub(super) fn check<D: Device>(
    device: D,
    check: &GradientCheck,
    report: &mut dyn FnMut(Checked),
) -> Result<(), ModelError> {
    let half = device.act_bytes() == 2;
    let mut results = Results {
        tolerance: check.tolerance.unwrap_or(TOLERANCES[usize::from(half)]),
        report,
    };
    if check.only != Some(Part::Networks) {
        operations(&device, check.seed, &mut results)?;
    }
    if check.only != Some(Part::Operations) {
        let (device, error) = against_cpu::training(device, check.seed)?;
        results.tolerance = check.tolerance.unwrap_or(LOSSES[usize::from(half)]);
        let name = "losses of the causal network's training, against the CPU";
        results.push((name.into(), error));
        if !half {
            results.tolerance = check.tolerance.unwrap_or(DIFFERENCE);
            networks(device, check.seed, &mut results)?;
        }
    }
    Ok(())
}

/// The gradients of whole networks.
fn networks<D: Device>(
    mut device: D,
    seed: u64,
    results: &mut Results<'_>,
) -> Result<(), ModelError> {
    for (network, config, batch) in small::networks(seed) {
        let mut trained = Network::new(device, config, 0.9, seed)?;
        for (tensor, error) in trained.gradient_errors(&batch)? {
            results.push((format!("{network}: {tensor}"), error));
        }
        device = trained.into_device();
    }
    Ok(())
}

/// Where names of checks and their errors go.
struct Results<'r> {
    tolerance: f64,
    report: &'r mut dyn FnMut(Checked),
}

impl Results<'_> {
    fn push(&mut self, (name, error): (String, f64)) {
        let tolerance = self.tolerance;
        (self.report)(Checked {
            name,
            error,
            tolerance,
        });
    }
}

/// Names and errors of all operations on a few shapes each, odd ones among them.
fn operations<D: Device>(
    device: &D,
    seed: u64,
    results: &mut Results<'_>,
) -> Result<(), ModelError> {
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
    kernels(device, seed, results)?;
    mixes(device, seed, results)?;
    interpolations(device, seed, results)?;
    ends(device, seed, results)
}

/// The networks that give kernels.
fn kernels<D: Device>(device: &D, seed: u64, results: &mut Results<'_>) -> Result<(), ModelError> {
    let norms = [None, Some(Norm::SimpleRms), Some(Norm::Layer)];
    for (index, norm) in norms.into_iter().enumerate() {
        for causal in [true, false] {
            let sizes = ([5, 16, 32][index], index, 3);
            let act = [Activation::Silu, Activation::Gelu, Activation::Silu][index];
            let (mut shape, count) = checks::rpe_shape(9, causal, sizes, norm, act, true);
            shape.gamma_at = Some(count - shape.channels);
            shape.residual = index == 1;
            // Without a norm, powers of large lags would drown everything else.
            shape.input = RpeInput::Scaled(8);
            let sides = if causal { "causal" } else { "bidirectional" };
            let error = checks::rpe(device, &shape, count, seed)?;
            let (width, layers, _) = sizes;
            results.push((
                format!("kernel {sides} of width {width}, {layers} layers"),
                error,
            ));
        }
    }
    responses(device, seed, results)
}

/// The networks that give frequency responses, to fewer lags than positions and to more.
fn responses<D: Device>(
    device: &D,
    seed: u64,
    results: &mut Results<'_>,
) -> Result<(), ModelError> {
    for (input, name, length) in [
        (RpeInput::Omega(16), "omega", 9),
        (RpeInput::Cosine(8), "cosine", 11),
        (RpeInput::Cosine(256), "cosine", 100),
    ] {
        for causal in [true, false] {
            let norm = Some(Norm::SimpleRms);
            let sizes = (16, 1, 4);
            let (shape, count) = checks::response_shape(length, causal, sizes, norm, input, 2);
            let sides = if causal { "causal" } else { "bidirectional" };
            let error = checks::rpe(device, &shape, count, seed)?;
            let bins = input.bins().unwrap_or_default();
            results.push((format!("response {sides} of {name}, {bins} bins"), error));
        }
    }
    let (shape, count) = checks::warped_shape(9, (16, 1, 3), 2.5);
    let error = checks::rpe(device, &shape, count, seed)?;
    results.push(("kernel of warped lags".into(), error));
    Ok(())
}

/// Products of SKI: few positions against their dense matrices, many against the CPU.
fn interpolations<D: Device>(
    device: &D,
    seed: u64,
    results: &mut Results<'_>,
) -> Result<(), ModelError> {
    let shape = |batch, length, rank, taps, act| SkiShape {
        batch,
        length,
        channels: 3,
        act,
        rank,
        taps,
    };
    // One position; fewer positions than points; distances that are whole numbers, and that are not.
    for (index, shape) in [
        shape(2, 1, 3, 1, Activation::Silu),
        shape(3, 5, 9, 3, Activation::Gelu),
        shape(2, 13, 4, 5, Activation::Silu),
        shape(10, 16, 5, 9, Activation::None),
        shape(2, 20, 2, 33, Activation::Relu),
    ]
    .into_iter()
    .enumerate()
    {
        let error = checks::ski(device, shape, index % 2 == 0, seed + index as u64)?;
        results.push((interpolation(shape), error));
    }
    // Several sequences a block, one, and sequences of several tiles.
    for shape in [
        shape(11, 512, 64, 9, Activation::Silu),
        shape(3, 777, 33, 5, Activation::Silu),
        shape(2, 4096, 64, 9, Activation::Silu),
        shape(1, 9001, 512, 17, Activation::Silu),
        shape(1, 65_536, 64, 9, Activation::Silu),
    ] {
        let name = format!("{}, against the CPU", interpolation(shape));
        results.push((name, against_cpu::ski(device, shape, seed)?));
    }
    Ok(())
}

fn interpolation(shape: SkiShape) -> String {
    let SkiShape {
        batch,
        length,
        rank,
        taps,
        ..
    } = shape;
    format!("ski {batch}x{length} by {rank} points, {taps} taps")
}

/// What comes before the first layer and after the last.
fn ends<D: Device>(device: &D, seed: u64, results: &mut Results<'_>) -> Result<(), ModelError> {
    for (tokens, vocabulary, width) in [(300, 5, 7), (1000, 256, 64)] {
        let error = checks::embed(device, tokens, vocabulary, width, seed)?;
        results.push((format!("embedding of {vocabulary} in {width}"), error));
        let error = checks::column_sums(device, tokens, width, seed)?;
        results.push((format!("sums of {tokens}x{width}"), error));
    }
    results.push((
        "mean pool 3x70x20".into(),
        checks::mean_pool(device, 3, 70, 20, seed)?,
    ));
    for (len, step) in [(9, 1), (70, 3), (512, 32)] {
        let error = checks::strided(device, len, step, seed)?;
        results.push((format!("kernel of {len} lags {step} apart, sum"), error));
    }
    for act in [Activation::Silu, Activation::Relu, Activation::Gelu] {
        let error = checks::hide_padding(device, act, seed)?;
        results.push((format!("hidden padding {act:?}"), error));
    }
    for (tokens, classes, width) in [(9, 5, 3), (258, 100, 16)] {
        let error = checks::head_loss(device, tokens, classes, width, seed)?;
        results.push((
            format!("cross entropy of {classes} classes, {tokens} targets"),
            error,
        ));
    }
    results.push((
        "dropout of 9000".into(),
        checks::dropout(device, 9000, 0.3, 5, seed)?,
    ));
    results.push((
        "sum of 9000 squares".into(),
        checks::sum_squares(device, 9000, seed)?,
    ));
    for decay in [true, false] {
        let name = if decay { "AdamW with decay" } else { "AdamW" };
        let error = checks::adamw(device, 9000, (0.5, 0.5), decay, seed)?;
        results.push((name.into(), error));
    }
    // So small a norm that the constant beside it tells.
    let error = checks::adamw(device, 9000, (1e-7, 1e-8), true, seed)?;
    results.push(("AdamW of a small norm".into(), error));
    let good = checks::adamw_without_norm(device, 1.0)?;
    let error = if good { 0.0 } else { f64::INFINITY };
    results.push(("AdamW without a norm".into(), error));
    Ok(())
}

fn mixes<D: Device>(device: &D, seed: u64, results: &mut Results<'_>) -> Result<(), ModelError> {
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
        (5, 50, 3, false),
        (5, 50, 3, true),
        (3, 9, 2, false),
    ];
    for (index, (batch, length, channels, causal)) in shapes.into_iter().enumerate() {
        let shape = MixShape {
            batch,
            length,
            channels,
            causal,
            act: acts[index % 4],
            gated: index < 4,
            support: length,
        };
        let error = checks::mix(device, shape, index % 2 == 0, seed)?;
        let sides = if causal { "causal" } else { "bidirectional" };
        let gate = if shape.gated { "" } else { ", no gate" };
        results.push((format!("mix {sides} {batch}x{length}{gate}"), error));
    }
    for (shape, name) in long_shapes() {
        results.push((name, against_cpu::mix(device, shape, seed)?));
    }
    for act in acts {
        let error = checks::gate(device, act, 12, 33, true, seed)?;
        results.push((format!("gate {act:?}"), error));
    }
    Ok(())
}

/// Products too long for differences: every size of FFT, sequences cut into blocks, spilled spectra.
fn long_shapes() -> Vec<(MixShape, String)> {
    let shape = |batch, length, causal, support| MixShape {
        batch,
        length,
        channels: 3,
        causal,
        act: Activation::Silu,
        gated: true,
        support,
    };
    let ungated = |batch, length| MixShape {
        gated: false,
        ..shape(batch, length, true, length)
    };
    let shapes = [
        shape(3, 100, true, 100),
        shape(5, 512, true, 512),
        shape(2, 512, false, 512),
        shape(3, 1000, true, 1000),
        shape(2, 2048, true, 2048),
        shape(2, 3000, true, 300),
        shape(1, 4096, false, 4096),
        shape(2, 8192, true, 1600),
        shape(1, 8192, true, 8192),
        shape(2, 16_384, true, 16_384),
        ungated(5, 512),
        ungated(1, 8192),
    ];
    let name = |s: MixShape| {
        let sides = if s.causal { "causal" } else { "bidirectional" };
        let (batch, length, support) = (s.batch, s.length, s.support);
        let gate = if s.gated { "" } else { ", no gate" };
        (
            s,
            format!("mix {sides} {batch}x{length}, {support} lags{gate}, against the CPU"),
        )
    };
    shapes.map(name).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::cpu::Cpu;

    #[test]
    fn whole_networks_pass_on_the_cpu_and_are_named() {
        let mut checks = Vec::new();
        let mut results = Results {
            tolerance: DIFFERENCE,
            report: &mut |checked| checks.push(checked),
        };
        networks(Cpu::new(), 0, &mut results).unwrap();
        for check in &checks {
            assert!(check.passes(), "{check:?}");
        }
        for name in [
            "causal",
            "bidirectional",
            "classifier of frames",
            "classifier of tokens",
        ] {
            let loss = format!("{name}: loss");
            assert!(checks.iter().any(|c| c.name == loss), "{loss}");
        }
    }
}
