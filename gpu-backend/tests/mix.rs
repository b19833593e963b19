//! The CUDA kernels of the gated Toeplitz unit, run on the CPU (`kernels/mix_shim.cpp`) as the plan
//! launches them, against plain sums in f64.

use std::collections::BTreeSet;
use std::f64::consts::PI;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use toeplite_train::device::cuda::mix::{Limits, MixPlan};
use toeplite_train::device::{Activation, MixShape};

struct Case {
    plan: MixPlan,
    bf16: bool,
    bias: bool,
}

impl Case {
    /// The same product without a gate.
    fn ungated(self) -> Self {
        let shape = MixShape {
            gated: false,
            ..*self.plan.shape()
        };
        let plan = MixPlan::new(shape, self.bf16, self.plan.limits()).expect("a plan");
        Self { plan, ..self }
    }
}

fn case(
    (batch, length, channels): (usize, usize, usize),
    causal: bool,
    support: usize,
    act: Activation,
    bf16: bool,
) -> Case {
    // As many parts of the batch as there can be for even lengths, one for odd ones.
    let multiprocessors = if length % 2 == 0 { 1000 } else { 1 };
    let limits = Limits {
        multiprocessors,
        ..Limits::H100
    };
    let shape = MixShape {
        batch,
        length,
        channels,
        causal,
        act,
        gated: true,
        support,
    };
    Case {
        plan: MixPlan::new(shape, bf16, limits).expect("a plan"),
        bf16,
        bias: length != 64,
    }
}

fn cases() -> Vec<Case> {
    use Activation::{Gelu, None, Relu, Silu};
    vec![
        case((3, 1, 2), true, 1, Silu, false),
        case((70, 7, 3), true, 7, Silu, false),
        case((5, 7, 2), false, 7, Silu, false),
        case((3, 64, 2), true, 64, Relu, false),
        case((5, 100, 2), true, 100, Gelu, false),
        case((5, 100, 2), false, 100, Gelu, false),
        case((9, 512, 2), true, 512, Silu, true),
        case((5, 512, 2), false, 512, Silu, true),
        case((3, 1000, 2), true, 1000, None, false),
        case((3, 3000, 2), true, 600, Silu, false),
        case((2, 2048, 1), false, 2048, Silu, false),
        case((1, 4099, 2), true, 4099, None, false),
        case((2, 10_000, 1), true, 1500, Silu, true),
        case((5, 7, 2), false, 7, Silu, false).ungated(),
        case((9, 512, 2), true, 512, None, true).ungated(),
        case((2, 3000, 2), true, 600, Silu, false).ungated(),
    ]
}

/// What the shim is compiled for: a `Mix` of mix_io.cuh.
fn words(case: &Case) -> [i32; 8] {
    let options = case.plan.options();
    let option = |name: &str| {
        let start = format!("-DMIX_{name}=");
        let value = options
            .iter()
            .find_map(|option| option.strip_prefix(&start));
        value.expect("an option of this name").parse().unwrap_or(0)
    };
    let kind = i32::from(case.bf16);
    [
        option("N"),
        kind,
        option("ACT"),
        option("FULL"),
        option("PAIR"),
        option("CHAIN"),
        option("SPILL"),
        option("GATED"),
    ]
}

fn compile(cases: &[Case]) -> PathBuf {
    let kernels = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let program = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mix_shim");
    let shapes: BTreeSet<_> = cases.iter().map(words).collect();
    let list: String = shapes
        .iter()
        .map(|[n, kind, act, full, pair, chain, spill, gated]| {
            let name = if *kind == 1 { "Bf16" } else { "float" };
            format!("CASE({n},{name},{kind},{act},{full},{pair},{chain},{spill},{gated})")
        })
        .collect();
    let compiler = std::env::var("CXX").unwrap_or_else(|_| "c++".into());
    let status = Command::new(compiler)
        .args([
            "-std=c++17",
            "-O1",
            "-Wall",
            "-Werror",
            "-Wno-unused-function",
        ])
        .arg(format!("-DMIX_CASES={list}"))
        .arg("-o")
        .arg(&program)
        .arg(kernels.join("mix_shim.cpp"))
        .status();
    assert!(
        status.expect("a C++ compiler").success(),
        "the kernels do not compile"
    );
    program
}

