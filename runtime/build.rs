//! Finds out which kernels the target can run.
//!
//! Compilers that are stable do not tell a crate which instructions an Arm core has: it follows from
//! the target's name and from the CPU that the flags name.

use std::env;

/// Kernels for single cores or families of them; see `src/kernel/dense/`.
const KERNELS: [&str; 9] = [
    "toeplite_armv8m",
    "toeplite_dsp",
    "toeplite_dsp_float",
    "toeplite_mve",
    "toeplite_mve_float",
    "toeplite_thumb1",
    "toeplite_thumb2",
    "toeplite_rv32m",
    "toeplite_vfp",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for name in KERNELS {
        println!("cargo:rustc-check-cfg=cfg({name})");
    }
    let target = env::var("TARGET").unwrap_or_default();
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    for name in kernels(&target, &Flags::parse(&flags)) {
        println!("cargo:rustc-cfg={name}");
    }
    if has_fpu(&target) {
        println!("cargo:rustc-cfg=toeplite_vfp");
    }
    if target.starts_with("thumbv8m") {
        println!("cargo:rustc-cfg=toeplite_armv8m");
    }
}

/// What the compiler's flags say of the CPU.
#[derive(Default)]
struct Flags<'a> {
    cpu: &'a str,
    features: Vec<&'a str>,
}

impl<'a> Flags<'a> {
    /// Of flags separated by the character 31, as `-Ckey=value` or `-C`, `key=value`.
    fn parse(flags: &'a str) -> Self {
        let mut parsed = Self::default();
        for flag in flags.split('\u{1f}') {
            let flag = flag.strip_prefix("-C").unwrap_or(flag).trim();
            match flag.split_once('=') {
                Some(("target-cpu", cpu)) => parsed.cpu = cpu,
                Some(("target-feature", list)) => parsed.features.extend(list.split(',')),
                _ => {}
            }
        }
        parsed
    }

    fn has(&self, feature: &str) -> bool {
        self.features.contains(&feature)
    }
}

/// Whether the target is a Cortex-M with floats in the registers of an FPU.
fn has_fpu(target: &str) -> bool {
    let main = target.starts_with("thumbv7em") || target.starts_with("thumbv8m.main");
    main && target.ends_with("hf")
}

fn kernels(target: &str, flags: &Flags<'_>) -> Vec<&'static str> {
    let family = |name: &str| target.starts_with(name);
    if family("thumbv6m") || family("thumbv8m.base") {
        return vec!["toeplite_thumb1"];
    }
    if family("riscv32im") || family("riscv32gc") {
        return vec!["toeplite_rv32m"];
    }
    if !["thumbv7m", "thumbv7em", "thumbv8m.main"]
        .into_iter()
        .any(family)
    {
        return Vec::new();
    }
    let vectors = ["cortex-m52", "cortex-m55", "cortex-m85"].contains(&flags.cpu);
    if vectors && !flags.has("-mve") {
        // with floats in registers there are vectors of them
        return match target.ends_with("hf") {
            true => vec!["toeplite_mve", "toeplite_mve_float"],
            false => vec!["toeplite_mve"],
        };
    }
    // what the architecture leaves to the core, these cores have unless the flags take it away
    let optional =
        vectors || ["cortex-m33", "cortex-m35p"].contains(&flags.cpu) || flags.has("+dsp");
    if !(family("thumbv7em") || optional) || flags.has("-dsp") {
        return vec!["toeplite_thumb2"];
    }
    // floats in registers are those of an FPU
    match target.ends_with("hf") {
        true => vec!["toeplite_thumb2", "toeplite_dsp", "toeplite_dsp_float"],
        false => vec!["toeplite_thumb2", "toeplite_dsp"],
    }
}
