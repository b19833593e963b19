//! Every kernel compiles, for each architecture that is supported; NVRTC needs no device for that.
//!
//! `cargo xtask test` installs NVRTC and says where in `TOEPLITE_NVRTC`.

use toeplite_train::device::cuda::mix::{Limits, MixPlan};
use toeplite_train::device::cuda::nvrtc::{FOLDER, Nvrtc};
use toeplite_train::device::cuda::sources::{OPTIONS, SOURCES, complete};
use toeplite_train::device::{Activation, MixShape};

/// A100, H100, B200.
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90", "sm_100"];

#[test]
fn every_kernel_compiles_without_spills() {
    if std::env::var_os(FOLDER).is_none() {
        let xtask = std::env::var_os("TOEPLITE_XTASK").is_some();
        assert!(
            !xtask,
            "{FOLDER} is not set: `cargo xtask test` sets it, see xtask/src/nvrtc.rs"
        );
        eprintln!("SKIPPED: {FOLDER} names no folder with NVRTC; `cargo xtask test` installs it");
        return;
    }
    let nvrtc = Nvrtc::load().unwrap();
    let mut options = OPTIONS.to_vec();
    options.push("--ptxas-options=-v");
    std::thread::scope(|scope| {
        for architecture in ARCHITECTURES {
            let (nvrtc, options) = (&nvrtc, &options);
            scope.spawn(move || {
                for (name, text) in SOURCES {
                    let source = complete(name, text);
                    let (cubin, log) = nvrtc
                        .compile(name, &source, architecture, options)
                        .unwrap_or_else(|error| panic!("{architecture}: {error}"));
                    assert!(cubin.starts_with(b"\x7fELF"), "{name} is no cubin");
                    assert!(!log.contains("warning"), "{name} for {architecture}: {log}");
                    for line in log.lines().filter(|line| line.contains("spill")) {
                        assert!(line.contains(" 0 bytes spill stores"), "{name}: {line}");
                    }
                }
            });
        }
    });
}

/// The Toeplitz products are compiled for one shape at a time: the published model's for each
/// architecture, and a sequence cut into blocks.
#[test]
fn toeplitz_products_compile() {
    if std::env::var_os(FOLDER).is_none() {
        return;
    }
    let nvrtc = Nvrtc::load().unwrap();
    let shape = |batch, length, support| MixShape {
        batch,
        length,
        channels: 1536,
        causal: true,
        act: Activation::Silu,
        gated: true,
        support,
    };
    let published = shape(64, 512, 512);
    let shapes = ARCHITECTURES.map(|architecture| (architecture, published));
    for (architecture, shape) in shapes.into_iter().chain([("sm_90", shape(4, 8192, 1600))]) {
        let plan = MixPlan::new(shape, true, Limits::H100).unwrap();
        let options = plan.options();
        let options: Vec<_> = options.iter().map(String::as_str).collect();
        let (cubin, _) = nvrtc
            .compile("mix.cu", plan.source(), architecture, &options)
            .unwrap_or_else(|error| panic!("{architecture}: {error}"));
        assert!(cubin.starts_with(b"\x7fELF"), "mix.cu is no cubin");
    }
}

#[test]
fn errors_of_the_compiler_are_shown() {
    if std::env::var_os(FOLDER).is_none() {
        return;
    }
    let nvrtc = Nvrtc::load().unwrap();
    let error = nvrtc
        .compile("wrong.cu", "int;;( x", "sm_90", &[])
        .unwrap_err();
    assert!(error.contains("wrong.cu(1)"), "{error}");
}
