//! The runtime computes what the reference network computes, whatever the network's options.
#![allow(missing_docs)]

use proptest::prelude::*;
use proptest::sample::select;
use toeplite_tests::{checkpoint, modal, small_config};
use toeplite_tools::blob::{WeightType, write};
use toeplite_tools::checkpoint::config::{Activation, Norm, NormPosition};
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

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

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
        // exponentials of exponentials, with no norm between: nothing to compare in f32
        let exponential = [gtu_act, glu_act, glu_final_act].contains(&Activation::Exp);
        prop_assume!(!(exponential && norm == Norm::None));
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
        let blob = write(&checkpoint, &layers, WeightType::F32).unwrap();
        let streamed = stream::logits(&blob.model().unwrap(), &tokens).unwrap();
        let scale = largest.max(1.0);
        for (a, b) in streamed.iter().zip(&expected) {
            prop_assert!((f64::from(*a) - b).abs() < 2e-4 * scale, "{a} {b} of {scale}");
        }
    }
}
