//! Native checkpoints: the repository's own, damaged and hostile ones.

use super::testing::{small_checkpoint, small_config};
use super::*;
use proptest::prelude::*;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use tempfile::TempDir;

fn repository(path: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(path)
}

/// A folder with a saved checkpoint and the checkpoint itself.
fn saved() -> (TempDir, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = small_checkpoint(small_config());
    checkpoint.save(dir.path()).unwrap();
    (dir, checkpoint)
}

/// Opens the folder after its model file has been changed.
fn after(edit: impl FnOnce(&mut Vec<u8>)) -> CheckpointError {
    let (dir, _) = saved();
    let model = dir.path().join("model.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    edit(&mut bytes);
    fs::write(&model, bytes).unwrap();
    let error = Checkpoint::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("model.safetensors"), "{error}");
    error
}

#[test]
fn bundled_checkpoints_load() {
    for (name, parameters, layers, dim, channels, stored) in [
        ("shakespeare-64x9", 390_336, 9, 64, 128, StoredType::F32),
        ("shakespeare-32x2", 45_728, 2, 32, 96, StoredType::F16),
    ] {
        let folder = repository("firmware-examples/checkpoints").join(name);
        let (checkpoint, origin) = Checkpoint::open_with_origin(&folder).unwrap();
        assert_eq!(checkpoint.parameters(), parameters);
        assert_eq!(
            (checkpoint.config.layers, checkpoint.config.dim),
            (layers, dim)
        );
        assert_eq!(origin.format, SourceFormat::Native);
        assert_eq!(origin.stored_types["embed.weight"], stored);
        assert_eq!(origin.stored_types["final_norm.bias"], StoredType::F32);
        let gamma = &checkpoint.tensors["layers.0.token_mixer.toep.gamma"];
        assert!(gamma.iter().all(|&g| g == 0.99) && gamma.shape() == [1, 1, channels]);
        // The model file itself will do, too.
        let by_file = Checkpoint::open(&folder.join("model.safetensors")).unwrap();
        assert_eq!(by_file, checkpoint);
    }
    let pt = repository("tests/fixtures/fairseq-small/checkpoint.pt");
    assert_eq!(Checkpoint::open(&pt).unwrap().parameters(), 44_304);
}

#[test]
fn saving_and_opening_gives_the_same_bits() {
    let (dir, checkpoint) = saved();
    assert_eq!(Checkpoint::open(dir.path()).unwrap(), checkpoint);
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["config.json", "model.safetensors"],
        "temporary files are left"
    );
    // Over an existing one, and from a foreign format.
    let pt = repository("tests/fixtures/fairseq-small/checkpoint.pt");
    let imported = Checkpoint::open(&pt).unwrap();
    imported.save(dir.path()).unwrap();
    assert_eq!(Checkpoint::open(dir.path()).unwrap(), imported);
    let parts = ["config.json", "model.safetensors"].map(|f| fs::read(dir.path().join(f)).unwrap());
    assert_eq!(
        Checkpoint::from_parts(&parts[0], &parts[1]).unwrap(),
        imported
    );
}

#[cfg(unix)]
#[test]
fn saved_files_are_as_readable_as_ordinary_ones() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, _) = saved();
    fs::write(dir.path().join("ordinary"), "").unwrap();
    let mode = |file| {
        fs::metadata(dir.path().join(file))
            .unwrap()
            .permissions()
            .mode()
    };
    assert_eq!(mode("model.safetensors"), mode("ordinary"));
}

#[test]
fn unfit_checkpoints_are_not_saved() {
    let dir = tempfile::tempdir().unwrap();
    let mut checkpoint = small_checkpoint(small_config());
    checkpoint.tensors.remove("final_norm.bias");
    let error = checkpoint.save(&dir.path().join("new")).unwrap_err();
    assert!(matches!(error, CheckpointError::Tensors { .. }), "{error}");
    assert!(!dir.path().join("new").exists());
}

