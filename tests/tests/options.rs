//! The runtime computes what the reference network computes, whatever the network's options.
#![allow(missing_docs)]

use ndarray::Array2;
use proptest::prelude::*;
use proptest::sample::select;
use toeplite_tests::{checkpoint, modal, small_config};
use toeplite_tools::blob::{WeightType, write};
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::checkpoint::config::{Activation, Norm, NormPosition};
use toeplite_tools::convert::Modal;
use toeplite_tools::reference::{Network, recurrence::ModalMix};
use toeplite_tools::stream;

fn norms() -> impl Strategy<Value = Norm> {
    use Norm::*;
    select(vec![
        SimpleRmsNorm,
        RmsNorm,
        GatedRmsNorm,
        ScaleNorm,
        LayerNorm,
        None,
    ])
}

fn activations() -> impl Strategy<Value = Activation> {
    use Activation::*;
    select(vec![
        Silu, Relu, Gelu, Elu, Sigmoid, Exp, LeakyRelu, OnePlusElu, TwoPlusElu, None,
    ])
}

/// The largest logit error of the reference network itself when it computes in f32. Some networks
/// without norm amplify a rounding beyond measure or leave the range of f32: they have no answer in
/// f32 to compare with.
fn error_in_f32(
    checkpoint: &Checkpoint,
    layers: &[Modal],
    tokens: &[u32],
    expected: &Array2<f64>,
) -> f64 {
    let network = Network::<f32>::from_checkpoint(checkpoint).unwrap();
    let mix = ModalMix::new(layers).unwrap();
    let logits = network.forward(tokens, &mix).unwrap();
    let error = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs();
    // infinite where a logit is no number at all
    let larger = |m: f64, e: f64| if e.is_nan() { f64::INFINITY } else { m.max(e) };
    logits.iter().zip(expected).map(error).fold(0.0, larger)
}

fn settings() -> ProptestConfig {
    ProptestConfig {
        cases: 300,
        max_global_rejects: 100,
        failure_persistence: None,
        ..Default::default()
    }
}

proptest! {
    #![proptest_config(settings())]

    #[test]
    fn streaming_is_the_reference_in_f64(
        (norm, final_norm) in (norms(), norms()),
        position in select(vec![NormPosition::Pre, NormPosition::PostBranch, NormPosition::PostResidual]),
        (gtu_act, glu_act, glu_final_act) in (activations(), activations(), activations()),
        (gtu_norm, bias, tied) in (any::<bool>(), any::<bool>(), any::<bool>()),
        sizes in ([0usize..5, 0usize..4, 0usize..4], [0usize..5, 0usize..4, 0usize..4]),
        decay: bool,
        seed: u64,
        tokens in prop::collection::vec(0u32..11, 1..40),
    ) {
        // exponentials of exponentials, or of a stream without norm: their squares leave f32
        let exponential = [gtu_act, glu_act, glu_final_act].contains(&Activation::Exp);
        prop_assume!(!(exponential && norm == Norm::None));
        prop_assume!(glu_act != Activation::Exp || glu_final_act != Activation::Exp);
        prop_assume!(position != NormPosition::PostBranch || glu_final_act != Activation::Exp);
        let mut config = small_config();
        config.norm = norm;
        config.final_norm = final_norm;
        config.norm_position = Some(position);
        (config.gtu_act, config.glu_act, config.glu_final_act) = (gtu_act, glu_act, glu_final_act);
        (config.gtu_norm, config.bias, config.tie_embeddings) = (gtu_norm, bias, tied);
        let checkpoint = checkpoint(config, seed);
        let layers = [
            modal(10, sizes.0, decay, seed ^ 1).to_f32_safe(),
            modal(10, sizes.1, decay, seed ^ 2).to_f32_safe(),
        ];
        let network = Network::<f64>::from_checkpoint(&checkpoint).unwrap();
        let expected = network.forward(&tokens, &ModalMix::new(&layers).unwrap()).unwrap();
        let largest = expected.iter().fold(0f64, |m, x| m.max(x.abs()));
        let scale = largest.max(1.0);
        prop_assume!(error_in_f32(&checkpoint, &layers, &tokens, &expected) < 2e-5 * scale);
        let blob = write(&checkpoint, &layers, WeightType::F32).unwrap();
        let streamed = stream::logits(&blob.model().unwrap(), &tokens).unwrap();
        for (a, b) in streamed.iter().zip(&expected) {
            prop_assert!((f64::from(*a) - b).abs() < 2e-4 * scale, "{a} {b} of {scale}");
        }
    }
}
