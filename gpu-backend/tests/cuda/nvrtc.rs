//! Every kernel compiles, for each architecture that is supported; NVRTC needs no device for that.
//!
//! `cargo xtask test` installs NVRTC and says where in `TOEPLITE_NVRTC`.

use std::sync::Mutex;
use toeplite_train::device::cuda::mix::{Limits, MixPlan};
use toeplite_train::device::cuda::nvrtc::{FOLDER, Nvrtc};
use toeplite_train::device::cuda::sources::{OPTIONS, SOURCES, complete};
use toeplite_train::device::{Activation, MixShape};

/// A100, H100, B200.
const ARCHITECTURES: [&str; 3] = ["sm_80", "sm_90", "sm_100"];
/// The one whose registers are counted. For the others it is enough that everything compiles, without
/// optimisation: that takes half the time. (`--Ofast-compile` takes less, but reaches into what other threads
/// compile: kernels then spill there.)
const MEASURED: &str = "sm_90";

/// What ptxas is told.
fn assembly(architecture: &str) -> &'static str {
    match architecture {
        MEASURED => "--ptxas-options=-v",
        _ => "--ptxas-options=-O0",
    }
}

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
    std::thread::scope(|scope| {
        for architecture in ARCHITECTURES {
            let nvrtc = &nvrtc;
            let options = [OPTIONS, &[assembly(architecture)]].concat();
            scope.spawn(move || {
                for (name, text) in SOURCES {
                    let source = complete(name, text);
                    let (cubin, log) = nvrtc
                        .compile(name, &source, architecture, &options)
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

/// A plan of `mix.cu`, the architectures to compile it for, and the most bytes that one of its kernels
/// may spill: what CUDA 13.0 was seen to, rounded up.
struct Case {
    name: &'static str,
    length: usize,
    support: usize,
    bf16: bool,
    gated: bool,
    architectures: &'static [&'static str],
    spills: usize,
}

impl Case {
    const fn new(name: &'static str, length: usize, bf16: bool, gated: bool) -> Self {
        Self {
            name,
            length,
            support: length,
            bf16,
            gated,
            architectures: &["sm_90"],
            spills: 0,
        }
    }

    const fn cut(self, support: usize) -> Self {
        Self { support, ..self }
    }

    const fn everywhere(self) -> Self {
        let architectures = &ARCHITECTURES;
        Self {
            architectures,
            ..self
        }
    }

    const fn spilling(self, spills: usize) -> Self {
        Self { spills, ..self }
    }

    fn plan(&self) -> MixPlan {
        let shape = MixShape {
            batch: 64,
            length: self.length,
            channels: 1536,
            causal: true,
            act: Activation::Silu,
            gated: self.gated,
            support: self.support,
        };
        MixPlan::new(shape, self.bf16, Limits::H100).unwrap()
    }
}

/// Types, gates, odd lengths, cut sequences, spectra that do not fit a block's memory.
const CASES: [Case; 9] = [
    Case::new("the published model", 512, true, true)
        .everywhere()
        .spilling(16),
    Case::new("f32", 512, false, true),
    Case::new("no gate", 512, true, false),
    Case::new("odd", 333, true, true).spilling(320),
    Case::new("f32, odd, no gate", 77, false, false).spilling(288),
    Case::new("2048", 2048, true, true).spilling(192),
    Case::new("cut", 8192, true, true).cut(1600).spilling(128),
    Case::new("f32, cut, odd, no gate", 3001, false, false)
        .cut(300)
        .spilling(640),
    Case::new("spectra in global memory", 16_384, true, true).spilling(896),
];

/// The Toeplitz products are compiled for one plan at a time.
#[test]
fn toeplitz_products_compile() {
    if std::env::var_os(FOLDER).is_none() {
        return;
    }
    let nvrtc = Nvrtc::load().unwrap();
    let pairs = CASES.iter().flat_map(|case| {
        let architectures = case.architectures.iter();
        architectures.map(move |architecture| (case, *architecture))
    });
    let waiting = Mutex::new(pairs);
    let next = || waiting.lock().unwrap().next();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some((case, architecture)) = next() {
                    check_mix(&nvrtc, case, architecture);
                }
            });
        }
    });
}

fn check_mix(nvrtc: &Nvrtc, case: &Case, architecture: &str) {
    let what = format!("{} for {architecture}", case.name);
    let plan = case.plan();
    assert_eq!(plan.is_cut(), case.support < case.length, "{what}");
    assert_eq!(plan.spills(), case.length == 16_384, "{what}");
    let mut options = plan.options();
    options.push(assembly(architecture).into());
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let compiled = nvrtc.compile("mix.cu", plan.source(), architecture, &options);
    let (cubin, log) = compiled.unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(cubin.starts_with(b"\x7fELF"), "{what}: no cubin");
    assert!(!log.contains("warning"), "{what}: {log}");
    if architecture != MEASURED {
        return;
    }
    let spilled = spills(&log);
    assert_eq!(spilled.len(), 4, "{what}, not four kernels: {log}");
    let most = spilled.into_iter().max().unwrap_or_default();
    println!("{what}: {most} bytes spilled");
    assert!(most <= case.spills, "{what} spills {most} bytes: {log}");
}

/// Bytes that each kernel stores of what does not fit its registers, as ptxas says.
fn spills(log: &str) -> Vec<usize> {
    let counts = log.lines().filter_map(|line| {
        let before = line.split(" bytes spill stores").next()?;
        (before.len() < line.len()).then(|| before.rsplit(' ').next()?.parse().ok())?
    });
    counts.collect()
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
