//! Runs that are interrupted and gone on with.

use super::{Place, exists};
use serde_json::Value;
use std::fs;

const RUN: &str = r#"
    [model]
    preset = "shakespeare-32x2"
    dim = 16
    [data]
    kind = "text-bytes"
    train = "train.txt"
    valid = "valid.txt"
    [train]
    steps = 12
    batch = 4
    micro_batches = 2
    length = 24
    dropout = 0.1
    log_every = 3
    seed = 7
    device = "cpu"
    [optimiser]
    rate = 1e-2
    [schedule]
    kind = "constant"
    warmup = 4
    [evaluation]
    every = 6
    [checkpoints]
    every = 4
"#;

fn place() -> Place {
    let place = Place::new();
    let text = "to be, or not to be, that is the question: ".repeat(40);
    place.write("train.txt", &text);
    place.write("valid.txt", &text[..300]);
    place.write("run.toml", RUN);
    place
}

#[test]
fn resume_that_fails_leaves_the_run_as_it_was() {
    let place = place();
    let frozen = |place: &Place| fs::read_to_string(place.path("run/run.toml")).unwrap();
    place.succeed(&[
        "train",
        "--config",
        "run.toml",
        "--set=train.steps=2",
        "--json",
    ]);
    let before = frozen(&place);
    for (arguments, expected) in [
        (["--set", "data.train=/nope"], "/nope"),
        (["--set", "train.device=cuda:99"], "cuda"),
        (["--device", "cuda:99"], "cuda"),
    ] {
        let resume = ["train", "--resume", "run", "--set", "train.steps=4"];
        let error = place.fail(&[&resume[..], &arguments].concat());
        assert!(error.to_lowercase().contains(expected), "{error}");
        assert_eq!(frozen(&place), before);
        place.succeed(&["train", "--resume", "run", "--json"]);
    }
    // What works is kept, but for the device, which is the command's.
    let resume = ["train", "--resume", "run", "--json"];
    place.succeed(&[&resume[..], &["--set=train.steps=3", "--device=auto"]].concat());
    assert_eq!(frozen(&place), before.replace("steps = 2", "steps = 3"));
    assert!(exists(&place.path("run/checkpoint-3")));
}
