//! Finds the model that goes into flash, and passes the linker scripts on.

use std::env;
use std::path::{Path, PathBuf};

/// How to make the files that are missing.
const HOW: &str = "convert a checkpoint first, in the repository's root:\n    \
    mkdir -p firmware-examples/text/model\n    \
    cargo run --release --bin toeplite -- convert firmware-examples/checkpoints/shakespeare-64x9 \
    -o firmware-examples/text/model/model.toep --weights int8 \
    --meta firmware-examples/text/model/model_meta.rs\n\
    (`cargo xtask demo` does it, too), or name another model by TOEPLITE_MODEL and TOEPLITE_META,\n\
    as absolute paths or paths from firmware-examples/text.";

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    let model = forward(&package, "TOEPLITE_MODEL", "model/model.toep");
    choose_contract(&model);
    forward(&package, "TOEPLITE_META", "model/model_meta.rs");
    println!("cargo:rerun-if-env-changed=TOEPLITE_ARGS");
    println!("cargo:rerun-if-changed=build.rs");

    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32") {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    if env::var_os("CARGO_FEATURE_DEFMT").is_some() {
        println!("cargo:rustc-link-arg-bins=-Tdefmt.x");
    }
}

/// Sets environment variable `name` to an absolute path for the compilation.
fn forward(package: &Path, name: &str, default: &str) -> PathBuf {
    let path = env::var_os(name).map_or_else(|| PathBuf::from(default), PathBuf::from);
    let path = package.join(path); // as it is, if absolute
    println!("cargo:rerun-if-env-changed={name}");
    println!("cargo:rerun-if-changed={}", path.display());
    if !path.is_file() {
        eprintln!("error: {name}: there is no file {}: {HOW}", path.display());
        std::process::exit(1);
    }
    println!("cargo:rustc-env={name}={}", path.display());
    path
}

/// Sets `cfg(contract = "...")` to the numeric contract that the header of `model` names, in bytes 6 and 7.
fn choose_contract(model: &Path) {
    println!("cargo:rustc-check-cfg=cfg(contract, values(\"f32\", \"fixed\"))");
    let bytes = std::fs::read(model).unwrap_or_default();
    let contract = match bytes.get(6..8) {
        Some([2, 0]) => "fixed",
        _ => "f32", // or a model that is refused when the program starts
    };
    println!("cargo:rustc-cfg=contract=\"{contract}\"");
}
