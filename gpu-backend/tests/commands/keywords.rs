//! Words: data from recordings, training that changes them anew each time, evaluation of clips and of streams.

use super::Place;
use hound::{SampleFormat, WavSpec, WavWriter};
use serde_json::Value;
use std::fs;

const RUN: &str = r#"
    [model]
    dim = 8
    layers = 1
    expand_ratio = 1
    glu_dim = 8
    toeplitz.rpe_dim = 4
    task = "classifier"
    causal = true
    classifier = { classes = 4, pooling = "mean", frame_dim = 12 }
    [data]
    kind = "wav-features"
    train = "data/train"
    valid = "data/valid"
    features = { bands = 12, frame = 256, hop = 256, after = 0.02 }
    [data.augment]
    shift = 1
    gain = 6
    speed = 0.1
    tone = 0.3
    noise = 0.5
    noise_snr = [10, 30]
    babble = 0.5
    babble_snr = [10, 30]
    time_mask = 2
    band_mask = 2
    masks = 1
    [train]
    steps = 8
    batch = 8
    length = 10
    device = "cpu"
    [checkpoints]
    every = 4
"#;

/// Writes a tone.
pub fn sound(place: &Place, name: &str, samples: usize, step: f32) {
    let path = place.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let spec = WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut file = WavWriter::create(path, spec).unwrap();
    for i in 0..samples {
        file.write_sample(((i as f32 * step).sin() * 9000.0) as i16)
            .unwrap();
    }
    file.finalize().unwrap();
}

fn place() -> Place {
    let place = Place::new();
    for index in 0..12 {
        for speaker in ["ann", "bob"] {
            sound(
                &place,
                &format!("words/high_{speaker}_{index}.wav"),
                1500 + index,
                1.3,
            );
            sound(
                &place,
                &format!("words/low_{speaker}_{index}.wav"),
                1700 + index,
                0.2,
            );
        }
        sound(&place, &format!("speech/{index}.wav"), 9000, 0.6);
    }
    let make = "data make keywords --source=words --negatives=speech --out=data --leave-out=bob";
    place.succeed(&make.split(' ').collect::<Vec<_>>());
    place.write("run.toml", RUN);
    place
}

#[test]
fn words_are_learnt_the_same_after_an_interruption_and_heard_in_streams() {
    let place = place();
    let train = |arguments: &str| {
        place.succeed(&arguments.split(' ').collect::<Vec<_>>());
    };
    train("train --config run.toml --out whole --json");
    train("train --config run.toml --out cut --json");
    fs::remove_dir_all(place.path("cut/checkpoint-8")).unwrap();
    fs::remove_file(place.path("cut/best")).unwrap();
    train("train --resume cut --json");
    let model =
        |run: &str| fs::read(place.path(run).join("checkpoint-8/model.safetensors")).unwrap();
    assert_eq!(model("whole"), model("cut"));

    let text = place.succeed(&[
        "eval",
        "whole/best",
        "--data=data/test",
        "--json",
        "--device=cpu",
    ]);
    let result: Value = serde_json::from_str(&text).unwrap();
    let speakers = result["speakers"].as_array().unwrap();
    let bob = speakers.iter().find(|s| s["name"] == "bob").unwrap();
    assert_eq!(bob["clips"], 24);
    assert_eq!(result["classes"][0]["name"], "high");
    assert_eq!(
        result["words"]["clips"], 24,
        "silence and other speech are no words"
    );
    let front_end = fs::read(place.path("whole/best/front_end.json")).unwrap();
    let front_end: Value = serde_json::from_slice(&front_end).unwrap();
    assert_eq!(front_end["after"], 0.02, "eval of the model needs it");

    let stream = [
        "eval",
        "whole/best",
        "--stream=data/streams/test",
        "--thresholds=0.01,1",
        "--sure=0.5",
        "--share=0.1",
        "--device=cpu",
    ];
    let text = place.succeed(&[&stream[..], &["--json", "--every=1"]].concat());
    let rows: Vec<Value> = text
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!((rows.len(), rows[0]["words"].as_u64()), (2, Some(24)));
    // five of twelve recordings of 9000 samples and pauses
    let seconds = rows[0]["hours"].as_f64().unwrap() * 3600.0;
    assert!((4.0..12.0).contains(&seconds), "{seconds}");
    let events = |row: &Value| ["hits", "wrong", "false_accepts"].map(|k| row[k].as_u64().unwrap());
    assert!(events(&rows[0]).iter().sum::<u64>() > 0);
    assert_eq!(events(&rows[1]), [0; 3]);
    let table = place.succeed(&[&stream[..], &["--posteriors=p.csv"]].concat());
    assert_eq!(table.lines().count(), 4);
    let csv = fs::read_to_string(place.path("p.csv")).unwrap();
    assert!(csv.starts_with("recording,seconds,high,low,silence,unknown\n"));
    let unused = place.fail(&["eval", "whole/best", "--data=data/test", "--every=2"]);
    assert!(
        unused.contains("--every is for long recordings"),
        "{unused}"
    );

    place.write("data/streams/test/words.txt", "0.5\t0.6\tloud\n");
    let error = place.fail(&stream);
    assert!(
        error.contains("line 1") && error.contains("high, low"),
        "{error}"
    );
}

