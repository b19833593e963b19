//! Every operation at the shapes of a small network: how long it takes, and its bits.

use super::super::Cpu;
use crate::device::{
    Activation, AdamW, Device, Gemm, HeadGradient, MixShape, Norm, NormShape, Optimiser, checks,
};
use std::time::Instant;

const BATCH: usize = 32;
const LENGTH: usize = 512;
const TOKENS: usize = BATCH * LENGTH;
const WIDTH: usize = 32;
const EXPANDED: usize = 96;
const GLU: usize = 32;
const CLASSES: usize = 256;

/// `C = op(A) op(B)`; letters say which operand is stored transposed.
fn by(m: usize, n: usize, k: usize, transposed: &str) -> Gemm {
    let (transpose_a, transpose_b) = (transposed.contains('a'), transposed.contains('b'));
    Gemm {
        m,
        n,
        k,
        transpose_a,
        transpose_b,
        accumulate: false,
    }
}

fn filled(cpu: &Cpu, len: usize, seed: u64) -> super::super::Buffer {
    let mut buffer = cpu.new_f32(len).unwrap();
    cpu.write_f32(&mut buffer, 0, &checks::Random::new(seed).values(len))
        .unwrap();
    buffer
}

/// Runs every operation of a layer and the head; `each` is given a name and the operation, which
/// it runs as often as it likes. Returns what the operations wrote.
fn operations(batch: usize, mut each: impl FnMut(&str, usize, &mut dyn FnMut())) -> Vec<f32> {
    let cpu = Cpu::new();
    let tokens = batch * LENGTH;
    let act = Activation::Silu;
    let parameters = filled(&cpu, 40_000, 1);
    let mut gradients = cpu.new_f32(40_000).unwrap();
    let x = filled(&cpu, tokens * WIDTH, 2);
    let mut y = cpu.new_act(tokens * WIDTH).unwrap();
    let mut uv = cpu.new_act(2 * EXPANDED * tokens).unwrap();
    let mut duv = cpu.new_act(2 * EXPANDED * tokens).unwrap();
    let dg = filled(&cpu, EXPANDED * tokens, 3);
    let mut ty = cpu.new_act(EXPANDED * tokens).unwrap();
    let mut g = cpu.new_act(EXPANDED * tokens).unwrap();
    let (e, d, t) = (EXPANDED, WIDTH, tokens);

    let norm = NormShape {
        norm: Norm::SimpleRms,
        width: d,
        weight_at: 0,
    };
    each("norm", 4, &mut || {
        cpu.norm(norm, &parameters, &x, &mut y).unwrap()
    });
    each("norm backward", 4, &mut || {
        cpu.norm_backward(norm, &parameters, &x, &dg, &mut y, &mut gradients)
            .unwrap()
    });
    each("gemm uv = W x", 2, &mut || {
        cpu.gemm(
            by(2 * e, t, d, "b"),
            (&parameters, 0),
            (&x, 0),
            None,
            &mut uv,
        )
        .unwrap()
    });
    each("gemm o = g W (token-major)", 2, &mut || {
        cpu.gemm(by(t, d, e, "ab"), (&dg, 0), (&parameters, 0), None, &mut y)
            .unwrap()
    });
    each("gemm dx = duv W (token-major)", 2, &mut || {
        cpu.gemm(
            by(t, d, 2 * e, "a"),
            (&uv, 0),
            (&parameters, 0),
            None,
            &mut y,
        )
        .unwrap()
    });
    each("gemm dg = W dx", 2, &mut || {
        cpu.gemm(by(e, t, d, "ab"), (&parameters, 0), (&x, 0), None, &mut g)
            .unwrap()
    });
    each("gemm gradient of Wuv", 2, &mut || {
        cpu.gemm_gradient(by(2 * e, d, t, ""), (&uv, 0), (&x, 0), &mut gradients, 0)
            .unwrap()
    });
    each("gemm gradient of Wo", 2, &mut || {
        cpu.gemm_gradient(by(d, e, t, "ab"), (&x, 0), (&dg, 0), &mut gradients, 0)
            .unwrap()
    });
    each("column sums", 4, &mut || {
        cpu.column_sums(&x, d, &mut gradients, 0).unwrap()
    });

    let (mut shape, _) = checks::rpe_shape(
        LENGTH,
        true,
        (16, 1, e),
        Some(Norm::SimpleRms),
        Activation::Relu,
        true,
    );
    shape.gamma_at = Some(5000);
    let mut hidden = cpu.new_f32(shape.hidden_len()).unwrap();
    let mut kernel = cpu.new_f32(e * LENGTH).unwrap();
    each("rpe", 2, &mut || {
        cpu.rpe(&shape, &parameters, &mut hidden, &mut kernel)
            .unwrap()
    });
    let mix = MixShape {
        batch,
        length: LENGTH,
        channels: e,
        causal: true,
        act,
        gated: true,
        support: LENGTH,
    };
    let mut mix = cpu.new_mix(mix).unwrap();
    each("mix", 2, &mut || {
        cpu.mix(
            &mut mix,
            &kernel,
            &parameters,
            Some(0),
            &uv,
            &mut ty,
            &mut g,
        )
        .unwrap()
    });
    let mut d_kernel = cpu.new_f32(e * LENGTH).unwrap();
    each("mix backward", 2, &mut || {
        cpu.mix_backward(
            &mut mix,
            &kernel,
            &parameters,
            Some(0),
            &uv,
            &ty,
            &dg,
            &mut duv,
            &mut d_kernel,
            &mut gradients,
        )
        .unwrap()
    });
    each("rpe backward", 2, &mut || {
        cpu.rpe_backward(
            &shape,
            &parameters,
            &mut hidden,
            &mut d_kernel,
            &mut gradients,
        )
        .unwrap()
    });

    let h = filled(&cpu, 2 * GLU * tokens, 4);
    let da = filled(&cpu, GLU * tokens, 5);
    let mut a = cpu.new_act(GLU * tokens).unwrap();
    let mut dh = cpu.new_act(2 * GLU * tokens).unwrap();
    each("gemm h = W x", 2, &mut || {
        cpu.gemm(
            by(2 * GLU, t, d, "b"),
            (&parameters, 0),
            (&x, 0),
            None,
            &mut dh,
        )
        .unwrap()
    });
    each("gate", 2, &mut || {
        cpu.gate(act, &parameters, Some(0), t, &h, &mut a).unwrap()
    });
    each("gate backward", 2, &mut || {
        cpu.gate_backward(
            act,
            &parameters,
            Some(0),
            t,
            &h,
            &da,
            &mut dh,
            &mut gradients,
        )
        .unwrap()
    });

    let mut ids = cpu.new_ids(t, CLASSES).unwrap();
    let mut random = checks::Random::new(6);
    let values: Vec<u32> = (0..t).map(|_| random.below(CLASSES) as u32).collect();
    cpu.write_ids(&mut ids, &values).unwrap();
    each("embed", 1, &mut || {
        cpu.embed(&ids, &parameters, 0, 1.0, &mut y).unwrap()
    });
    each("embed backward", 1, &mut || {
        cpu.embed_backward(&ids, &x, 1.0, &mut gradients, 0)
            .unwrap()
    });
    let mut sums = cpu.new_f32(4).unwrap();
    each("head loss, backward", 1, &mut || {
        let to = HeadGradient {
            scale: 1e-4,
            dx: &mut y,
            gradients: &mut gradients,
            weight_at: 9,
        };
        cpu.head_loss(&parameters, 0, CLASSES, &x, &ids, &mut sums, Some(to))
            .unwrap()
    });
    each("sum of squares", 1, &mut || {
        cpu.sum_squares(&parameters, 0..40_000, &mut sums, 3)
            .unwrap()
    });
    let [mut p, mut copy, mut first, mut second] = [7, 8, 9, 10].map(|i| filled(&cpu, 40_000, i));
    let mut hyper = cpu.new_f32(Optimiser::LEN).unwrap();
    cpu.write_f32(
        &mut hyper,
        0,
        &[1e-3, 0.9, 0.98, 1e-8, 0.1, 0.1, 0.02, 1.0, 1.0, 2.0],
    )
    .unwrap();
    each("adamw", 1, &mut || {
        let state = AdamW {
            parameters: &mut p,
            copy: &mut copy,
            gradients: &parameters,
            first: &mut first,
            second: &mut second,
            hyper: &hyper,
        };
        cpu.adamw(state, 0..40_000, true).unwrap()
    });
    [
        gradients.data,
        y.data,
        duv.data,
        dh.data,
        d_kernel.data,
        g.data,
        sums.data,
        a.data,
    ]
    .concat()
}

/// All that the operations write, each run once, for a batch of three.
pub fn fingerprint() -> Vec<f32> {
    operations(3, |_, _, run| run())
}

/// `cargo test --release -p toeplite-train -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
fn speed() {
    let mut step = 0.0;
    operations(BATCH, |name, count, run| {
        run();
        let mut times: Vec<f64> = (0..15)
            .map(|_| {
                let start = Instant::now();
                run();
                start.elapsed().as_secs_f64() * 1e3
            })
            .collect();
        times.sort_by(f64::total_cmp);
        println!(
            "{name:32} best {:7.3} ms, median {:7.3} ms, {count} a step",
            times[0], times[7]
        );
        step += times[7] * count as f64;
    });
    println!("sum of medians over a step of {TOKENS} tokens: {step:.1} ms");
}
