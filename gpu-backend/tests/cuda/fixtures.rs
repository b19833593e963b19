//! Kernels and Toeplitz products of the official modules (tests/fixtures/tno and fd), on the CPU and on the
//! CUDA device; the emulator has no Toeplitz products.

use safetensors::SafeTensors;
use serde_json::Value;
use std::path::Path;
use toeplite_train::device::cpu::Cpu;
use toeplite_train::device::cuda::Precision;
use toeplite_train::device::{Activation, Device, MixShape, Norm, RpeInput, RpeShape};

/// What another f32 implementation can reach (tests/fixtures/README.md).
const TOLERANCE: f32 = 2e-6;
/// The same of operators given by their responses; the official f32 run is within 3.7e-7.
const RESPONSE_TOLERANCE: f32 = 1e-6;

/// A safetensors file of f32.
struct Tensors(Vec<u8>);

impl Tensors {
    fn get(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let file = SafeTensors::deserialize(&self.0).unwrap();
        let view = file.tensor(name).ok()?;
        let (chunks, _) = view.data().as_chunks();
        let values = chunks.iter().map(|&bytes| f32::from_le_bytes(bytes));
        Some((view.shape().to_vec(), values.collect()))
    }
}

fn activation(value: &Value) -> Activation {
    match value.as_str().unwrap() {
        "none" => Activation::None,
        "silu" => Activation::Silu,
        "relu" => Activation::Relu,
        other => panic!("no fixture uses {other}"),
    }
}

/// The operator of a case, and its parameters one behind another. Several heads are that many
/// times as many channels.
fn shape(case: &Value, tensors: &Tensors) -> (RpeShape, Vec<f32>) {
    let args = &case["args"];
    let size = |name: &str| args[name].as_u64().unwrap() as usize;
    let mut all = Vec::new();
    let mut push = |name: &str| {
        let at = all.len();
        all.extend(tensors.get(&format!("param.{name}")).expect("parameter").1);
        at
    };
    let mut map = |name: &str| {
        let at = push(&format!("rpe.{name}.weight"));
        push(&format!("rpe.{name}.bias"));
        at
    };
    let first_at = map("pos_proj");
    let layers = size("layers");
    let hidden_at = (0..layers).map(|k| map(&format!("layers.{k}.2"))).collect();
    let last_at = map("out.2");
    // Arguments that operators given by their responses do not have.
    let decays = args.get("use_decay").is_some_and(|on| on == true);
    let kernel_act = args.get("act_type").map_or(Activation::None, activation);
    assert_eq!(args["norm_type"], "simplermsnorm");
    let length = case["n"].as_u64().unwrap() as usize;
    let points = case.get("fft_size").and_then(Value::as_u64);
    let shape = RpeShape {
        length,
        causal: args["causal"].as_bool().unwrap(),
        width: size("rpe_dim"),
        layers,
        channels: size("h") * size("dim"),
        heads: size("h"),
        norm: Some(Norm::SimpleRms),
        norms_at: Vec::new(),
        act: activation(&args["act"]),
        residual: args["residual"].as_bool().unwrap(),
        input: points.map_or(RpeInput::Lag, |points| RpeInput::Omega(points as usize / 2)),
        gamma_at: decays.then(|| push("gamma")),
        kernel_act,
        bias: args["bias"].as_bool().unwrap(),
        first_at,
        hidden_at,
        last_at,
    };
    (shape, all)
}

/// Largest difference over the largest element.
fn error(got: &[f32], want: &[f32]) -> f32 {
    let largest = want.iter().fold(0f32, |a, b| a.max(b.abs()));
    let differences = got.iter().zip(want).map(|(got, want)| (got - want).abs());
    differences.fold(0f32, f32::max) / largest
}

/// `a` `[heads, lags, dim]` as the device orders it: `[channels, lags]`, lags circular.
fn circular(shape: &RpeShape, dim: usize, a: &[f32]) -> Vec<f32> {
    let (n, lags) = (shape.length, shape.lags());
    let stored = if shape.causal { n } else { 2 * n - 1 };
    let mut kernel = vec![0.0; shape.channels * lags];
    for (i, a) in a.iter().enumerate() {
        let (head, row, column) = (i / (stored * dim), i / dim % stored, i % dim);
        let at = if shape.causal {
            row
        } else {
            (row + n + 1) % (2 * n)
        };
        kernel[(head * dim + column) * lags + at] = *a;
    }
    kernel
}

