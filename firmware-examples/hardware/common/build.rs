//! Finds the model that the firmware is built with.

use std::env;
use std::path::{Path, PathBuf};
use std::process::exit;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=TOEPLITE_SESSION_BYTES");
    let has = |feature: &str| env::var_os(format!("CARGO_FEATURE_{feature}")).is_some();
    let application = match (has("TEXT"), has("KEYWORD")) {
        (true, true) => fail("one application at a time: `cargo text` or `cargo keyword`"),
        (true, false) => "text",
        (false, true) => "keyword",
        (false, false) => return,
    };
    let package = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("set by cargo"));
    // the emulated boards' own
    let folder = package.join("../..").join(application);
    let model = forward(application, &folder, "TOEPLITE_MODEL", "model/model.toep");
    let meta = forward(application, &folder, "TOEPLITE_META", "model/model_meta.rs");
    choose_contract(&model);
    let source = std::fs::read_to_string(&meta).unwrap_or_default();
    if application == "keyword" && !source.contains("pub mod front_end") {
        fail(&format!(
            "{} has no audio front end: the checkpoint was converted without the file front_end.json beside it",
            meta.display()
        ));
    }
}

/// Sets environment variable `name` to an absolute path for the compilation.
fn forward(application: &str, folder: &Path, name: &str, default: &str) -> PathBuf {
    let path = env::var_os(name).map_or_else(|| PathBuf::from(default), PathBuf::from);
    let path = folder.join(path); // as it is, if absolute
    println!("cargo:rerun-if-env-changed={name}");
    println!("cargo:rerun-if-changed={}", path.display());
    if !path.is_file() {
        fail(&format!(
            "{name}: there is no file {}. Convert a checkpoint for this board's core first, in the repository's root:\n    \
             mkdir -p firmware-examples/{application}/model\n    \
             toeplite convert CHECKPOINT --target TARGET -o firmware-examples/{application}/model/model.toep \
             --meta firmware-examples/{application}/model/model_meta.rs\n\
             (firmware-examples/hardware/README.md has the target of each board), or name other files by TOEPLITE_MODEL and TOEPLITE_META",
            path.display()
        ));
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

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    exit(1);
}
