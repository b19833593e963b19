//! Hands the board's memory map to the linker: what builds all boards that have a `memory.x`.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let map = fs::read_to_string("memory.x").expect("memory.x of the board is read");
    fs::write(out.join("memory.x"), &map).expect("memory.x of the board is copied");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rerun-if-changed=memory.x");
    // the HAL's, for chips whose boot ROM wants a second stage
    let second_stage = map.contains("BOOT2").then_some("-Tlink-rp.x");
    let scripts = ["--nmagic", "-Tlink.x", "-Tdefmt.x"];
    for script in scripts.into_iter().chain(second_stage) {
        println!("cargo:rustc-link-arg-bins={script}");
    }
}
