//! The fuzzers' seeds are valid, so that fuzzing starts inside the format.
#![allow(missing_docs)]

use std::path::Path;
use toeplite_tests::small_blob;
use toeplite_tools::blob::{Blob, SessionMemory, Storage, Target, WeightType};

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
        let path = folder.join(name);
        if std::env::var_os("WRITE_SEEDS").is_some() {
            small_blob(storage).write(&path).unwrap();
        }
        let blob = Blob::read(&path).expect("a model; WRITE_SEEDS=1 writes it anew");
        let model = blob.model().unwrap();
        let mut memory = SessionMemory::for_model(&model);
        let mut session = model.session(memory.as_mut_slice()).unwrap();
        assert_eq!(session.self_test(), Ok(()), "{name}");
    }
}
