//! NVRTC, which compiles the GPU's kernels without a GPU.

use crate::command::complete;
use crate::paths;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The version that the tests compile with.
const PACKAGE: &str = "nvidia-cuda-nvrtc==13.0.*";

/// The folder of the library; installs it within `target/` if it is not there.
///
/// # Errors
/// It cannot be installed; the message says what to do by hand.
pub fn setup() -> Result<PathBuf> {
    if let Some(folder) = std::env::var_os("TOEPLITE_NVRTC") {
        return Ok(folder.into());
    }
    let installed = paths::root().join("target/nvrtc");
    if let Some(folder) = library_folder(&installed) {
        println!("setup: ready: NVRTC");
        return Ok(folder);
    }
    let by_hand = format!(
        "python3 -m pip install --target {} {PACKAGE}",
        installed.display()
    );
    println!(
        "setup: NVRTC is missing: `{by_hand}` downloads 90 MB, nothing is installed elsewhere"
    );
    let mut install = Command::new("python3");
    install.args(["-m", "pip", "install", "--quiet", "--no-deps", "--target"]);
    complete(install.arg(&installed).arg(PACKAGE)).with_context(|| {
        format!("installing NVRTC; by hand: {by_hand}, or set TOEPLITE_NVRTC to its folder")
    })?;
    library_folder(&installed).context("the package nvidia-cuda-nvrtc has no libnvrtc.so")
}

/// Where the package keeps the library: `nvidia/cu13/lib`, `nvidia/cuda_nvrtc/lib` in older ones.
fn library_folder(installed: &Path) -> Option<PathBuf> {
    ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"]
        .into_iter()
        .map(|folder| installed.join(folder))
        .find(|folder| {
            ["13", "12"]
                .iter()
                .any(|version| folder.join(format!("libnvrtc.so.{version}")).exists())
        })
}
