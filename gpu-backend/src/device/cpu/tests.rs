//! The checks of all devices on the CPU, and what is the CPU's alone.

mod speed;

use super::Cpu;
use crate::device::{Activation, Device, Gemm, MixShape, Norm, RpeInput, SkiShape, checks};
use proptest::prelude::*;

/// Errors of f32 sums of a few hundred terms, relative to the largest element of a tensor.
const TOLERANCE: f64 = 4e-6;

fn activation() -> impl Strategy<Value = Activation> {
    use Activation::*;
    prop_oneof![Just(None), Just(Silu), Just(Relu), Just(Gelu)]
}

fn gemm() -> impl Strategy<Value = Gemm> {
    let size = || prop_oneof![1..40usize, 250..300usize];
    let sizes = (
        size(),
        size(),
        prop_oneof![1..40usize, 250..300usize, 500..1100usize],
    );
    (sizes, any::<[bool; 3]>()).prop_map(|((m, n, k), [transpose_a, transpose_b, accumulate])| {
        Gemm {
            m,
            n,
            k,
            transpose_a,
            transpose_b,
            accumulate,
        }
    })
}

fn mix() -> impl Strategy<Value = MixShape> {
    let sizes = (1..4usize, 1..20usize, 1..3usize);
    (sizes, any::<[bool; 2]>(), activation(), 1..20usize).prop_map(
        |((batch, length, channels), [causal, gated], act, support)| {
            let support = support.min(length);
            MixShape {
                batch,
                length,
                channels,
                causal,
                act,
                gated,
                support,
            }
        },
    )
}

fn ski() -> impl Strategy<Value = SkiShape> {
    let sizes = (1..4usize, 1..24usize, 1..3usize);
    (sizes, 2..12usize, 0..6usize, activation()).prop_map(
        |((batch, length, channels), rank, half, act)| SkiShape {
            batch,
            length,
            channels,
            act,
            rank,
            taps: 2 * half + 1,
        },
    )
}

fn norm() -> impl Strategy<Value = Option<Norm>> {
    prop_oneof![
        Just(None),
        Just(Some(Norm::SimpleRms)),
        Just(Some(Norm::Layer))
    ]
}

