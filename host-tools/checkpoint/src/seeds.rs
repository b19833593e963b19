//! Seeds of the fuzz targets: small checkpoints in every format.

use super::testing::{small_checkpoint, small_fairseq_config};
use super::{Checkpoint, Config, StoredType, fairseq};
use fairseq::writer::{PtFile, small_options};
use std::fs;
use std::path::{Path, PathBuf};

fn seed(name: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds")).join(name)
}

fn small() -> Checkpoint {
    let mut config = small_fairseq_config();
    (config.vocab_size, config.layers) = (2, 1);
    small_checkpoint(config)
}

/// A seed that is refused would leave its target at the door.
#[test]
fn seeds_are_valid() {
    let config = fs::read(seed("config/small.json")).unwrap();
    assert_eq!(Config::from_json(&config).unwrap(), small().config);
    let model = fs::read(seed("safetensors/small.safetensors")).unwrap();
    assert_eq!(Checkpoint::from_parts(&config, &model).unwrap(), small());
    let pt = Checkpoint::open(&seed("fairseq/small.pt")).unwrap();
    assert_eq!(pt, small());
    fairseq::pickle::parse(&fs::read(seed("pickle/fairseq.pkl")).unwrap()).unwrap();
}

/// Run with `--ignored` after a change of format.
#[test]
#[ignore = "writes into the source tree"]
fn write_seeds() {
    let dir = tempfile::tempdir().unwrap();
    small().save(dir.path()).unwrap();
    for (file, name) in [
        ("config.json", "config/small.json"),
        ("model.safetensors", "safetensors/small.safetensors"),
    ] {
        fs::copy(dir.path().join(file), seed(name)).unwrap();
    }
    let options = small_options(small().config.layers);
    let file = PtFile::new(&small(), StoredType::F16, options.clone());
    fs::write(seed("pickle/fairseq.pkl"), file.contents().pickle()).unwrap();
    let file = PtFile::new(&small(), StoredType::F32, options);
    fs::write(seed("fairseq/small.pt"), file.bytes()).unwrap();
}