/// Numbers of about -1 ..= 1, always the same, exact in bf16.
struct Numbers(u64);

impl Numbers {
    fn take(&mut self, count: usize) -> Vec<f32> {
        let next = || {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            ((self.0 >> 40) % 255) as f32 / 127.0 - 1.0
        };
        let round = |x: f32| f32::from_bits(x.to_bits() & 0xffff_0000);
        std::iter::repeat_with(next)
            .take(count)
            .map(round)
            .collect()
    }
}

/// `(act(x), act'(x))`
fn act(act: Activation, x: f64) -> (f64, f64) {
    match act {
        Activation::None => (x, 1.0),
        Activation::Relu => (x.max(0.0), f64::from(u8::from(x > 0.0))),
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            (x * s, s + x * s * (1.0 - s))
        }
        Activation::Gelu => {
            // Phi(x) by Simpson's rule.
            let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
            let h = x / 64.0;
            let odd: f64 = (0..32).map(|i| density(h * f64::from(2 * i + 1))).sum();
            let even: f64 = (1..32).map(|i| density(h * f64::from(2 * i))).sum();
            let ends = density(0.0) + density(x);
            let phi = 0.5 + h / 3.0 * (4.0 * odd + 2.0 * even + ends);
            (x * phi, phi + x * density(x))
        }
    }
}

/// Operands, and the results in the order of the shim: y, g, duv, d_kernel, d_bias.
struct Expected {
    kernel: Vec<f32>,
    bias: Vec<f32>,
    uv: Vec<f32>,
    dg: Vec<f32>,
    results: [Vec<f64>; 5],
}

fn expected(case: &Case) -> Expected {
    let MixShape {
        batch,
        length: n,
        channels,
        causal,
        support,
        gated,
        ..
    } = *case.plan.shape();
    let (tokens, lags) = (batch * n, case.plan.shape().lags());
    let halves = case.plan.shape().halves();
    let mut numbers = Numbers(n as u64);
    let mut kernel = numbers.take(channels * lags);
    for (i, k) in kernel.iter_mut().enumerate() {
        let lag = i % lags;
        if lag == n || (causal && lag >= support) {
            *k = 0.0;
        }
    }
    let bias = numbers.take(halves * channels);
    let uv = numbers.take(halves * channels * tokens);
    let dg = numbers.take(channels * tokens);
    let mut y = vec![0.0; channels * tokens];
    let (mut g, mut duv) = (y.clone(), vec![0.0; halves * channels * tokens]);
    let mut d_kernel = vec![0.0; channels * lags];
    let mut d_bias = vec![1.0; halves * channels];
    for c in 0..channels {
        let kernel = &kernel[c * lags..][..lags];
        // Where the lag i - j is in the kernel, for all pairs that the product has.
        let index = |i: usize, j: usize| {
            let lag = if i >= j { i - j } else { 2 * n + i - j };
            (lag < lags && !(case.plan.is_cut() && lag >= case.plan.points())).then_some(lag)
        };
        for b in 0..batch {
            let row = |c: usize| (c * tokens + b * n)..(c * tokens + b * n + n);
            let activate = |half: usize| -> Vec<(f64, f64)> {
                let c = half * channels + c;
                let bias = if case.bias { f64::from(bias[c]) } else { 0.0 };
                let x = uv[row(c)].iter();
                x.map(|&x| act(case.plan.shape().act, f64::from(x) + bias))
                    .collect()
            };
            // What is not gated is multiplied by one.
            let u = if gated {
                activate(0)
            } else {
                vec![(1.0, 0.0); n]
            };
            let v = activate(halves - 1);
            let dg: Vec<f64> = dg[row(c)].iter().map(|&x| f64::from(x)).collect();
            let mut dv = vec![0.0; n];
            for i in 0..n {
                let gy = dg[i] * u[i].0;
                let mut sum = 0.0;
                let first = if case.plan.is_cut() {
                    i.saturating_sub(case.plan.points())
                } else {
                    0
                };
                for j in first..if causal { i + 1 } else { n } {
                    if let Some(lag) = index(i, j) {
                        sum += f64::from(kernel[lag]) * v[j].0;
                        dv[j] += f64::from(kernel[lag]) * gy;
                        d_kernel[c * lags + lag] += v[j].0 * gy;
                    }
                }
                y[row(c)][i] = sum;
                if gated {
                    g[row(c)][i] = sum * u[i].0;
                    duv[row(c)][i] = dg[i] * sum * u[i].1;
                    d_bias[c] += dg[i] * sum * u[i].1;
                }
            }
            for j in 0..n {
                let c = (halves - 1) * channels + c;
                duv[row(c)][j] = dv[j] * v[j].1;
                d_bias[c] += dv[j] * v[j].1;
            }
        }
    }
    if !gated {
        g.clear();
    }
    if !case.bias {
        d_bias.fill(1.0);
    }
    Expected {
        kernel,
        bias,
        uv,
        dg,
        results: [y, g, duv, d_kernel, d_bias],
    }
}