fn good(error: crate::device::Result<f64>) -> Result<(), TestCaseError> {
    let error = error.expect("the CPU does not fail");
    prop_assert!(error < TOLERANCE, "relative error {error:e}");
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products(shape in gemm(), bias in any::<bool>(), seed in any::<u64>()) {
        good(checks::gemm(&Cpu::new(), shape, bias, seed))?;
        good(checks::gemm_gradient(&Cpu::new(), shape, seed))?;
    }

    #[test]
    fn products_by_inducing_points(shape in ski(), bias in any::<bool>(), seed in 0..1u64 << 60) {
        good(checks::ski(&Cpu::new(), shape, bias, seed))?;
    }

    #[test]
    fn kernels_of_warped_lags(length in 1..9usize, spacing in 0.1..9.0f64, seed in any::<u64>()) {
        let (shape, count) = checks::warped_shape(length, (5, 1, 2), spacing);
        good(checks::rpe(&Cpu::new(), &shape, count, seed))?;
    }

    #[test]
    fn sums_of_columns(tokens in 1..600usize, width in 1..40usize, seed in any::<u64>()) {
        good(checks::column_sums(&Cpu::new(), tokens, width, seed))?;
    }

    #[test]
    fn embeddings(
        tokens in 1..600usize, vocabulary in 1..9usize, width in 1..20usize, seed in any::<u64>()
    ) {
        good(checks::embed(&Cpu::new(), tokens, vocabulary, width, seed))?;
    }

    #[test]
    fn norms(tokens in 1..9usize, width in 2..20usize, seed in any::<u64>()) {
        good(checks::norm(&Cpu::new(), Norm::SimpleRms, tokens, width, seed))?;
        good(checks::norm(&Cpu::new(), Norm::Layer, tokens, width, seed))?;
    }

    #[test]
    fn padding_is_hidden(act in 1..4usize, seed in any::<u64>()) {
        let act = [Activation::None, Activation::Silu, Activation::Relu, Activation::Gelu][act];
        good(checks::hide_padding(&Cpu::new(), act, seed))?;
    }

    #[test]
    fn means(batch in 1..4usize, length in 1..9usize, width in 1..6usize, seed in any::<u64>()) {
        good(checks::strided(&Cpu::new(), length, width, seed))?;
        good(checks::mean_pool(&Cpu::new(), batch, length, width, seed))?;
    }

    #[test]
    fn gated_toeplitz_units(shape in mix(), bias in any::<bool>(), seed in any::<u64>()) {
        good(checks::mix(&Cpu::new(), shape, bias, seed))?;
    }

    #[test]
    fn gates(
        f in activation(), channels in 1..4usize, tokens in 1..20usize, bias in any::<bool>(),
        seed in any::<u64>()
    ) {
        good(checks::gate(&Cpu::new(), f, channels, tokens, bias, seed))?;
    }

    #[test]
    fn losses(
        tokens in prop_oneof![1..9usize, 255..259usize], classes in 1..20usize, width in 1..6usize,
        seed in any::<u64>()
    ) {
        good(checks::head_loss(&Cpu::new(), tokens, classes, width, seed))?;
    }

    #[test]
    fn dropouts(
        len in 1..9000usize, p in prop_oneof![Just(0f32), 0f32..1.0, Just(1f32)], stream in any::<u32>(),
        seed in any::<u64>()
    ) {
        good(checks::dropout(&Cpu::new(), len, p, stream, seed))?;
    }

    #[test]
    fn optimisers(
        len in 1..9000usize, max_norm in prop_oneof![Just(0f32), 0.01f32..100.0],
        scale in prop_oneof![Just(0.5f32), Just(1e-8f32)], decay in any::<bool>(), seed in any::<u64>()
    ) {
        // Small gradients with a small limit: there the constant beside the norm tells.
        let clip = (max_norm * 2.0 * scale, scale);
        good(checks::adamw(&Cpu::new(), len, clip, decay, seed))?;
        good(checks::sum_squares(&Cpu::new(), len, seed))?;
    }

    #[test]
    fn kernels(
        (length, causal) in (1..12usize, any::<bool>()),
        sizes in (2..7usize, 0..3usize, 1..4usize),
        (norm, act, kernel_act) in (norm(), activation(), activation()),
        [bias, residual, decay, scaled] in any::<[bool; 4]>(),
        seed in any::<u64>(),
    ) {
        let (mut shape, count) = checks::rpe_shape(length, causal, sizes, norm, act, bias);
        shape.residual = residual;
        shape.kernel_act = kernel_act;
        shape.gamma_at = decay.then_some(count - shape.channels);
        // Without a norm, powers of large lags would drown everything else.
        if scaled || norm.is_none() {
            shape.input = RpeInput::Scaled(length.max(2) - 1);
        }
        good(checks::rpe(&Cpu::new(), &shape, count, seed))?;
    }

    #[test]
    fn kernels_of_responses(
        (length, causal) in (1..12usize, any::<bool>()),
        (width, layers, channels, heads) in (2..7usize, 0..3usize, 1..4usize, 1..3usize),
        (norm, log_bins, cosine) in (norm(), 0..5u32, any::<bool>()),
        seed in any::<u64>(),
    ) {
        let bins = 1 << log_bins;
        let input = if cosine { RpeInput::Cosine(bins) } else { RpeInput::Omega(bins) };
        let sizes = (width, layers, channels * heads);
        let (shape, count) = checks::response_shape(length, causal, sizes, norm, input, heads);
        good(checks::rpe(&Cpu::new(), &shape, count, seed))?;
    }
}

#[test]
fn identities_outside_the_vocabulary_are_refused() {
    assert!(checks::ids(&Cpu::new()).unwrap());
}

#[test]
fn gradients_without_a_norm_change_nothing() {
    for max_norm in [0.0, 1.0] {
        assert!(checks::adamw_without_norm(&Cpu::new(), max_norm).unwrap());
    }
}

#[test]
fn recording_is_refused() {
    assert!(!Cpu::new().begin_record().unwrap());
    assert!(Cpu::new().end_record().is_err());
}

#[test]
fn a_mix_gives_its_scratch_back() {
    let cpu = Cpu::new();
    let causal = true;
    let shape = MixShape {
        batch: 2,
        length: 8,
        channels: 1,
        causal,
        act: Activation::Silu,
        gated: true,
        support: 8,
    };
    checks::mix(&cpu, shape, true, 1).unwrap();
    let (now, peak) = cpu.memory();
    assert_eq!(now, 0);
    assert!(peak > 0);
}

/// Long sums and many channels, on one thread and on three.
#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let bits = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(speed::fingerprint)
    };
    let one = bits(1);
    assert!(one.iter().any(|&x| x != 0.0));
    assert!(one == bits(3));
}
