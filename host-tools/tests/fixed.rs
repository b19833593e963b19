//! The contract `fixed` on the command line.
#![allow(missing_docs)]

mod common;

use common::{json, small, toeplite};
use serde_json::Value;

/// Every command takes models of integers.
#[test]
fn models_of_the_contract_fixed_are_models() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    let (model, text) = (path("fixed.toep"), path("text.txt"));
    let checkpoint = small();
    let checkpoint = checkpoint.to_str().unwrap();
    let convert = |more: &[&str]| {
        let first = ["convert", checkpoint, "-o", &model, "--contract", "fixed"];
        toeplite(&[&first, more].concat())
    };
    let converted = json(&convert(&["--json"]));
    assert_eq!(converted["contract"], "fixed");
    // of layers and matrices it is told what became of their numbers in integers
    let floats = ["convert", checkpoint, "-o", &path("f32.toep"), "--json"];
    let floats = json(&toeplite(&floats));
    let array = |value: &Value| value.as_array().unwrap().clone();
    let layers = array(&converted["layers"]);
    for (layer, other) in layers.iter().zip(&array(&floats["layers"])) {
        assert_eq!(
            (&layer["taps"], &layer["order"]),
            (&other["taps"], &other["order"])
        );
        let error = |layer: &Value| layer["kernel_error"]["median"].as_f64().unwrap();
        assert!(error(layer) > error(other) && error(layer) < 1.5 * error(other));
        assert_ne!(layer["bound"], other["bound"]);
    }
    for matrix in array(&converted["matrices"]) {
        assert!(matrix["weight_sqnr"].as_f64().unwrap() > 35.0, "{matrix}");
    }
    assert_eq!(
        array(&converted["matrices"]).len(),
        array(&floats["matrices"]).len()
    );
    let refused = convert(&["--weights", "f32"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("int8 and int4 only"));

    let inspected = json(&toeplite(&["inspect", &model, "--json"]));
    assert_eq!(
        (&inspected["contract"], &inspected["weights"]),
        (&"fixed".into(), &"int8".into())
    );
    assert!(inspected["layers"][1]["largest_pole"].as_f64().unwrap() < 1.0);

    let validation = std::fs::read(small().join("val.txt")).unwrap();
    std::fs::write(&text, &validation[..4097]).unwrap();
    let compared = json(&toeplite(&[
        "compare", checkpoint, &model, "--text", &text, "--json",
    ]));
    let bits = &compared["lengths"][0]["bits_per_byte"];
    let [fft, blob] = ["fft", "blob"].map(|form| bits[form].as_f64().unwrap());
    assert!((blob / fft - 1.0).abs() < 0.005, "{bits}");
    let evaluated = json(&toeplite(&["eval", &model, "--text", &text, "--json"]));
    let evaluated = evaluated["lengths"][0]["bits_per_byte"].as_f64().unwrap();
    assert!((evaluated - blob).abs() < 1e-6, "{evaluated} {blob}");

    let run = |seed: &str| {
        toeplite(&[
            "run", &model, "--prompt", "To be", "--tokens", "20", "--seed", seed,
        ])
    };
    let [one, again, other] = ["1", "1", "2"].map(|seed| run(seed).stdout);
    assert!(one.starts_with(b"To be") && one.len() == 26);
    assert!(one == again && one != other);
}