#[test]
fn missing_extra_and_misshapen_tensors_are_one_error() {
    let (dir, mut checkpoint) = saved();
    let broken = tempfile::tempdir().unwrap();
    // A checkpoint of three layers, one of whose tensors lacks, and wider RPE.
    checkpoint.config.layers = 3;
    let mut wide = small_checkpoint(checkpoint.config);
    wide.save(broken.path()).unwrap();
    wide.config.layers = 2;
    wide.config.toeplitz.rpe_dim = 5;
    wide.config.toeplitz.rpe_layers = 2;
    fs::write(broken.path().join("config.json"), wide.config.to_json()).unwrap();
    let error = Checkpoint::open(broken.path()).unwrap_err();
    let CheckpointError::Tensors { problems, .. } = &error else {
        panic!("{error}");
    };
    let count = |kind: fn(&TensorProblem) -> bool| problems.0.iter().filter(|p| kind(p)).count();
    // Layer 2 is unknown: 4 norm parameters, 3 maps of the GLU, 3 of the GTU with a norm, gamma, and
    // the RPE's 10; a second hidden layer of the RPE is missing in both others; and all but the
    // output bias of the RPE is misshapen.
    assert_eq!(
        count(|p| matches!(p, TensorProblem::Extra { .. })),
        4 + 6 + 6 + 2 + 1 + 10
    );
    assert_eq!(count(|p| matches!(p, TensorProblem::Missing { .. })), 2 * 4);
    assert_eq!(count(|p| matches!(p, TensorProblem::Shape { .. })), 2 * 9);
    let text = error.to_string();
    for line in [
        "missing layers.1.token_mixer.toep.rpe.layers.1.2.weight: expected shape [5, 5]",
        "misshapen layers.0.token_mixer.toep.rpe.out.2.weight: expected [15, 5], found [15, 4]",
        "unknown layers.2.feature_norm.bias: shape [6]",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    drop(dir);
}

#[test]
fn damaged_model_files_are_named() {
    type Edit = fn(&mut Vec<u8>);
    let edits: [(&str, Edit); 8] = [
        ("empty", |b| b.clear()),
        ("truncated data", |b| b.truncate(b.len() - 1)),
        ("truncated header", |b| b.truncate(100)),
        ("trailing bytes", |b| b.push(0)),
        ("header length beyond the file", |b| {
            b[..8].copy_from_slice(&(1u64 << 30).to_le_bytes())
        }),
        ("header length near overflow", |b| {
            b[..8].copy_from_slice(&u64::MAX.to_le_bytes())
        }),
        ("offsets that overlap", |b| {
            replace(b, "\"data_offsets\":[168,", "\"data_offsets\":[100,")
        }),
        ("shape that does not fit its bytes", |b| {
            replace(b, "\"shape\":[7,6]", "\"shape\":[7,9]")
        }),
    ];
    for (what, edit) in edits {
        let error = after(edit);
        assert!(
            matches!(error, CheckpointError::Safetensors { .. }),
            "{what}: {error}"
        );
        assert!(
            error
                .to_string()
                .contains("truncated, copy or export it again")
        );
    }
}

fn replace(bytes: &mut [u8], from: &str, to: &str) {
    assert_eq!(from.len(), to.len());
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes());
    let at = at.unwrap_or_else(|| panic!("{from} is not in the header"));
    bytes[at..][..to.len()].copy_from_slice(to.as_bytes());
}

#[test]
fn integers_are_no_parameters() {
    let error = after(|bytes| replace(bytes, "{\"dtype\":\"F32\"", "{\"dtype\":\"I32\""));
    assert!(
        error
            .to_string()
            .contains("is stored as I32: expected f32, f16, bf16 or f64"),
        "{error}"
    );
}

