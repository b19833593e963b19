//! Hands the chosen board's memory map to the linker.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// Features that are boards, each with a folder of the same name.
const BOARDS: [&str; 6] = [
    "mps2-an386",
    "mps2-an500",
    "mps3-an547",
    "lm3s6965evb",
    "microbit",
    "virt-rv32",
];

fn main() {
    let chosen: Vec<_> = BOARDS.into_iter().filter(|board| feature(board)).collect();
    // With none or several, `lib.rs` stops the build with a message.
    if let [board] = chosen[..] {
        let folder = Path::new(&env::var("CARGO_MANIFEST_DIR").expect("set by cargo")).join(board);
        let map = folder.join("memory.x");
        let out = PathBuf::from(env::var("OUT_DIR").expect("set by cargo"));
        fs::copy(&map, out.join("memory.x")).expect("memory.x of the board is copied");
        println!("cargo:rustc-link-search={}", out.display());
        println!("cargo:rerun-if-changed={}", map.display());
    }
    // For the crate's own examples; an application's build script says the same for itself.
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32") {
        println!("cargo:rustc-link-arg-examples=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-examples=-Tlink.x");
    println!("cargo:rerun-if-changed=build.rs");
}

fn feature(name: &str) -> bool {
    let name = name.replace('-', "_").to_uppercase();
    env::var_os(format!("CARGO_FEATURE_{name}")).is_some()
}