fn run(program: &Path, case: &Case, operands: &Expected) -> Vec<f32> {
    let (plan, mut input) = (&case.plan, Vec::new());
    let forward = plan.arguments(plan.forward());
    let (backward, columns) = (
        plan.arguments(plan.backward()),
        plan.backward().grid[0] as i32,
    );
    let mut header = words(case).to_vec();
    header.extend(forward);
    header.extend([backward[4], plan.lags(), columns, i32::from(case.bias)]);
    input.extend(header.iter().flat_map(|word| word.to_le_bytes()));
    let bias: &[f32] = if case.bias { &operands.bias } else { &[] };
    for part in [&operands.kernel, bias, &operands.uv, &operands.dg] {
        input.extend(part.iter().flat_map(|x| x.to_le_bytes()));
    }
    let mut command = Command::new(program);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut child = child.expect("the shim starts");
    // The shim reads everything before it writes.
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(&input)
        .expect("the shim reads");
    let output = child.wait_with_output().expect("the shim ends");
    assert!(
        output.status.success(),
        "{:?}: {}",
        plan.shape(),
        output.status
    );
    let words = output.stdout.chunks_exact(4);
    words
        .map(|word| f32::from_le_bytes(word.try_into().expect("four bytes")))
        .collect()
}

#[test]
fn kernels_agree_with_direct_sums() {
    let cases = cases();
    let program = compile(&cases);
    for case in &cases {
        let expected = expected(case);
        let mut found = &run(&program, case, &expected)[..];
        for (name, expected) in ["y", "g", "duv", "d_kernel", "d_bias"]
            .iter()
            .zip(&expected.results)
        {
            let part = found.split_off(..expected.len()).expect("all results");
            let error = part
                .iter()
                .zip(expected)
                .map(|(&f, e)| (f64::from(f) - e).powi(2));
            let size = expected.iter().map(|e| e * e).sum::<f64>().sqrt();
            let error = error.sum::<f64>().sqrt() / size.max(f64::MIN_POSITIVE);
            // What bf16 rounds: y, g and duv once, y before du. The bias's gradients are sums over
            // du, whose terms cancel.
            let limit = match *name {
                "d_kernel" => 3e-6,
                "d_bias" if case.bf16 => 2e-2,
                _ if case.bf16 => 4e-3,
                _ => 3e-6,
            };
            println!("{:?} {name}: {error:.1e}", case.plan.shape());
            assert!(
                error < limit,
                "{:?}: {name} is off by {error:.1e}",
                case.plan.shape()
            );
        }
        assert!(found.is_empty());
    }
}
