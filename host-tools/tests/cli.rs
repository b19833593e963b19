//! The `toeplite` command as other programs see it: JSON keys, exit codes, streams.
#![allow(missing_docs)]

mod common;

use common::{json, repository, small, toeplite};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

fn small_file(name: &str) -> String {
    small().join(name).to_str().unwrap().to_string()
}

/// Converts the small checkpoint into `folder`; the model's path and what was printed.
fn convert(folder: &Path) -> (String, Value) {
    let model = folder.join("model.toep").to_str().unwrap().to_string();
    let meta = folder.join("meta.rs");
    let out = toeplite(&[
        "convert",
        small().to_str().unwrap(),
        "-o",
        &model,
        "--meta",
        meta.to_str().unwrap(),
        "--json",
    ]);
    let printed = json(&out);
    let constants = std::fs::read_to_string(meta).unwrap();
    let memory = format!("MEMORY_BYTES: usize = {};", printed["memory_bytes"]);
    assert!(constants.contains(&memory), "{constants}");
    (model, printed)
}

#[test]
fn models_are_packed_for_the_core_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.toep");
    let model = model.to_str().unwrap();
    for (contract, weights, target, packed_for) in [
        ("f32", "int8", "m33", "Cortex-M4, M7, M33"),
        ("f32", "int4", "m4", "Cortex-M4, M7, M33"),
        ("f32", "int4", "m0", "portable"),
        ("fixed", "int4", "m0", "portable"),
    ] {
        let mut arguments = vec![
            "convert", "-o", model, "--order", "2", "--fir", "1", "--json",
        ];
        let small = small();
        arguments.push(small.to_str().unwrap());
        arguments.extend(["--contract", contract, "--weights", weights]);
        arguments.extend(["--target", target]);
        let converted = json(&toeplite(&arguments));
        let inspected = json(&toeplite(&["inspect", model, "--json"]));
        assert_eq!(inspected["weights"], weights);
        assert_eq!(inspected["contract"], contract);
        for printed in [converted, inspected] {
            assert_eq!(printed["packed_for"], packed_for);
        }
    }
}

/// Taps and states of a conversion's layers.
fn sizes(converted: &Value) -> Vec<u64> {
    let layers = converted["layers"].as_array().unwrap().iter();
    let size = |layer: &Value| layer["taps"].as_u64().unwrap() + layer["order"].as_u64().unwrap();
    layers.map(size).collect()
}

