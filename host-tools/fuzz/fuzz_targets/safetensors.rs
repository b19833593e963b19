//! `model.safetensors` of a fixed small network: whatever is accepted has exactly its tensors.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::path::Path;
use toeplite_tools::checkpoint::Checkpoint;

const CONFIG: &[u8] = include_bytes!("../seeds/config/small.json");

fuzz_target!(|model: &[u8]| {
    if let Ok(checkpoint) = Checkpoint::from_parts(CONFIG, model) {
        checkpoint.check(Path::new("fuzz")).unwrap();
    }
});
