//! Whole `.pt` files: whatever is accepted is a consistent checkpoint.

#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use std::path::Path;
use toeplite_tools::checkpoint::fairseq;

fuzz_target!(|bytes: &[u8]| {
    let path = Path::new("fuzz");
    if let Ok((checkpoint, _)) = fairseq::read(Cursor::new(bytes), path) {
        checkpoint.check(path).unwrap();
    }
});
