//! What converted classifiers answer.

use super::made::{CLIPS, json, made, number, streamed, windowed};
use super::{CLASSES, classifier, operators};
use safetensors::SafeTensors;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use toeplite_tools::checkpoint::config::Pooling;

#[test]
fn a_converted_classifier_answers_as_its_network() {
    for (name, config) in streamed().into_iter().chain(windowed()) {
        let window = (!config.causal).then_some(config.train_len);
        let made = made(config);
        let distinct: BTreeSet<i32> = made.answers().into_iter().collect();
        assert!(distinct.len() > 1, "{name}: one answer for all");
        for (weights, method, bound) in [("f32", "fir", 1e-4), ("int8", "reduced", 0.3)] {
            let converted = made.convert(&["--weights", weights, "--method", method]);
            assert_eq!(converted["allocation"], Value::Null);
            assert_eq!(converted["window"], json!(window));
            let compared = made.compare();
            let at = &compared["lengths"][0];
            assert_eq!((&at["clips"], &at["length"]), (&json!(CLIPS), &json!(16)));
            // labels are the network's own answers
            assert_eq!(at["accuracy"]["fft"], 1.0, "{name}: {at}");
            for form in ["recurrence", "blob"] {
                assert_eq!(at["accuracy"][form], at["agreement"][form], "{name}: {at}");
                assert!(number(&at["agreement"][form]) >= 0.9, "{name}: {at}");
                let [largest, mean] =
                    ["max_logit_error", "mean_logit_error"].map(|e| number(&at[e][form]));
                assert!(mean <= largest && largest < bound, "{name} {weights}: {at}");
                assert!(largest > 0.0, "{name}: {at}");
            }
            assert_eq!(compared["max_logit_error"], at["max_logit_error"]["blob"]);
            let [model, clips] = ["model.toep", "clips.safetensors"].map(|name| made.path(name));
            let evaluated = json(&["eval", &model, "--clips", &clips, "--json"]);
            let evaluated = &evaluated["lengths"][0];
            assert_eq!(evaluated["accuracy"], at["accuracy"]["blob"]);
            let rows = evaluated["confusion"].as_array().unwrap().iter();
            let right: f64 = rows.enumerate().map(|(i, row)| number(&row[i])).sum();
            assert_eq!(right / CLIPS as f64, number(&evaluated["accuracy"]));
        }
    }
}

/// A product by inducing points is no recurrence's, but a model has what its own recurrences have.
#[test]
fn a_product_by_inducing_points_is_compared() {
    let networks = operators(classifier(Pooling::Mean, None));
    let (name, config) = networks.last().unwrap();
    assert_eq!(*name, "interpolation");
    let made = made(config.clone());
    let order = ["--order", "2", "--fir", "3"];
    made.convert(&[&["--weights", "f32", "--window", "12"][..], &order].concat());
    let at = &made.compare()["lengths"][0];
    assert_eq!((&at["length"], &at["clips"]), (&json!(12), &json!(CLIPS)));
    let [recurrence, blob] =
        ["recurrence", "blob"].map(|form| number(&at["max_logit_error"][form]));
    assert!((recurrence - blob).abs() < 1e-4 && blob > 0.0, "{at}");
    assert!(number(&at["agreement"]["blob"]) > 0.5, "{at}");
    let int4 = [
        "--weights",
        "int4",
        "--clips",
        &made.path("clips.safetensors"),
    ];
    assert_eq!(made.convert(&int4)["calibration"]["source"], "clips");
    let inspected = json(&["inspect", &made.path("model.toep"), "--json"]);
    assert_eq!(
        (&inspected["window"], &inspected["classifier"]["classes"]),
        (&json!(16), &json!(CLASSES))
    );
}

/// The known logits are those of the reference in f64; `eval` gives them of the checkpoint, and nearly of a model.
#[test]
fn logits_of_clips_are_written() {
    for (_, config) in streamed() {
        let made = made(config);
        made.convert(&["--weights", "f32", "--method", "fir"]);
        let out = made.path("logits.safetensors");
        for (subject, bound) in [("checkpoint", 1e-6), ("model.toep", 1e-4)] {
            let (subject, clips) = (made.path(subject), made.path("clips.safetensors"));
            let arguments = [
                "eval", &subject, "--clips", &clips, "--logits", &out, "--json",
            ];
            assert_eq!(json(&arguments)["shape"], json!([CLIPS, CLASSES]));
            let bytes = std::fs::read(&out).unwrap();
            let file = SafeTensors::deserialize(&bytes).unwrap();
            let found = file.tensor("logits").unwrap().data().chunks_exact(4);
            let found = found.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
            let expected = made.logits.iter().flatten();
            for (a, b) in found.zip(expected) {
                assert!((f64::from(a) - b).abs() < bound, "{subject}: {a} {b}");
            }
        }
        // Of some clips only, evenly spaced, and shorter ones.
        let (model, clips) = (made.path("model.toep"), made.path("clips.safetensors"));
        let some = ["--limit", "10", "--length", "3,16", "--json"];
        let arguments = [&["eval", &model, "--clips", &clips][..], &some].concat();
        let evaluated = json(&arguments);
        let clips = evaluated["lengths"]
            .as_array()
            .unwrap()
            .iter()
            .map(|at| &at["clips"]);
        assert_eq!(clips.collect::<Vec<_>>(), [10, 10]);
    }
}
