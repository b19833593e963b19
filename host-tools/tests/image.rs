//! `toeplite image` as people and programs see it: files, JSON, refusals.
#![allow(missing_docs)]

mod common;

use common::{json, small, toeplite};
use ihex::{Reader, Record};
use std::path::Path;
use toeplite::image::Image;
use toeplite_tools::blob::Blob;

/// Converts the small checkpoint into `folder`.
fn model(folder: &Path, options: &[&str]) -> String {
    let model = folder.join("model.toep").to_str().unwrap().to_string();
    let small = small();
    let mut arguments = vec!["convert", small.to_str().unwrap(), "-o", &model];
    arguments.extend(["--order", "2", "--fir", "1"]);
    arguments.extend(options);
    assert!(toeplite(&arguments).status.success());
    model
}

/// What it says when it refuses.
fn refused(arguments: &[&str]) -> String {
    let output = toeplite(&[&["image"], arguments].concat());
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_file_holds_the_model_where_the_board_looks_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), &[]);
    let printed = json(&toeplite(&[
        "image",
        &model,
        "--board",
        "nrf52840-dk",
        "--json",
    ]));
    let file = folder.path().join("model.hex");
    assert_eq!(printed["file"], file.to_str().unwrap());
    assert_eq!(printed["address"], 0x8_0000);
    assert_eq!(printed["format"], "hex");
    assert_eq!(printed["features"], serde_json::json!([]));
    let command = printed["command"].as_str().unwrap();
    assert!(
        command.starts_with("probe-rs download --chip nRF52840_xxAA"),
        "{command}"
    );

    let text = std::fs::read_to_string(file).unwrap();
    let mut bytes = Vec::new();
    for record in Reader::new(&text) {
        match record.unwrap() {
            Record::ExtendedLinearAddress(upper) => assert_eq!(upper, 8),
            Record::Data { value, .. } => bytes.extend(value),
            Record::EndOfFile => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(printed["image_bytes"], bytes.len());
    let bytes = Blob::from_bytes(&bytes);
    let image = Image::from_bytes(bytes.bytes()).unwrap();
    assert_eq!(image.model(), std::fs::read(&model).unwrap());

    // the output's name says which format, and another board where
    let uf2 = folder.path().join("m.UF2");
    let uf2 = uf2.to_str().unwrap();
    let printed = json(&toeplite(&[
        "image", &model, "--board", "pico-2", "-o", uf2, "--json",
    ]));
    assert_eq!(printed["format"], "uf2");
    let bin = folder.path().join("m.bin");
    let bin = bin.to_str().unwrap();
    let place = ["--address", "0x1000", "--size", "64K"];
    let own = [&["image", &model, "-o", bin, "--json"], &place[..]].concat();
    let printed = json(&toeplite(&own));
    assert_eq!(printed["board"], serde_json::Value::Null);
    assert_eq!(std::fs::read(bin).unwrap(), bytes.bytes());
}

#[test]
fn the_firmware_that_the_model_needs_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), &["--weights", "int4"]);
    let arguments = ["image", &model, "--board", "nrf52840-dk"];
    let printed = json(&toeplite(&[&arguments[..], &["--json"]].concat()));
    assert_eq!(printed["features"], serde_json::json!(["int4"]));
    let text = String::from_utf8(toeplite(&arguments).stdout).unwrap();
    assert!(text.contains("--features int4"), "{text}");
}

#[test]
fn refusals_say_what_to_do_and_write_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(folder.path(), &["--target", "m4"]);
    let error = refused(&[&model, "--board", "nrf"]);
    assert!(error.contains("nrf52840-dk, nucleo-l4r5zi"), "{error}");
    let error = refused(&[&model, "--board", "pico"]);
    assert!(error.contains("--contract fixed"), "{error}");
    let error = refused(&[&model, "--board", "mps3-an547"]);
    assert!(error.contains("--target m55"), "{error}");
    let error = refused(&[&model, "--address", "0", "--size", "1000"]);
    assert!(
        error.contains("more than the partition of 1000 bytes"),
        "{error}"
    );
    let error = refused(&[&model, "--board", "pico-2", "--classes", "a,b"]);
    assert!(error.contains("no classifier"), "{error}");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a model").unwrap();
    let error = refused(&[text.to_str().unwrap(), "--board", "pico-2"]);
    assert!(error.contains("notes.txt"), "{error}");
    let files = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(files, 2, "something was written");
}
