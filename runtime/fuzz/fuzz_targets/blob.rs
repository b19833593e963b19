//! Bytes as a model blob, with length and checksum made right so that the fuzzer gets past them:
//! an error, or a session that runs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use toeplite::format::{HEADER_BYTES, crc32, offset};
use toeplite::classifier::{self, Input};
use toeplite::{Model, fixed, window};

/// More than this a session is not given.
const MEMORY: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut words = vec![0u128; bytes.len().div_ceil(16)];
    let blob = &mut bytemuck::cast_slice_mut::<u128, u8>(&mut words)[..bytes.len()];
    blob.copy_from_slice(bytes);
    if blob.len() >= HEADER_BYTES {
        let length = (blob.len() as u32).to_le_bytes();
        blob[offset::LENGTH..][..4].copy_from_slice(&length);
        let crc = crc32(&blob[offset::TASK..]).to_le_bytes();
        blob[offset::CRC..][..4].copy_from_slice(&crc);
    }
    let mut memory = vec![0u128; MEMORY / 16];
    let memory = bytemuck::cast_slice_mut::<u128, u8>(&mut memory);
    // fields say which contract and which task; each type refuses the others' models
    if let Ok(model) = window::Model::from_bytes(blob) {
        let Ok(mut session) = model.session(memory) else {
            return;
        };
        let _ = session.self_test();
        let token = |i| i % model.vocab_size() as u32;
        let tokens: Vec<u32> = (0..model.window().min(4) as u32).map(token).collect();
        session.hash_run(&tokens).unwrap();
        return;
    }
    if let Ok(model) = classifier::window::Model::from_bytes(blob) {
        let Ok(mut session) = model.session(memory) else {
            return;
        };
        let _ = session.self_test();
        let positions = model.window().min(4);
        let logits = match model.input() {
            Input::Tokens { .. } => session.run(&vec![0u32; positions]),
            Input::Frames { numbers } => session.run_frames(&vec![1.0; positions * numbers]),
        };
        assert_eq!(logits.unwrap().len(), model.classes());
        return;
    }
    if let Ok(model) = classifier::Model::from_bytes(blob) {
        let Ok(mut session) = model.session(memory) else {
            return;
        };
        let _ = session.self_test();
        for i in 0..4 {
            match model.input() {
                Input::Tokens { vocabulary } => session.push(i % vocabulary as u32).unwrap(),
                Input::Frames { numbers } => session.push_frame(&vec![i as f32; numbers]).unwrap(),
            }
        }
        assert_eq!(session.logits().len(), model.classes());
        return;
    }
    if let Ok(model) = fixed::classifier::Model::from_bytes(blob) {
        let Ok(mut session) = model.session(memory) else {
            return;
        };
        let _ = session.self_test();
        for i in 0..4 {
            match model.input() {
                Input::Tokens { vocabulary } => session.push(i % vocabulary as u32).unwrap(),
                Input::Frames { numbers } => session.push_frame(&vec![1 << (i * 9); numbers]).unwrap(),
            }
        }
        assert_eq!(session.logits().len(), model.classes());
        return;
    }
    if let Ok(model) = fixed::Model::from_bytes(blob) {
        let Ok(mut session) = model.session(memory) else {
            return;
        };
        let _ = session.self_test();
        for token in 0..4 {
            session.step(token % model.vocab_size() as u32).unwrap();
        }
        return;
    }
    let Ok(model) = Model::from_bytes(blob) else {
        return;
    };
    let Ok(mut session) = model.session(memory) else {
        return;
    };
    let _ = session.self_test();
    for token in 0..4 {
        session.step(token % model.vocab_size() as u32).unwrap();
    }
});
