//! The fuzzers' seeds are valid, so that fuzzing starts inside the format.
#![allow(missing_docs)]

use std::fs;
use std::path::Path;
use toeplite::image::{Image, kind};
use toeplite_audio::Config;
use toeplite_audio::stored::Stored;
use toeplite_tests::{
    CLASSES, small_blob, small_classifier_blob, small_fixed_blob, small_fixed_classifier_blob,
    small_window_blob, small_window_classifier_blob,
};
use toeplite_tools::blob::{Blob, Storage, Target, WeightType};
use toeplite_tools::checkpoint::FrontEnd;
use toeplite_tools::checkpoint::config::Pooling;
use toeplite_tools::image::{self, Beside};

#[test]
fn the_seeds_of_the_blob_target_are_models() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/fuzz/seeds/blob");
    for (name, weights, target) in [
        ("f32.toep", WeightType::F32, Target::Portable),
        ("int8.toep", WeightType::Int8, Target::Portable),
        ("int8-m4.toep", WeightType::Int8, Target::M4),
        ("int4.toep", WeightType::Int4, Target::Portable),
        ("int4-m4.toep", WeightType::Int4, Target::M4),
    ] {
        let storage = Storage { weights, target };
        check(&folder.join(name), || small_blob(storage));
    }
    for (name, weights) in [
        ("window-f32.toep", WeightType::F32),
        ("window-int8.toep", WeightType::Int8),
    ] {
        check(&folder.join(name), || small_window_blob(weights));
    }
    for (name, frame_dim, pooling, weights) in [
        ("classifier-f32.toep", None, Pooling::Last, WeightType::F32),
        (
            "classifier-frames-f32.toep",
            Some(7),
            Pooling::Mean,
            WeightType::F32,
        ),
        (
            "classifier-frames-int8.toep",
            Some(7),
            Pooling::Mean,
            WeightType::Int8,
        ),
    ] {
        let seed = || small_classifier_blob(frame_dim, pooling, weights);
        check(&folder.join(name), seed);
    }
    check(&folder.join("classifier-frames-fixed.toep"), || {
        small_fixed_classifier_blob(Some(7), Pooling::Mean, WeightType::Int8)
    });
    check(&folder.join("window-classifier-int8.toep"), || {
        small_window_classifier_blob(Some(7), Pooling::Mean, WeightType::Int8)
    });
    for (name, weights) in [
        ("fixed-int8.toep", WeightType::Int8),
        ("fixed-int4.toep", WeightType::Int4),
    ] {
        check(&folder.join(name), || small_fixed_blob(weights));
    }
}

#[test]
fn the_seeds_of_the_image_target_are_images() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/fuzz/seeds/image");
    let config = Config::speech(8000)
        .with_frames(64, 64)
        .with_bands(7, 300, 4000)
        .with_agc();
    for (name, integers) in [("floats.bin", false), ("integers.bin", true)] {
        let path = folder.join(name);
        if std::env::var_os("WRITE_SEEDS").is_some() {
            // the front end has the arithmetic of the model
            let blob = match integers {
                true => small_fixed_classifier_blob(Some(7), Pooling::Mean, WeightType::Int8),
                false => small_classifier_blob(Some(7), Pooling::Mean, WeightType::Int8),
            };
            let classes = (0..CLASSES).map(|i| format!("class {i}"));
            let front_end = FrontEnd {
                config,
                integers: false,
                classes: classes.collect(),
                frames: None,
                after: None,
            };
            let beside = Beside::FrontEnd(front_end);
            let image = image::Image::new(&blob, &blob.any().unwrap(), &beside).unwrap();
            fs::create_dir_all(&folder).unwrap();
            fs::write(&path, image.bytes()).unwrap();
        }
        let bytes = fs::read(&path).expect("an image; WRITE_SEEDS=1 writes it anew");
        // at a multiple of 16
        let aligned = Blob::from_bytes(&bytes);
        let image = Image::from_bytes(aligned.bytes()).unwrap();
        assert_eq!(image.classes().unwrap().count(), CLASSES);
        let stored = Stored::from_bytes(image.section(kind::FRONT_END).unwrap()).unwrap();
        assert_eq!((stored.config(), stored.integers()), (config, integers));
    }
}

fn check(path: &Path, seed: impl Fn() -> Blob) {
    if std::env::var_os("WRITE_SEEDS").is_some() {
        seed().write(path).unwrap();
    }
    let blob = Blob::read(path).expect("a model; WRITE_SEEDS=1 writes it anew");
    let tested = blob.any().unwrap().self_test();
    assert_eq!(tested, Ok(()), "{}", path.display());
}
