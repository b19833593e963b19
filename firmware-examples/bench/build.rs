//! Passes the linker scripts on, and to the binaries `token` and `window` which model goes into flash.

use std::env;
use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if env::var("CARGO_CFG_TARGET_ARCH").is_ok_and(|arch| arch == "riscv32") {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    let with_model = ["CARGO_FEATURE_TOKEN", "CARGO_FEATURE_WINDOW"];
    if with_model
        .iter()
        .any(|feature| env::var_os(feature).is_some())
    {
        let model = forward("TOEPLITE_MODEL");
        choose_contract(&model);
        forward("TOEPLITE_META");
    }
}

/// Sets an environment variable that names a file for the compilation, too.
fn forward(name: &str) -> String {
    println!("cargo:rerun-if-env-changed={name}");
    let path = env::var(name).unwrap_or_default();
    if !Path::new(&path).is_absolute() || !Path::new(&path).is_file() {
        eprintln!(
            "error: {name} must be the absolute path of a file; `cargo xtask bench --model model.toep` \
             sets it"
        );
        std::process::exit(1);
    }
    println!("cargo:rerun-if-changed={path}");
    println!("cargo:rustc-env={name}={path}");
    path
}

/// Sets `cfg(contract = "...")` to the numeric contract that the header of `model` names, in bytes 6 and 7.
fn choose_contract(model: &str) {
    println!("cargo:rustc-check-cfg=cfg(contract, values(\"f32\", \"fixed\"))");
    let bytes = std::fs::read(model).unwrap_or_default();
    let contract = match bytes.get(6..8) {
        Some([2, 0]) => "fixed",
        _ => "f32", // or a model that is refused when the program starts
    };
    println!("cargo:rustc-cfg=contract=\"{contract}\"");
}
