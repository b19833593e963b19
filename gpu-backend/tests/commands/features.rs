//! Recordings as features, and a network that is trained on them.

use super::{Place, exists};
use hound::{SampleFormat, WavSpec, WavWriter};
use serde_json::Value;
use std::fs;

const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    dim = 16
    layers = 1
    task = "classifier"
    classifier = { classes = 2, pooling = "last", frame_dim = 20 }
    [data]
    kind = "frames"
    train = "train.safetensors"
    [train]
    steps = 2
    batch = 4
    length = 9
    device = "cpu"
    [optimiser]
    rate = 1e-2
    [schedule]
    warmup = 1
"#;

fn recordings(place: &Place) {
    for (class, step) in [("high", 1.3f32), ("low", 0.2)] {
        let folder = place.path("recordings").join(class);
        fs::create_dir_all(&folder).unwrap();
        for clip in 0..3 {
            let spec = WavSpec {
                channels: 1,
                sample_rate: 8000,
                bits_per_sample: 16,
                sample_format: SampleFormat::Int,
            };
            let path = folder.join(format!("{clip}.wav"));
            let mut file = WavWriter::create(path, spec).unwrap();
            for i in 0..1500 - 100 * clip {
                let x = (i as f32 * step).sin() * 9000.0;
                file.write_sample(x as i16).unwrap();
            }
            file.finalize().unwrap();
        }
    }
}

#[test]
fn recordings_become_features_that_train() {
    let place = Place::new();
    recordings(&place);
    let make = ["data", "features", "recordings", "--bands=20", "--pcen"];
    let made = place.succeed(&[&make[..], &["--out=train.safetensors", "--json"]].concat());
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["clips"], 6);
    let about = &made["about"];
    assert_eq!(about["frames"], 9);
    assert_eq!(about["classes"], serde_json::json!(["high", "low"]));
    assert_eq!(about["compression"]["kind"], "pcen");
    // the same bytes again, over what was there; other options, others
    let first = fs::read(place.path("train.safetensors")).unwrap();
    let said = place.succeed(&[&make[..], &["--out=train.safetensors"]].concat());
    assert!(
        said.contains("6 clips of 2 classes, 9 frames of 20"),
        "{said}"
    );
    assert_eq!(first, fs::read(place.path("train.safetensors")).unwrap());
    let agc = [
        "data",
        "features",
        "recordings",
        "--agc",
        "--out=agc.safetensors",
        "--json",
    ];
    let agc: Value = serde_json::from_str(&place.succeed(&agc)).unwrap();
    assert_eq!(agc["about"]["compression"]["kind"], "agc");
    place.succeed(&[&make[..], &["--out=sub/m0.safetensors", "--integers"]].concat());
    assert_ne!(first, fs::read(place.path("sub/m0.safetensors")).unwrap());
    place.write("run.toml", RUN);
    place.succeed(&["train", "--config=run.toml", "--out=run", "--json"]);
    assert!(exists(&place.path("run")));
    // how its data were made goes with the network
    let beside = fs::read(place.path("run/best/front_end.json"));
    let beside = beside.or_else(|_| fs::read(place.path("run/checkpoint-2/front_end.json")));
    let beside: Value = serde_json::from_slice(&beside.unwrap()).unwrap();
    for key in ["rate", "frame", "hop", "bands", "compression", "classes"] {
        assert_eq!(beside[key], about[key], "{key}");
    }
    // others to validate on would tell nothing
    place.succeed(&[
        "data",
        "features",
        "recordings",
        "--bands=20",
        "--out=log.safetensors",
    ]);
    let mixed = RUN.replace("[train]", "valid = \"log.safetensors\"\n[train]");
    place.write("mixed.toml", &mixed);
    let output = place.command(&["train", "--config=mixed.toml", "--out=mixed", "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("other settings"),
        "{errors}"
    );
}

#[test]
fn options_that_cannot_be_are_refused() {
    let place = Place::new();
    recordings(&place);
    let run = |more: &[&str]| {
        let make = ["data", "features", "recordings", "--out=x.safetensors"];
        place.command(&[&make[..], more].concat())
    };
    for (option, says) in [
        ("--bands=120", "fewer bands"),
        ("--hop=300", "hop"),
        ("--high=5000", "half the rate"),
        ("--pcen-gain=0.5", "--pcen"),
        ("--agc-floor=0.5", "--agc"),
    ] {
        let output = run(&[option]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(says), "{errors}");
    }
    let output = run(&["--rate=16000"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("resample"));
    assert!(!exists(&place.path("x.safetensors")));
}