#[test]
fn streams_are_learnt_at_every_frame_and_another_run_begins_with_what_was_learnt() {
    let place = place();
    let listening = RUN
        .replace("\"mean\"", "\"last\"")
        .replace("length = 10", "length = 25\n    gamma = 0.9")
        .replace(
            "[data.augment]",
            "[data.streams]\n    pause = [0.0, 0.2]\n    [data.augment]\n    tempo = 0.2",
        );
    place.write("run.toml", &listening);
    let train = |arguments: &str| {
        let text = place.succeed(&arguments.split(' ').collect::<Vec<_>>());
        serde_json::from_str::<Value>(&text).unwrap()
    };
    let first = train(
        "train --config run.toml --out first --json --set train.steps=150 --set optimiser.rate=0.02",
    );
    let best = |outcome: &Value| outcome["best_loss"].as_f64().unwrap();
    assert!(best(&first) < 0.8, "{first}");
    // as good after a step that changes next to nothing
    let second = train(
        "train --config run.toml --out second --json --set train.from=first/best --set train.steps=1 --set optimiser.rate=1e-9 --set schedule.warmup=1",
    );
    assert!(
        (best(&second) / best(&first) - 1.0).abs() < 1e-3,
        "{first} {second}"
    );
    // words of one's own: another number of classes needs another head, and the rest is kept
    let others = place.path("others");
    for part in ["train", "valid"] {
        for class in ["high", "low", "unknown"] {
            let (from, to) = (
                place.path("data").join(part).join(class),
                others.join(part).join(class),
            );
            fs::create_dir_all(&to).unwrap();
            for file in fs::read_dir(from).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), to.join(file.file_name())).unwrap();
            }
        }
    }
    train(
        "train --config run.toml --out own --json --set train.from=first/best --set train.steps=1 --set optimiser.rate=1e-9 --set model.classifier.classes=3 --set data.train=others/train --set data.valid=others/valid",
    );
    let tensor = |run: &str, name: &str| {
        let bytes = fs::read(place.path(run).join("best/model.safetensors")).unwrap();
        let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        tensors.tensor(name).unwrap().data().to_vec()
    };
    assert_eq!(
        tensor("own", "frames.weight").len(),
        tensor("first", "frames.weight").len()
    );
    assert_eq!(
        tensor("own", "head.weight").len() * 4,
        tensor("first", "head.weight").len() * 3
    );
    fs::rename(place.path("first"), place.path("elsewhere")).unwrap();
    train("train --resume second --json --set train.steps=2");
    let error = place.fail(&[
        "train",
        "--config=run.toml",
        "--out=third",
        "--set=train.from=first/best",
    ]);
    assert!(error.contains("first/best"), "{error}");
    fs::rename(place.path("elsewhere"), place.path("first")).unwrap();
    for (setting, expected) in [
        ("model.glu_dim=12", "model.glu_dim = 8 there, 12 here"),
        ("data.features.integers=true", "data.features"),
    ] {
        let error = place.fail(&[
            "train",
            "--config=run.toml",
            "--out=third",
            "--set=train.from=first/best",
            "--set",
            setting,
        ]);
        assert!(
            error.contains("train.from") && error.contains(expected),
            "{error}"
        );
    }
    place.write("run.toml", listening.replace("\"last\"", "\"mean\""));
    let error = place.fail(&["train", "--config=run.toml", "--out=third"]);
    assert!(
        error.contains("data.streams") && error.contains("pooling"),
        "{error}"
    );
}
