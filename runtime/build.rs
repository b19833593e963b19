//! Finds out which kernels the target can run.
//!
//! Compilers that are stable do not tell a crate which instructions an Arm core has: it follows from
//! the target's name and from the CPU that the flags name.

use std::env;

/// Kernels for single cores or families of them; see `src/kernel/dense/`.
const KERNELS: [&str; 3] = ["toeplite_dsp", "toeplite_mve", "toeplite_thumb1"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in KERNELS {
        println!("cargo:rustc-check-cfg=cfg({name})");
    }
    let target = env::var("TARGET").unwrap_or_default();
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    if let Some(name) = kernels(&target, &flags) {
        println!("cargo:rustc-cfg={name}");
    }
}

/// The kernels for a target that is compiled for with these flags, separated by the character 31.
fn kernels(target: &str, flags: &str) -> Option<&'static str> {
    let cpu = flags
        .split('\u{1f}')
        .filter_map(|flag| {
            flag.trim_start_matches("-C")
                .trim()
                .strip_prefix("target-cpu=")
        })
        .next_back();
    let features = flags.split('\u{1f}').filter_map(|flag| {
        let flag = flag.trim_start_matches("-C").trim();
        flag.strip_prefix("target-feature=")
    });
    let lacks = |name: &str| {
        let mut all = features.clone().flat_map(|list| list.split(','));
        all.any(|feature| feature == name)
    };
    let family = |name: &str| target.starts_with(name);
    if family("thumbv6m") || family("thumbv8m.base") {
        return Some("toeplite_thumb1");
    }
    let dsp = match cpu {
        Some("cortex-m55" | "cortex-m85" | "cortex-m52") if !lacks("-mve") => {
            return family("thumbv8m.main").then_some("toeplite_mve");
        }
        // with the extension unless the flags take it away
        Some("cortex-m33" | "cortex-m35p" | "cortex-m55" | "cortex-m85" | "cortex-m52") => {
            family("thumbv8m.main")
        }
        _ => family("thumbv7em"),
    };
    (dsp && !lacks("-dsp")).then_some("toeplite_dsp")
}