/// Layers get what they are worth: within the loss, as measured; within budgets, of which the last one cannot
/// be kept and the error names what can.
#[test]
fn states_and_bits_go_where_they_are_worth_most() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.toep");
    let small = small();
    let (model, small) = (model.to_str().unwrap(), small.to_str().unwrap());
    let text = format!("{small}/val.txt");
    let convert = |more: &[&str]| {
        let first = [
            "convert",
            small,
            "-o",
            model,
            "--json",
            "--calibrate",
            &text,
        ];
        toeplite(&[&first[..], more].concat())
    };
    let plain = json(&convert(&[]));
    let allocation = &plain["allocation"];
    let loss = allocation["divergence"].as_f64().unwrap() / allocation["entropy"].as_f64().unwrap();
    assert!(0.0 < loss && loss < 1e-4, "{loss}");
    assert_eq!(allocation["measured_on"]["source"], "text");
    assert!(sizes(&plain).iter().all(|size| *size <= 12), "{plain}");
    let lossy = json(&convert(&["--loss", "1"]));
    assert!(sizes(&lossy).iter().sum::<u64>() < sizes(&plain).iter().sum());

    let bytes = |made: &Value, key: &str| made[key].as_u64().unwrap();
    let (flash, ram) = (bytes(&plain, "blob_bytes"), bytes(&plain, "memory_bytes"));
    let budget = [(flash * 4 / 5).to_string(), (ram * 9 / 10).to_string()];
    let within = json(&convert(&[
        "--budget-flash",
        &budget[0],
        "--budget-ram",
        &budget[1],
    ]));
    assert!(bytes(&within, "blob_bytes") <= flash * 4 / 5);
    assert!(bytes(&within, "memory_bytes") <= ram * 9 / 10);
    let types = within["matrices"].as_array().unwrap().iter();
    let types: BTreeSet<_> = types.map(|m| m["dtype"].as_str().unwrap()).collect();
    assert_eq!(types, BTreeSet::from(["int4", "int8"]));
    let refused = convert(&["--budget-flash", "1000"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    let least = said
        .split_once("bytes of flash must be at least ")
        .and_then(|(_, rest)| rest.split(',').next())
        .unwrap_or_else(|| panic!("{said}"));
    let closest = json(&convert(&["--budget-flash", least]));
    assert!(bytes(&closest, "blob_bytes") <= least.parse().unwrap());
}

#[test]
fn int4_weights_are_calibrated() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.toep");
    let small = small();
    let (model, small) = (model.to_str().unwrap(), small.to_str().unwrap());
    let text = format!("{small}/val.txt");
    let convert = |more: &[&str]| {
        let first = ["convert", small, "-o", model, "--order", "2", "--fir", "1"];
        toeplite(&[&first[..], more].concat())
    };
    let int4 = |more: &[&str]| json(&convert(&[&["--json", "--weights", "int4"], more].concat()));
    for (printed, source) in [
        (int4(&["--calibrate", &text]), "text"),
        (int4(&[]), "sampled"),
    ] {
        let calibration = &printed["calibration"];
        assert_eq!(
            (&calibration["source"], &calibration["tokens"]),
            (&source.into(), &16_384.into())
        );
        let matrices = printed["matrices"].as_array().unwrap();
        assert_eq!(matrices.len(), 10);
        assert_eq!(
            (&matrices[0]["name"], &matrices[0]["dtype"]),
            (&"embed".into(), &"int4".into())
        );
        assert_eq!(
            matrices[2]["name"],
            "layers.0.token_mixer.u_proj, token_mixer.v_proj"
        );
        for matrix in matrices {
            assert!(matrix["weight_sqnr"].as_f64().unwrap() > 10.0, "{matrix}");
            assert!(matrix["output_sqnr"].as_f64().unwrap() > 10.0, "{matrix}");
        }
    }
    let int8 = json(&convert(&["--json"]));
    assert!(int8["calibration"].is_null() && int8["matrices"][0]["output_sqnr"].is_null());
    let refused = convert(&["--calibrate", &text]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("--calibrate has nothing to do here"),
        "{said}"
    );
    let refused = convert(&["--weights", "int4", "--calibrate", "/no/such/text"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && said.contains("/no/such/text"),
        "{said}"
    );
}

#[test]
fn interfaces_that_other_programs_rely_on() {
    let folder = tempfile::tempdir().unwrap();
    let (model, converted) = convert(folder.path());
    assert_eq!(
        converted["blob_bytes"],
        std::fs::metadata(&model).unwrap().len()
    );
    assert!(converted["seconds"].is_number());
    let layers = converted["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 2);
    for layer in layers {
        assert_eq!(layer["method"], "reduced");
        assert!(layer["taps"].as_u64().unwrap() <= 4 && layer["order"].as_u64().unwrap() <= 12);
        let error = &layer["kernel_error"];
        assert!(error["median"].as_f64().unwrap() <= error["max"].as_f64().unwrap());
    }

    let text = folder.path().join("text.txt");
    let validation = std::fs::read(small().join("val.txt")).unwrap();
    std::fs::write(&text, &validation[..1025]).unwrap();
    let (checkpoint, text) = (small(), text.to_str().unwrap().to_string());
    let checkpoint = checkpoint.to_str().unwrap();
    let compared = json(&toeplite(&[
        "compare", checkpoint, &model, "--text", &text, "--length", "256,1024", "--json",
    ]));
    for (row, length) in compared["lengths"]
        .as_array()
        .unwrap()
        .iter()
        .zip([256, 1024])
    {
        assert_eq!(row["length"], length);
        for form in ["fft", "recurrence", "blob"] {
            assert!(row["bits_per_byte"][form].as_f64().unwrap() > 1.0);
        }
        for form in ["recurrence", "blob"] {
            assert!(row["argmax_agreement"][form].as_f64().unwrap() > 0.9);
        }
    }
    assert!(compared["max_logit_error"].as_f64().unwrap() > 0.0);

    // eval's figure of the checkpoint is compare's
    let evaluated = json(&toeplite(&[
        "eval", checkpoint, "--text", &text, "--length", "256", "--json",
    ]));
    let bits = evaluated["lengths"][0]["bits_per_byte"].as_f64().unwrap();
    let fft = compared["lengths"][0]["bits_per_byte"]["fft"]
        .as_f64()
        .unwrap();
    assert!((bits - fft).abs() < 1e-5);

    let logits = folder.path().join("logits.safetensors");
    let golden = small().join("golden.safetensors");
    let arguments = [
        "--tokens",
        golden.to_str().unwrap(),
        "--logits",
        logits.to_str().unwrap(),
    ];
    assert!(
        toeplite(&[&["eval", checkpoint], &arguments[..]].concat())
            .status
            .success()
    );
    assert_eq!(difference(&logits, &golden), (700 * 256, true));

    let run = [
        "run", &model, "--prompt", "To be", "--tokens", "30", "--seed", "5",
    ];
    let streamed = toeplite(&run);
    assert_eq!(streamed.stdout.len(), "To be".len() + 30 + 1);
    assert_eq!(streamed.stdout, toeplite(&run).stdout);
}

/// How many logits two files have in common, and whether they agree within 2e-4.
fn difference(a: &Path, b: &Path) -> (usize, bool) {
    let read = |path: &Path| -> Vec<f32> {
        let bytes = std::fs::read(path).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        let data = file.tensor("logits").unwrap().data().to_vec();
        data.as_chunks::<4>()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b))
            .collect()
    };
    let (a, b) = (read(a), read(b));
    assert_eq!(a.len(), b.len());
    (a.len(), a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 2e-4))
}

