//! Firmware of real boards is compiled and linked: it fits their memories, and looks for a model where `toeplite image` puts it.
//! Needs what `cargo xtask setup --tests` installs; fails, saying so, without.
#![allow(missing_docs)]

use std::fs;
use std::path::PathBuf;
use toeplite_audio::Config;
use toeplite_tests::{bytes_config, checkpoint, layers_of, small_classifier_config, write_model};
use toeplite_tools::blob::{Blob, WeightType, write, write_fixed};
use toeplite_tools::checkpoint::config::{ClassifierConfig, Config as Network, Pooling};
use toeplite_tools::checkpoint::{Checkpoint, FrontEnd};
use toeplite_tools::convert::Modal;
use toeplite_tools::image::{BOARDS, Board, Flasher};
use xtask::model::Files;
use xtask::{elf, hardware, paths};

fn folder(name: &str) -> PathBuf {
    paths::output().join("tests/hardware").join(name)
}

fn converted(checkpoint: &Checkpoint, layers: &[Modal], contract: &str) -> Blob {
    match contract {
        "fixed" => write_fixed(checkpoint, layers, |_| WeightType::Int8).unwrap(),
        _ => write(checkpoint, layers, WeightType::Int8).unwrap(),
    }
}

/// A byte-level language model of a contract.
fn text(contract: &str) -> Files {
    let checkpoint = checkpoint(bytes_config(32), 1);
    let layers = layers_of(&checkpoint.config, 1);
    let blob = converted(&checkpoint, &layers, contract);
    let folder = folder(&format!("text-{contract}"));
    write_model(&folder, &blob, None).unwrap();
    Files::in_folder(&folder)
}

/// A classifier of the size that keywords take: 48 x 2, twelve classes.
fn keywords(contract: &str) -> Files {
    let names = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "_unknown_",
        "_silence_",
    ];
    let network = Network {
        dim: 48,
        glu_dim: 48,
        classifier: Some(ClassifierConfig {
            classes: names.len(),
            pooling: Pooling::Mean,
            frame_dim: Some(32),
        }),
        ..small_classifier_config(Some(32), Pooling::Mean)
    };
    let layers = layers_of(&network, 2);
    let blob = converted(&checkpoint(network, 2), &layers, contract);
    let front_end = FrontEnd {
        config: Config::speech(8000).with_agc(),
        integers: false,
        classes: names.map(String::from).to_vec(),
        frames: None,
        after: None,
    };
    let folder = folder(&format!("keywords-{contract}"));
    write_model(&folder, &blob, Some(&front_end)).unwrap();
    Files::in_folder(&folder)
}

#[test]
fn both_applications_link_for_every_board() {
    let real = BOARDS.iter().filter(|board| board.flasher != Flasher::Qemu);
    let mut boards = 0;
    for board in real {
        for (application, files) in [
            ("text", text(board.contract)),
            ("keyword", keywords(board.contract)),
        ] {
            let linked = hardware::build(board.name, application, &files).unwrap();
            let sizes = elf::sizes(&linked).unwrap();
            eprintln!(
                "{} {application}: {} bytes of flash, {} of RAM",
                board.name,
                sizes.flash(),
                sizes.ram
            );
            if board.flasher != Flasher::Espflash {
                let address = |symbol| elf::address(&linked, symbol).unwrap() as u32;
                let partition = board.partition;
                assert_eq!(address("_model_start"), partition.address);
                assert_eq!(address("_model_end"), partition.address + partition.size);
            }
        }
        boards += 1;
    }
    assert_eq!(boards, 6);
}

/// The chip that has a table of partitions, of which its firmware's build makes constants.
#[test]
fn the_table_of_partitions_has_the_models() {
    let is_it = |board: &&Board| board.flasher == Flasher::Espflash;
    let board = BOARDS.iter().find(is_it).unwrap();
    let path = hardware::folder().join(board.name);
    let table = fs::read_to_string(path.join("partitions.csv")).unwrap();
    let row = table.lines().find(|line| line.starts_with("model,"));
    let row: Vec<_> = row.unwrap().split(',').map(str::trim).collect();
    let number = |text: &str| u32::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap();
    let partition = board.partition;
    assert_eq!(
        [row[3], row[4]].map(number),
        [partition.address, partition.size]
    );
}
