//! Classifiers: of sounds, and of frames that another program made.

use super::{Place, assert_same, exists};
use hound::{SampleFormat, WavSpec, WavWriter};
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use std::fs;

/// Frames overlap: whoever makes them by default settings makes others.
const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    dim = 16
    layers = 1
    task = "classifier"
    classifier = { classes = 3, pooling = "last", frame_dim = 16 }
    [data]
    kind = "wav-folders"
    train = "sounds"
    valid = "valid"
    frame = 16
    hop = 8
    [train]
    steps = 60
    batch = 6
    length = 12
    device = "cpu"
    [optimiser]
    rate = 1e-2
    [schedule]
    warmup = 5
    [evaluation]
    every = 60
"#;

/// Tones: the class decides how high.
fn sounds(place: &Place, folder: &str, classes: &[&str], clips: usize, rate: u32) {
    for class in classes {
        let pitch = ["high", "low", "mid"].iter().position(|c| c == class);
        let step = [1.3f32, 0.2, 0.6][pitch.unwrap()];
        let path = place.path(folder).join(class);
        fs::create_dir_all(&path).unwrap();
        for clip in 0..clips {
            let spec = WavSpec {
                channels: 1,
                sample_rate: rate,
                bits_per_sample: 16,
                sample_format: SampleFormat::Int,
            };
            let mut file = WavWriter::create(path.join(format!("{clip}.wav")), spec).unwrap();
            for i in 0..120 {
                let x = (i as f32 * step + clip as f32).sin();
                file.write_sample((x * 12000.0) as i16).unwrap();
            }
            file.finalize().unwrap();
        }
    }
}

/// The diagonal of the confusion matrix, which comes from the logits, is the accuracy, which comes
/// with the loss.
fn assert_confusion(done: &Value) {
    let rows = done["confusion"].as_array().unwrap().iter().enumerate();
    let right: u64 = rows.map(|(i, row)| row[i].as_u64().unwrap()).sum();
    let share = right as f64 / done["tokens"].as_f64().unwrap();
    assert_eq!(done["accuracy"].as_f64().unwrap(), share, "{done}");
}

#[test]
fn sounds_are_judged_as_they_were_trained_on() {
    let place = Place::new();
    sounds(&place, "sounds", &["high", "low", "mid"], 8, 8000);
    sounds(&place, "valid", &["high", "low", "mid"], 3, 8000);
    sounds(&place, "some", &["low", "mid"], 4, 8000);
    sounds(&place, "fast", &["low"], 1, 16000);
    place.write("run.toml", RUN);
    place.succeed(&["train", "--config", "run.toml", "--json"]);
    let done = place.evaluate("run/best", "valid", &["--length", "12,6"]);
    assert_same(&done[0], &place.validation("run"));
    assert!(done[0]["accuracy"].as_f64().unwrap() > 0.6, "{}", done[0]);
    assert!(done[0]["bits_per_byte"].is_null());
    assert_eq!(
        (&done[1]["length"], &done[1]["tokens"]),
        (&6.into(), &9.into())
    );
    // Labels are those of training although the first class is missing here.
    let some = &place.evaluate("run/best", "some", &["--tokens", "40"])[0];
    let clips: Vec<_> = some["classes"].as_array().unwrap().iter().collect();
    assert_eq!(clips[0]["name"], "high");
    let counts = clips.iter().map(|c| c["clips"].as_u64().unwrap());
    assert!(counts.eq([0, 4, 4]));
    assert_confusion(some);
    let table = place.succeed(&["eval", "run/best", "--data", "some", "--device=cpu"]);
    assert!(
        table.contains("| low | 4 |") && table.contains("as mid"),
        "{table}"
    );

    place.copy_bare("run/best", "away/bare");
    let error =
        |checkpoint, data| place.fail(&["eval", checkpoint, "--data", data, "--device=cpu"]);
    assert!(error("away/bare", "valid").contains("--config run.toml"));
    let config = ["--config", "run/run.toml"];
    assert_same(&place.evaluate("away/bare", "valid", &config)[0], &done[0]);
    assert!(error("run/best", "fast").contains("8000: resample"));
    let kind = error("run/best", "run.toml");
    assert!(
        kind.contains("wav-folders") && kind.contains("class"),
        "{kind}"
    );
    let option = ["eval", "run/best", "--data", "valid", "--mask-token=1"];
    assert!(place.fail(&option).contains("masked language models"));
    // What was frozen is what counts, also where the run's own file is not this network's.
    fs::copy(place.path("run/run.toml"), place.path("away/bare/run.toml")).unwrap();
    let other = fs::read_to_string(place.path("away/bare/run.toml")).unwrap();
    place.write(
        "away/bare/run.toml",
        other.replace("layers = 1", "layers = 2"),
    );
    assert!(error("away/bare", "valid").contains("another network"));
}

#[test]
fn features_need_no_run_but_their_width_and_classes() {
    let place = Place::new();
    let frames = |width: usize, labels: [u8; 4]| {
        let numbers: Vec<u8> = (0..4 * 5 * width)
            .flat_map(|i| ((i * 7 % 11) as f32 / 11.0).to_le_bytes())
            .collect();
        let features = TensorView::new(Dtype::F32, vec![4, 5, width], &numbers).unwrap();
        let labels = TensorView::new(Dtype::U8, vec![4], &labels).unwrap();
        safetensors::serialize([("features", features), ("labels", labels)], None).unwrap()
    };
    place.write("train.safetensors", frames(16, [0, 1, 2, 1]));
    place.write("wide.safetensors", frames(8, [0, 1, 2, 1]));
    place.write("more.safetensors", frames(16, [0, 1, 3, 1]));
    let run = RUN
        .replace("wav-folders", "frames")
        .replace("\"last\"", "\"mean\"")
        .replace("\"sounds\"", "\"train.safetensors\"")
        .replace("\"valid\"", "\"train.safetensors\"");
    place.write("run.toml", run);
    // What does not fit leaves nothing behind.
    for (data, expected) in [
        ("data.train=wide.safetensors", "model.classifier.frame_dim"),
        ("data.train=more.safetensors", "model.classifier.classes"),
        ("model.gtu_norm=true", "gtu_norm"),
    ] {
        let error = place.fail(&["train", "--config", "run.toml", "--set", data]);
        assert!(error.contains(expected), "{error}");
        assert!(!exists(&place.path("run")), "{data}");
    }
    place.succeed(&[
        "train",
        "--config",
        "run.toml",
        "--set=train.steps=4",
        "--json",
    ]);
    place.copy_bare("run/best", "away/bare");
    let done = &place.evaluate("away/bare", "train.safetensors", &[])[0];
    assert_same(done, &place.validation("run"));
    assert_eq!(done["classes"][1]["clips"], 2);
    assert_confusion(done);
    let arguments = ["eval", "away/bare", "--device=cpu", "--data"];
    let wide = place.fail(&[&arguments[..], &["wide.safetensors"]].concat());
    assert!(wide.contains("frames of 8 numbers"), "{wide}");
    let text = place.fail(&[&arguments[..], &["run.toml"]].concat());
    assert!(text.contains("`labels` [clips]"), "{text}");
}