/// `kernel` `[heads, points, dim]` as the device orders it; the sequences see no other lags.
fn circular_of_response(shape: &RpeShape, dim: usize, kernel: &[f32]) -> Vec<f32> {
    let (n, lags) = (shape.length, shape.lags());
    let points = kernel.len() / shape.channels;
    let element = |i: usize| {
        let (channel, column) = (i / lags, i % lags);
        let index = match column.cmp(&n) {
            std::cmp::Ordering::Less => column,
            std::cmp::Ordering::Equal => return 0.0,
            std::cmp::Ordering::Greater => points + column - 2 * n,
        };
        kernel[(channel / dim * points + index) * dim + channel % dim]
    };
    (0..shape.channels * lags).map(element).collect()
}

/// `[batch, heads, n, dim]` to `[channels, batch * n]`.
fn channel_major(x: &[f32], sizes: &[usize]) -> Vec<f32> {
    let &[batch, heads, n, dim] = sizes else {
        panic!("four dimensions")
    };
    let mut y = vec![0.0; x.len()];
    for (at, x) in x.iter().enumerate() {
        let (j, i) = (at % dim, at / dim % n);
        let (h, b) = (at / (dim * n) % heads, at / (dim * n * heads));
        y[((h * dim + j) * batch + b) * n + i] = *x;
    }
    y
}

/// Errors of the kernel and, where `products` are to be had, of the product.
fn check<D: Device>(device: &D, case: &Value, tensors: &Tensors, products: bool) -> (f32, f32) {
    let (shape, values) = shape(case, tensors);
    let (sizes, x) = tensors.get("x").unwrap();
    let mut parameters = device.new_f32(values.len()).unwrap();
    device.write_f32(&mut parameters, 0, &values).unwrap();
    let elements = shape.channels * shape.lags();
    let mut kernel = device.new_f32(elements).unwrap();
    let mut hidden = device.new_f32(shape.hidden_len()).unwrap();
    device
        .rpe(&shape, &parameters, &mut hidden, &mut kernel)
        .unwrap();
    let got = device.read_f32(&kernel, 0..elements).unwrap();
    let want = match tensors.get("a") {
        Some((_, a)) => circular(&shape, sizes[3], &a),
        None => circular_of_response(&shape, sizes[3], &tensors.get("kernel").unwrap().1),
    };
    let a_error = error(&got, &want);
    if !products {
        return (a_error, 0.0);
    }

    let mix = MixShape {
        batch: sizes[0],
        length: shape.length,
        channels: shape.channels,
        causal: shape.causal,
        act: Activation::None,
        gated: true,
        support: shape.length,
    };
    let mut uv = device.new_act(2 * x.len()).unwrap();
    device.write_act(&mut uv, 0, &vec![1.0; x.len()]).unwrap();
    device
        .write_act(&mut uv, x.len(), &channel_major(&x, &sizes))
        .unwrap();
    let mut y = device.new_act(x.len()).unwrap();
    let mut g = device.new_act(x.len()).unwrap();
    let mut plan = device.new_mix(mix).unwrap();
    device
        .mix(&mut plan, &kernel, &parameters, None, &uv, &mut y, &mut g)
        .unwrap();
    let y = device.read_act(&y, 0..x.len()).unwrap();
    assert_eq!(device.read_act(&g, 0..x.len()).unwrap(), y, "u is 1");
    let want = channel_major(&tensors.get("y").unwrap().1, &sizes);
    (a_error, error(&y, &want))
}

#[test]
fn operators_are_the_official_ones() {
    assert_eq!(check_all("tno", "Tno", TOLERANCE), 10);
}

#[test]
fn responses_are_the_official_ones() {
    assert_eq!(check_all("fd", "TnoFD", RESPONSE_TOLERANCE), 4);
}

/// Checks the cases of a module; how many there are.
fn check_all(folder: &str, module: &str, tolerance: f32) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(folder);
    let index = std::fs::read(folder.join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let mut count = 0;
    for (name, case) in index["cases"].as_object().unwrap() {
        if case["module"] != module {
            continue;
        }
        let file = folder.join(case["file"].as_str().unwrap());
        let tensors = Tensors(std::fs::read(file).unwrap());
        let cuda = super::device(Precision::F32);
        for (what, (a, y)) in [
            ("cpu", check(&Cpu::new(), case, &tensors, true)),
            ("cuda", check(&cuda, case, &tensors, super::is_real())),
        ] {
            println!("{name}, {what}: kernel {a:e}, product {y:e}");
            assert!(
                a < tolerance && y < tolerance,
                "{name}, {what}: kernel {a:e}, product {y:e}"
            );
        }
        count += 1;
    }
    count
}