#[test]
fn faults_have_an_exit_code_and_name_what_is_wrong_once() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = convert(folder.path());
    let fairseq = repository("tests/fixtures/fairseq-small/checkpoint.pt");
    let (fairseq, small) = (fairseq.to_str().unwrap().to_string(), small());
    let small = small.to_str().unwrap();
    let unwritable = folder
        .path()
        .join("absent/model.toep")
        .to_str()
        .unwrap()
        .to_string();
    let (empty, text) = (folder.path().join("empty"), small_file("val.txt"));
    std::fs::write(&empty, "").unwrap();
    let empty = empty.to_str().unwrap().to_string();
    let cases: [(&[&str], i32, &str); 22] = [
        (
            &["run", &text],
            1,
            "is not a converted model (.toep): toeplite convert",
        ),
        (&["run", &empty], 1, "is an empty file"),
        (&["inspect", &empty], 1, "is an empty file"),
        (
            &["convert", small, "-o", "x", "--tolerance", "-1"],
            2,
            "between 0 and 1",
        ),
        (
            &["convert", small, "-o", "x", "--order", "-1"],
            2,
            "0 or more",
        ),
        (
            &["convert", small, "-o", "x", "--fir", "-1"],
            2,
            "0 or more",
        ),
        (&["run", &model, "--tokens", "-1"], 2, "0 or more"),
        (&["run", &model, "--seed", "-1"], 2, "whole number from 0"),
        (
            &["compare", small, &model, "--text", &text, "--length", "-1"],
            2,
            "at least 1",
        ),
        (
            &["compare", small, &model],
            2,
            "  <--text <FILE>|--tokens <FILE>|--clips <PATH>>\n\n",
        ),
        (
            &["eval", small],
            2,
            "  <--stream <PATH>|--tokens <FILE>|--text <FILE>|--clips <PATH>>\n\n",
        ),
        (
            &[
                "convert",
                small,
                "-o",
                "x",
                "--method",
                "fir",
                "--tolerance",
                "0.1",
            ],
            1,
            "belongs to --method reduced",
        ),
        (
            &["compare", &fairseq, &model, "--text", &text],
            1,
            "layers 2 in the model, 1 in the checkpoint, channels 96 in the model, 64 in the checkpoint",
        ),
        (&["run", "absent.toep"], 1, "absent.toep"),
        (&["run", small], 1, "is a folder"),
        (
            &["convert", &model, "-o", "x.toep"],
            1,
            "is a converted model",
        ),
        (
            &["convert", small, "-o", &unwritable],
            1,
            "absent/model.toep",
        ),
        (&["eval", &fairseq, "--text", &model], 1, "992"),
        (
            &["compare", small, &model, "--tokens", "absent.safetensors"],
            1,
            "absent.safetensors",
        ),
        (
            &["convert", small, "-o", "x.toep", "--tolerance", "0"],
            2,
            "between 0 and 1",
        ),
        (
            &["eval", &model, "--text", "x", "--length", "0"],
            2,
            "at least 1",
        ),
        (&["run", &model, "--temperature", "-1"], 2, "0 or more"),
    ];
    for (arguments, code, says) in cases {
        let output = toeplite(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
        assert_eq!(error.matches(says).count(), 1, "{arguments:?}: {error}");
        assert!(output.stdout.is_empty());
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).unwrap().count(),
        3,
        "nothing is left behind"
    );
}

