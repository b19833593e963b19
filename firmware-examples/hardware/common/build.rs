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
    let bytes = std::fs::read(&model).unwrap_or_default();
    choose_contract(&model, &bytes);
    let source = std::fs::read_to_string(&meta).unwrap_or_default();
    check_identity(&meta, &source, &bytes);
    if application == "keyword" && !source.contains("pub use toeplite_audio::") {
        fail(&format!(
            "{} has no audio front end: its checkpoint hears no sounds, or was converted without the file front_end.json beside it",
            meta.display()
        ));
    }
}

/// Refuses a model and constants of different conversions: the firmware would only say so when it runs.
fn check_identity(meta: &Path, source: &str, model: &[u8]) {
    let constant = source.split("IDENTITY: u32 = ").nth(1);
    let number = constant.and_then(|rest| rest.split(';').next());
    let named = number.and_then(|number| match number.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => number.parse().ok(),
    });
    // the checksum in the header
    let found = model.get(12..16).and_then(|bytes| bytes.try_into().ok());
    let found = found.map(u32::from_le_bytes);
    if named.is_none() || named != found {
        fail(&format!(
            "{} is not of the same conversion as the model: take both files of one `toeplite convert`",
            meta.display()
        ));
    }
}

/// What `toeplite convert` takes for this core.
fn conversion() -> &'static str {
    match has_fpu() {
        true => "--target m4",
        false => "--contract fixed",
    }
}

fn has_fpu() -> bool {
    env::var("CARGO_CFG_TARGET_ABI").is_ok_and(|abi| abi == "eabihf")
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
             toeplite convert CHECKPOINT {} -o firmware-examples/{application}/model/model.toep \
             --meta firmware-examples/{application}/model/model_meta.rs\n\
             or name other files by TOEPLITE_MODEL and TOEPLITE_META",
            path.display(),
            conversion()
        ));
    }
    println!("cargo:rustc-env={name}={}", path.display());
    path
}

/// Sets `cfg(contract = "...")` to the numeric contract that the header of `model` names, in bytes 6 and 7, if it is the one for
/// the board's core.
fn choose_contract(model: &Path, bytes: &[u8]) {
    println!("cargo:rustc-check-cfg=cfg(contract, values(\"f32\", \"fixed\"))");
    let contract = match bytes.get(6..8) {
        Some([2, 0]) => "fixed",
        _ => "f32", // or a model that is refused when the program starts
    };
    if (contract == "f32") != has_fpu() {
        fail(&format!(
            "{} is of the contract `{contract}`, and cores with an FPU compute by `f32`, others by `fixed`: convert the checkpoint again, \
             `toeplite convert CHECKPOINT {}`",
            model.display(),
            conversion()
        ));
    }
    println!("cargo:rustc-cfg=contract=\"{contract}\"");
}

fn fail(message: &str) -> ! {
    eprintln!("error: {message}");
    exit(1);
}
