//! Finds the model that goes into flash and its front end, and passes the linker scripts on.

use std::env;
use std::path::{Path, PathBuf};
use std::process::exit;

/// How to make the files that are missing.
const HOW: &str = "convert a checkpoint first, in the repository's root:\n    \
    mkdir -p firmware-examples/keyword/model\n    \
    cargo run --release --bin toeplite -- convert CHECKPOINT [--contract fixed for cores without an FPU] \
    -o firmware-examples/keyword/model/model.toep --meta firmware-examples/keyword/model/model_meta.rs\n\
    (`cargo xtask listen` does it, too), or name another model by TOEPLITE_MODEL and TOEPLITE_META,\n\
    as absolute paths or paths from firmware-examples/keyword.";

fn main() {
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    forward(&package, "TOEPLITE_MODEL", "model/model.toep");
    check_meta(&forward(&package, "TOEPLITE_META", "model/model_meta.rs"));
    println!("cargo:rerun-if-env-changed=TOEPLITE_ARGS");
    println!("cargo:rerun-if-changed=build.rs");

    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32") {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
}

/// Sets environment variable `name` to an absolute path for the compilation.
fn forward(package: &Path, name: &str, default: &str) -> PathBuf {
    let path = env::var_os(name).map_or_else(|| PathBuf::from(default), PathBuf::from);
    let path = package.join(path); // as it is, if absolute
    println!("cargo:rerun-if-env-changed={name}");
    println!("cargo:rerun-if-changed={}", path.display());
    if !path.is_file() {
        eprintln!("error: {name}: there is no file {}: {HOW}", path.display());
        exit(1);
    }
    println!("cargo:rustc-env={name}={}", path.display());
    path
}

/// Without the front end of the training, nothing that the model hears would make sense.
fn check_meta(meta: &Path) {
    let source = std::fs::read_to_string(meta).unwrap_or_default();
    if !source.contains("pub mod front_end") {
        eprintln!(
            "error: {} has no audio front end: the checkpoint was converted without the file front_end.json beside it, \
             which has the settings of `toeplite-train data features` that its training data were made by",
            meta.display()
        );
        exit(1);
    }
}
