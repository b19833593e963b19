//! Recordings of a sensor as windows, and a network that is trained on them.

use super::Place;
use serde_json::Value;
use std::fmt::Write;
use std::fs;

const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    dim = 16
    layers = 1
    task = "classifier"
    classifier = { classes = 2, pooling = "mean", frame_dim = 3 }
    [data]
    kind = "frames"
    train = "train.safetensors"
    valid = "test.safetensors"
    [train]
    steps = 2
    batch = 4
    length = 20
    device = "cpu"
    [optimiser]
    rate = 1e-2
    [schedule]
    warmup = 1
"#;

/// Two activities of three subjects.
fn recordings(place: &Place) {
    for (class, step) in [("run", 0.9f32), ("walk", 0.3)] {
        for subject in 1..=3 {
            let mut text = "ax,ay,az\n".to_owned();
            for i in 0..100 + 10 * subject {
                let x = (i as f32 * step + subject as f32).sin() * 2000.0;
                writeln!(text, "{},{},{}", x as i16, (i * 37) % 100, 4096 - i).unwrap();
            }
            let path = place
                .path("recordings")
                .join(class)
                .join(format!("{subject}_a.csv"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }
}

const TRAIN: [&str; 7] = [
    "data",
    "windows",
    "recordings",
    "--rate=50",
    "--average=2",
    "--frames=20",
    "--out=train.safetensors",
];

#[test]
fn recordings_become_windows_that_train() {
    let place = Place::new();
    recordings(&place);
    let copies = [
        "--leave-out=2",
        "--hop=5",
        "--copies=2",
        "--turn=10",
        "--json",
    ];
    let made = place.succeed(&[&TRAIN[..], &copies].concat());
    let made: Value = serde_json::from_str(&made).unwrap();
    assert_eq!(made["recordings"], 4);
    // 55 or 65 frames: 8 or 10 windows of each of 2 recordings and their 2 copies
    assert_eq!(made["windows"], (8 + 10) * 2 * 3);
    let about = &made["about"];
    assert_eq!(about["classes"], serde_json::json!(["run", "walk"]));
    assert_eq!(about["channels"][2]["name"], "az");
    let first = fs::read(place.path("train.safetensors")).unwrap();
    place.succeed(&[&TRAIN[..], &copies].concat());
    assert_eq!(first, fs::read(place.path("train.safetensors")).unwrap());
    let test = ["data", "windows", "recordings", "--like=train.safetensors"];
    let test = [&test[..], &["--only=2", "--out=test.safetensors"]].concat();
    let said = place.succeed(&test);
    assert!(said.contains("6 windows of 2 recordings"), "{said}");
    place.write("run.toml", RUN);
    place.succeed(&["train", "--config=run.toml", "--out=run", "--json"]);
    // how its data were made goes with the network
    let beside: Value =
        serde_json::from_slice(&fs::read(place.path("run/best/front_end.json")).unwrap()).unwrap();
    for key in ["rate", "average", "channels", "classes", "frames"] {
        assert_eq!(beside[key], about[key], "{key}");
    }
    // others to validate on would tell nothing
    let other = [&TRAIN[..6], &["--only=2", "--out=test.safetensors"]].concat();
    place.succeed(&other);
    let output = place.command(&["train", "--config=run.toml", "--out=other", "--json"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && errors.contains("other settings"),
        "{errors}"
    );
}

#[test]
fn what_cannot_be_is_refused() {
    let place = Place::new();
    recordings(&place);
    for (options, says) in [
        (&["--leave-out=4"][..], "no recording is of subject \"4\""),
        (&["--average=0"], "1 to 128 samples"),
        (&["--turn=-1"], "0 to 180 degrees"),
        (&["--like=none.safetensors"], "cannot be used with"),
    ] {
        let made: Vec<_> = TRAIN.into_iter().filter(|o| *o != "--average=2").collect();
        let output = place.command(&[&made[..], options].concat());
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && errors.contains(says),
            "{errors}"
        );
    }
    assert!(!place.path("train.safetensors").exists());
}