#[test]
fn numbers_that_are_not_finite_are_found() {
    let mut checkpoint = small_checkpoint(small_config());
    let tensor = checkpoint
        .tensors
        .get_mut("layers.1.token_mixer.toep.gamma")
        .unwrap();
    (tensor[[1, 0, 2]], tensor[[4, 0, 0]]) = (f32::NEG_INFINITY, f32::NAN);
    let error = checkpoint.check(Path::new("here")).unwrap_err();
    let want = "here: tensor layers.1.token_mixer.toep.gamma is -inf at [1, 0, 2] (2 of its values are not finite)";
    assert!(error.to_string().starts_with(want), "{error}");
    // The same when a file is read: overwrite the last number of the data.
    let error = after(|bytes| {
        let last = bytes.len() - 4;
        bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    assert!(matches!(error, CheckpointError::NonFinite { count: 1, value, .. } if value.is_nan()));
}

#[test]
fn fixed_decays_outside_0_to_1_are_found_and_learned_ones_may_be_anything() {
    let name = "layers.1.token_mixer.toep.gamma";
    let mut config = small_config();
    (config.toeplitz.decay, config.toeplitz.learned_decay) = (true, false);
    let mut checkpoint = small_checkpoint(config);
    for (name, tensor) in &mut checkpoint.tensors {
        if name.ends_with("gamma") {
            tensor.fill(0.5);
        }
    }
    let here = Path::new("here");
    let mut with = |first: f32, second: f32| {
        let tensor = checkpoint.tensors.get_mut(name).unwrap();
        (tensor[[1, 0, 2]], tensor[[4, 0, 0]]) = (first, second);
        checkpoint.check(here)
    };
    with(0.0, 1.0).unwrap();
    let error = with(1.0 + f32::EPSILON, 2.0).unwrap_err().to_string();
    let want = "here: tensor layers.1.token_mixer.toep.gamma is 1.0000001 at [1, 0, 2] (2 of its values are not within 0 to 1)";
    assert!(error.starts_with(want), "{error}");
    let error = with(0.5, -0.01).unwrap_err();
    assert!(
        matches!(error, CheckpointError::Decay { count: 1, ref index, .. } if index == &[4, 0, 0])
    );
    // Before its sigmoid a learned decay has no bounds.
    checkpoint.config.toeplitz.decay = false;
    checkpoint.config.toeplitz.learned_decay = true;
    checkpoint.check(here).unwrap();
}

#[test]
fn other_things_are_not_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let error = Checkpoint::open(&dir.path().join("nowhere")).unwrap_err();
    assert!(
        matches!(error, CheckpointError::Io { action: "read", .. }),
        "{error}"
    );
    let error = Checkpoint::open(dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            CheckpointError::MissingFile {
                file: "config.json",
                ..
            }
        ),
        "{error}"
    );
    fs::write(dir.path().join("config.json"), small_config().to_json()).unwrap();
    let error = Checkpoint::open(dir.path()).unwrap_err();
    assert!(matches!(
        error,
        CheckpointError::MissingFile {
            file: "model.safetensors",
            ..
        }
    ));

    let file = dir.path().join("file");
    for (bytes, says) in [
        (&b""[..], "it is empty"),
        (
            b"MZ\x90\0 a program",
            "neither a zip archive nor a safetensors file",
        ),
        (b"{\"format\": 1}", "looks like JSON"),
    ] {
        fs::write(&file, bytes).unwrap();
        let error = Checkpoint::open(&file).unwrap_err();
        assert!(matches!(error, CheckpointError::NotACheckpoint { .. }));
        assert!(
            error.to_string().contains(says) && error.to_string().contains("fairseq"),
            "{error}"
        );
    }
    // torch's magic number, as torch before 1.6 starts its files.
    fs::write(&file, b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.").unwrap();
    let text = Checkpoint::open(&file).unwrap_err().to_string();
    assert!(
        text.contains("load it with a current torch and save it again"),
        "{text}"
    );
    // A huge "config.json" is not even read.
    fs::write(dir.path().join("model.safetensors"), "").unwrap();
    let config = fs::File::create(dir.path().join("config.json")).unwrap();
    config.set_len(1 << 40).unwrap();
    let error = Checkpoint::open(dir.path()).unwrap_err();
    assert!(matches!(error, CheckpointError::TooLarge { .. }), "{error}");
}

/// The two files of the small checkpoint.
static PARTS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| {
    let (dir, _) = saved();
    ["config.json", "model.safetensors"].map(|file| fs::read(dir.path().join(file)).unwrap())
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn mutated_files_give_errors_or_checkpoints(
        in_config in any::<bool>(),
        in_header in any::<bool>(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in prop::option::weighted(0.1, any::<prop::sample::Index>()),
    ) {
        let [mut config, mut model] = PARTS.clone();
        let target = if in_config { &mut config } else { &mut model };
        let len = if in_header { target.len().min(2000) } else { target.len() };
        for (at, byte) in edits {
            target[at.index(len)] = byte;
        }
        if let Some(cut) = cut {
            target.truncate(cut.index(len));
        }
        if let Ok(checkpoint) = Checkpoint::from_parts(&config, &model) {
            prop_assert!(checkpoint.check(Path::new("mutated")).is_ok());
        }
    }

    #[test]
    fn random_bytes_are_no_checkpoint(
        config in prop::collection::vec(any::<u8>(), 0..200),
        model in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        prop_assert!(Config::from_json(&config).is_err());
        prop_assert!(Checkpoint::from_parts(&PARTS[0], &model).is_err());
    }
}