/// A checkpoint may be the only copy of days of training.
#[test]
fn no_output_replaces_an_input_or_another_output() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
    for name in ["config.json", "model.safetensors", "golden.safetensors"] {
        std::fs::copy(small().join(name), path(name)).unwrap();
    }
    let (copy, weights, golden) = (
        path("."),
        path("model.safetensors"),
        path("golden.safetensors"),
    );
    let (config, constants, same) = (path("config.json"), path("q.rs"), path("./q.rs"));
    let cases: [(&[&str], &str); 5] = [
        (&["convert", &copy, "-o", &weights], "-o"),
        (&["convert", &weights, "-o", &config], "-o"),
        (
            &["convert", &copy, "-o", &same, "--meta", &weights],
            "--meta",
        ),
        (
            &["convert", &copy, "-o", &constants, "--meta", &same],
            "-o and --meta name the same file",
        ),
        (
            &["eval", &copy, "--tokens", &golden, "--logits", &golden],
            "--logits",
        ),
    ];
    for (arguments, says) in cases {
        let output = toeplite(arguments);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {error}");
        assert!(
            error.starts_with(&format!("error: {says}")),
            "{arguments:?}: {error}"
        );
    }
    for name in ["config.json", "model.safetensors", "golden.safetensors"] {
        let (before, after) = (small().join(name), path(name));
        assert_eq!(
            std::fs::read(before).unwrap(),
            std::fs::read(after).unwrap()
        );
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// Of the same sizes, so that only the numbers can tell.
#[test]
fn a_model_of_another_checkpoint_is_doubted() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = convert(folder.path());
    let mut other = toeplite_tools::checkpoint::Checkpoint::open(&small()).unwrap();
    let head = other.tensors.get_mut("head.weight").unwrap();
    head.mapv_inplace(|x| -x);
    let path = folder.path().join("other");
    other.save(&path).unwrap();
    let text = folder.path().join("text.txt");
    let validation = std::fs::read(small_file("val.txt")).unwrap();
    std::fs::write(&text, &validation[..257]).unwrap();
    let text = text.to_str().unwrap();
    for (checkpoint, doubts) in [(path, 2), (small(), 0)] {
        let output = toeplite(&[
            "compare",
            checkpoint.to_str().unwrap(),
            &model,
            "--text",
            text,
            "--length",
            "64,256",
            "--json",
        ]);
        assert_eq!(json(&output)["warnings"].as_array().unwrap().len(), doubts);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            said.matches("was this model converted from this checkpoint?")
                .count(),
            doubts
        );
    }
}

#[test]
fn a_closed_pipe_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let (model, _) = convert(folder.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_toeplite"));
    command.args(["run", &model, "--tokens", "100000"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.stderr.is_empty());
}

#[test]
fn reference_cases_pass_or_exit_1() {
    let folder = repository("tests/fixtures/tno");
    let case = folder.join("tno_causal_n7_h1_decay_l1_relu.safetensors");
    let index = folder.join("index.json");
    let arguments = [
        "reference",
        "--case",
        case.to_str().unwrap(),
        "--index",
        index.to_str().unwrap(),
        "--json",
    ];
    assert_eq!(json(&toeplite(&arguments))["passed"], true);
    let strict = toeplite(&[&arguments[..], &["--tolerance", "0"]].concat());
    assert_eq!(strict.status.code(), Some(1));
}

#[test]
fn a_report_overwrites_nothing_and_its_text_belongs_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.toep");
    let (model, small) = (model.to_str().unwrap(), small());
    let base = ["convert", small.to_str().unwrap(), "-o", model];
    let weights = small_file("model.safetensors");
    let text = small_file("val.txt");
    for (more, code, says) in [
        (&["--report", model][..], 1, "name the same file"),
        (&["--report", &weights], 1, "would overwrite an input"),
        (
            &["--report", &text, "--report-text", &text],
            1,
            "would overwrite an input",
        ),
        (&["--report-text", &text], 2, "--report <FILE.html>"),
    ] {
        let refused = toeplite(&[&base, more].concat());
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(code), "{said}");
        assert!(said.contains(says), "{said}");
    }
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none());
}
