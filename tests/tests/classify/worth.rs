//! What layers and weights are worth to a classifier's answers.

use super::made::{made, number, streamed};
use super::{FRAME, LENGTH, OWN, tokens};
use ndarray::Array2;
use serde_json::Value;
use toeplite_tests::{Noise, checkpoint};
use toeplite_tools::allocate::Sensitivity;
use toeplite_tools::convert::Modal;
use toeplite_tools::quantize::MatrixName;
use toeplite_tools::quantize::calibrate::Sample;
use toeplite_tools::reference::evaluate::divergence;
use toeplite_tools::reference::mix::{DenseMix, Given, Padded};
use toeplite_tools::reference::{Input, Network};

/// With clips, layers get what the answers are worth, within budgets, and four bits are calibrated.
#[test]
fn clips_say_what_layers_and_weights_are_worth() {
    for (name, config) in streamed() {
        let made = made(config);
        let clips = made.path("clips.safetensors");
        let convert = |options: &[&str]| made.convert(&[&["--clips", &clips], options].concat());
        let [little, much] =
            ["0.01", "20"].map(|loss| convert(&["--loss", loss, "--weights", "f32"]));
        let allocation = |converted: &Value| converted["allocation"].clone();
        for converted in [&little, &much] {
            let allocation = allocation(converted);
            assert_eq!(allocation["measured_on"]["source"], "clips", "{name}");
            assert_eq!(allocation["predicted"], "clip");
            let [divergence, limit] = ["divergence", "limit"].map(|key| number(&allocation[key]));
            assert!(divergence <= 1.5 * limit, "{name}: {allocation}");
        }
        let bytes = |converted: &Value| number(&converted["blob_bytes"]);
        // the smallest is within either limit where the kernels are simple
        let (less, more) = (bytes(&much), bytes(&little));
        assert!(
            less < more || less == more && name == "frames",
            "{name}: {less} {more}"
        );
        let least = convert(&["--loss", "20", "--weights", "int8"]);
        let budget = format!("{}", bytes(&least) + 200.0);
        let within = convert(&["--budget-flash", &budget]);
        assert!(bytes(&within) <= bytes(&least) + 200.0, "{name}");
        let int4 = convert(&["--weights", "int4"]);
        assert_eq!(int4["calibration"]["source"], "clips", "{name}");
        let at = &made.compare()["lengths"][0];
        assert!(number(&at["agreement"]["blob"]) >= 0.7, "{name}: {at}");
    }
}

#[test]
fn divergence_on_clips_is_that_of_the_answers() {
    for (name, config) in streamed() {
        let checkpoint = checkpoint(config, 9);
        let (words, mut noise) = (tokens(6), Noise::new(2));
        let frames =
            |own: &usize| Array2::from_shape_simple_fn((*own, FRAME), || noise.draw() as f32);
        let frames: Vec<Array2<f32>> = OWN.iter().map(frames).collect();
        let clips: Vec<Input<'_>> = match name {
            "tokens" => words.iter().map(|clip| Input::Tokens(clip)).collect(),
            _ => frames
                .iter()
                .map(|clip| Input::Frames(clip.view()))
                .collect(),
        };
        let network = Network::<f32>::from_checkpoint(&checkpoint).unwrap();
        let sample = Sample::of_clips(clips.iter().copied()).unwrap();
        let sensitivity = Sensitivity::new(&network, &sample).unwrap();
        let kernels = network
            .layers()
            .iter()
            .map(|layer| layer.toeplitz().kernel(0..3, LENGTH));
        let kernels: Vec<_> = kernels.map(|kernel| kernel.mapv(f64::from)).collect();
        let short: Vec<Modal> = kernels.iter().cloned().map(Modal::from_taps).collect();
        let found = sensitivity
            .of_all(&short.iter().collect::<Vec<_>>())
            .unwrap();
        let (trained, cut) = (
            Padded::new(network.trained_mix(), LENGTH),
            DenseMix::new(Given::new(&kernels).unwrap()),
        );
        let lost = |clip: &Input<'_>| {
            let logits = |mix| network.classify(*clip, mix).unwrap();
            divergence(logits(&trained).view(), logits(&cut).view()) / std::f64::consts::LN_2
        };
        let expected = clips.iter().map(lost).sum::<f64>() / clips.len() as f64;
        assert!(
            (found / expected - 1.0).abs() < 1e-3,
            "{name}: {found} {expected}"
        );
        let head = network.head().weights();
        assert!(sensitivity.of_matrix(MatrixName::Head, head).abs() < 1e-9);
        let other = match network.frames() {
            Some(map) => map.weights().mapv(|x| 1.1 * x),
            None => checkpoint.tensors["embed.weight"]
                .mapv(|x| 1.1 * x)
                .into_dimensionality()
                .unwrap(),
        };
        let lost = sensitivity.of_matrix(MatrixName::Embedding, other.view());
        assert!(lost > 1e-9, "{name}: {lost}");
    }
}
