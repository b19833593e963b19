//! The operations against plain f64.

use super::device;
use super::reference::{self, Random, activate, close, slope};
use toeplite_train::device::cuda::{Act, Cuda, F32, Precision};
use toeplite_train::device::random::{Stream, dropout_threshold};
use toeplite_train::device::{
    Activation, AdamW, Device, Gemm, HIDDEN, HeadGradient, IGNORE, Norm, NormShape, Optimiser,
    checks,
};

/// Devices with the error that their type of activations allows.
fn devices() -> Vec<(Cuda, f64)> {
    vec![
        (device(Precision::F32), 1e-5),
        (device(Precision::Bf16), 6e-3),
    ]
}

/// A buffer of random activations, and what it holds.
fn act(device: &Cuda, random: &mut Random, len: usize) -> (Act, Vec<f64>) {
    let mut buffer = device.new_act(len).unwrap();
    device
        .write_act(&mut buffer, 0, &random.floats(len))
        .unwrap();
    let held = held(device, &buffer);
    (buffer, held)
}

fn held(device: &Cuda, buffer: &Act) -> Vec<f64> {
    let values = device.read_act(buffer, 0..buffer.len()).unwrap();
    values.into_iter().map(f64::from).collect()
}

fn numbers(device: &Cuda, random: &mut Random, len: usize) -> (F32, Vec<f64>) {
    let mut buffer = device.new_f32(len).unwrap();
    let values = random.floats(len);
    device.write_f32(&mut buffer, 0, &values).unwrap();
    (buffer, values.into_iter().map(f64::from).collect())
}

fn all(device: &Cuda, buffer: &F32) -> Vec<f64> {
    let values = device.read_f32(buffer, 0..buffer.len()).unwrap();
    values.into_iter().map(f64::from).collect()
}

fn norm_of(norm: Norm, x: &[f64], weight: &[f64], bias: &[f64]) -> Vec<f64> {
    let width = x.len() as f64;
    let mean = match norm {
        Norm::SimpleRms => 0.0,
        Norm::Layer => x.iter().sum::<f64>() / width,
    };
    let square = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width;
    let scale = match norm {
        Norm::SimpleRms => 1.0 / (square.sqrt() + 1e-8),
        Norm::Layer => 1.0 / (square + 1e-5).sqrt(),
    };
    let affine = |(j, v): (usize, &f64)| match norm {
        Norm::SimpleRms => v * scale,
        Norm::Layer => (v - mean) * scale * weight[j] + bias[j],
    };
    x.iter().enumerate().map(affine).collect()
}

#[test]
fn norms_forward_and_backward() {
    for (device, tolerance) in devices() {
        for (norm, width, tokens) in [
            (Norm::SimpleRms, 64, 9),
            (Norm::SimpleRms, 37, 5),
            (Norm::Layer, 520, 6),
            (Norm::Layer, 30, 70),
        ] {
            let mut random = Random(7);
            let (x, xs) = act(&device, &mut random, tokens * width);
            let (dy, dys) = act(&device, &mut random, tokens * width);
            let (mut dx, before) = act(&device, &mut random, tokens * width);
            let (parameters, ps) = numbers(&device, &mut random, 3 + 2 * width);
            let (mut gradients, gs) = numbers(&device, &mut random, 3 + 2 * width);
            let shape = NormShape {
                norm,
                width,
                weight_at: 3,
            };
            let mut y = device.new_act(tokens * width).unwrap();
            device.norm(shape, &parameters, &x, &mut y).unwrap();
            device
                .norm_backward(shape, &parameters, &x, &dy, &mut dx, &mut gradients)
                .unwrap();
            let (weight, bias) = (&ps[3..3 + width], &ps[3 + width..]);
            let (mut want_y, mut want_dx, mut want_g) = (vec![], before, gs);
            for t in 0..tokens {
                let row = t * width..(t + 1) * width;
                let (x, dy) = (&xs[row.clone()], &dys[row.clone()]);
                want_y.extend(norm_of(norm, x, weight, bias));
                let loss = |x: &[f64], w: &[f64], b: &[f64]| -> f64 {
                    let y = norm_of(norm, x, w, b);
                    y.iter().zip(dy).map(|(y, dy)| y * dy).sum()
                };
                let slopes = reference::slopes(x, |x| loss(x, weight, bias));
                want_dx[row]
                    .iter_mut()
                    .zip(slopes)
                    .for_each(|(d, s)| *d += s);
                if norm == Norm::Layer {
                    let affine = &ps[3..];
                    let slopes = reference::slopes(affine, |p| loss(x, &p[..width], &p[width..]));
                    want_g[3..]
                        .iter_mut()
                        .zip(slopes)
                        .for_each(|(g, s)| *g += s);
                }
            }
            let what = format!("{} {norm:?} {width}", device.name());
            close(
                &format!("y, {what}"),
                &held(&device, &y),
                &want_y,
                tolerance,
            );
            close(
                &format!("dx, {what}"),
                &held(&device, &dx),
                &want_dx,
                tolerance,
            );
            close(
                &format!("gradients, {what}"),
                &all(&device, &gradients),
                &want_g,
                1e-5,
            );
        }
    }
}

#[test]
fn sums_over_tokens() {
    for (device, _) in devices() {
        for (tokens, width) in [(300, 24), (5, 7), (40, 600)] {
            let mut random = Random(3);
            let (x, xs) = act(&device, &mut random, tokens * width);
            let (mut sums, mut want) = numbers(&device, &mut random, width + 2);
            device.column_sums(&x, width, &mut sums, 2).unwrap();
            xs.iter()
                .enumerate()
                .for_each(|(i, v)| want[2 + i % width] += v);
            close("sums", &all(&device, &sums), &want, 1e-5);
        }
    }
}

#[test]
fn gates_forward_and_backward() {
    for (device, tolerance) in devices() {
        for (kind, channels, tokens, bias_at) in [
            (Activation::Silu, 3, 600, Some(1)),
            (Activation::Gelu, 2, 37, Some(0)),
            (Activation::Relu, 2, 40, None),
            (Activation::None, 2, 40, None),
        ] {
            let mut random = Random(5);
            let (h, hs) = act(&device, &mut random, 2 * channels * tokens);
            let (da, das) = act(&device, &mut random, channels * tokens);
            let (parameters, ps) = numbers(&device, &mut random, 2 * channels + 1);
            let (mut gradients, mut want_g) = numbers(&device, &mut random, 2 * channels + 1);
            let mut a = device.new_act(channels * tokens).unwrap();
            let mut dh = device.new_act(2 * channels * tokens).unwrap();
            device
                .gate(kind, &parameters, bias_at, tokens, &h, &mut a)
                .unwrap();
            device
                .gate_backward(
                    kind,
                    &parameters,
                    bias_at,
                    tokens,
                    &h,
                    &da,
                    &mut dh,
                    &mut gradients,
                )
                .unwrap();
            let (mut want_a, mut want_dh) = (vec![], vec![0.0; hs.len()]);
            for i in 0..channels * tokens {
                let (c, other) = (i / tokens, channels * tokens + i);
                let bias = |c: usize| bias_at.map_or(0.0, |at| ps[at + c]);
                let (p, q) = (hs[i] + bias(c), hs[other] + bias(channels + c));
                want_a.push(activate(kind, p) * q);
                want_dh[i] = das[i] * q * slope(kind, p);
                want_dh[other] = das[i] * activate(kind, p);
                if let Some(at) = bias_at {
                    want_g[at + c] += want_dh[i];
                    want_g[at + channels + c] += want_dh[other];
                }
            }
            let what = format!("{} {kind:?}", device.name());
            close(
                &format!("a, {what}"),
                &held(&device, &a),
                &want_a,
                tolerance,
            );
            close(
                &format!("dh, {what}"),
                &held(&device, &dh),
                &want_dh,
                tolerance,
            );
            close(
                &format!("gradients, {what}"),
                &all(&device, &gradients),
                &want_g,
                1e-5,
            );
        }
    }
}

#[test]
fn embedding_forward_and_backward() {
    for (device, tolerance) in devices() {
        // Frequent identities span many segments, some exactly; 3 is absent; some do not count.
        for (tokens, width, ids) in [
            (
                300,
                48,
                (0..300)
                    .map(|i| [1, 5, 5, 0, 9][i % 5])
                    .collect::<Vec<u32>>(),
            ),
            (256, 7, vec![4; 256]),
            (64, 1100, (0..64).map(|i| i / 32).collect()),
            (
                70,
                8,
                (0..70)
                    .map(|i| if i % 3 == 0 { IGNORE } else { i % 10 })
                    .collect(),
            ),
            (33, 8, vec![IGNORE; 33]),
        ] {
            let mut random = Random(11);
            let (table, ts) = act(&device, &mut random, 8 + 10 * width);
            let (dx, dxs) = act(&device, &mut random, tokens * width);
            let (mut gradients, mut want_g) = numbers(&device, &mut random, 2 + 10 * width);
            let mut x = device.new_act(tokens * width).unwrap();
            let mut buffer = device.new_ids(tokens, 10).unwrap();
            device.write_ids(&mut buffer, &ids).unwrap();
            device.embed(&buffer, &table, 8, 1.5, &mut x).unwrap();
            device
                .embed_backward(&buffer, &dx, 0.5, &mut gradients, 2)
                .unwrap();
            let mut want_x = vec![0.0; tokens * width];
            for (i, want) in want_x.iter_mut().enumerate() {
                let id = ids[i / width];
                if id != IGNORE {
                    let at = id as usize * width + i % width;
                    *want = 1.5 * ts[8 + at];
                    want_g[2 + at] += 0.5 * dxs[i];
                }
            }
            close("x", &held(&device, &x), &want_x, tolerance);
            close("gradients", &all(&device, &gradients), &want_g, 1e-5);
        }
        let mut buffer = device.new_ids(2, 10).unwrap();
        assert!(device.write_ids(&mut buffer, &[3, 10]).is_err());
    }
}

/// Loss, targets, hits; gradients of x and of the weight.
fn head(
    x: &[f64],
    w: &[f64],
    targets: &[u32],
    width: usize,
    scale: f64,
) -> ([f64; 3], Vec<f64>, Vec<f64>) {
    let classes = w.len() / width;
    let (mut sums, mut dx, mut dw) = ([0.0; 3], vec![0.0; x.len()], vec![0.0; w.len()]);
    for (t, &target) in targets.iter().enumerate() {
        if target == IGNORE {
            continue;
        }
        let row = &x[t * width..(t + 1) * width];
        let dot = |c: usize| {
            row.iter()
                .zip(&w[c * width..])
                .map(|(x, w)| x * w)
                .sum::<f64>()
        };
        let logits: Vec<f64> = (0..classes).map(dot).collect();
        let top = logits.iter().fold(f64::MIN, |top, &l| top.max(l));
        let sum: f64 = logits.iter().map(|l| (l - top).exp()).sum();
        sums[0] += sum.ln() + top - logits[target as usize];
        sums[1] += 1.0;
        sums[2] += f64::from(u8::from(logits[target as usize] >= top));
        for c in 0..classes {
            let hot = f64::from(u8::from(c == target as usize));
            let d = ((logits[c] - top).exp() / sum - hot) * scale;
            for j in 0..width {
                dx[t * width + j] += d * w[c * width + j];
                dw[c * width + j] += d * row[j];
            }
        }
    }
    (sums, dx, dw)
}

#[test]
fn loss_and_its_gradients() {
    for (mut device, tolerance) in devices() {
        for (tokens, width, classes, limit) in [
            (200, 16, 11, 1 << 20),
            (150, 8, 40, 64 * 40 * 2),
            (3, 8, 4500, 1 << 20),
        ] {
            device.limit_logits(limit);
            let mut random = Random(13);
            let (x, xs) = act(&device, &mut random, tokens * width);
            let (w, ws) = act(&device, &mut random, 8 + classes * width);
            let mut targets: Vec<u32> = (0..tokens).map(|_| random.below(classes)).collect();
            targets[1] = IGNORE;
            let mut ids = device.new_ids(tokens, classes).unwrap();
            device.write_ids(&mut ids, &targets).unwrap();
            let (mut sums, start) = numbers(&device, &mut random, 3);
            let (mut gradients, mut want_dw) = numbers(&device, &mut random, 5 + classes * width);
            let mut dx = device.new_act(tokens * width).unwrap();
            let scale = 1.0 / tokens as f32;
            let gradient = HeadGradient {
                scale,
                dx: &mut dx,
                gradients: &mut gradients,
                weight_at: 5,
            };
            device
                .head_loss(&w, 8, classes, &x, &ids, &mut sums, Some(gradient))
                .unwrap();
            device
                .head_loss(&w, 8, classes, &x, &ids, &mut sums, None)
                .unwrap();
            let (want, want_dx, dw) = head(&xs, &ws[8..], &targets, width, f64::from(scale));
            want_dw[5..].iter_mut().zip(&dw).for_each(|(w, d)| *w += d);
            let got = all(&device, &sums);
            close("loss", &[got[0] - start[0]], &[2.0 * want[0]], tolerance);
            close("targets", &[got[1] - start[1]], &[2.0 * want[1]], 1e-5);
            // Rounded logits may tie.
            assert!(
                (got[2] - start[2] - 2.0 * want[2]).abs() <= 2.0 + tolerance,
                "{got:?} {want:?}"
            );
            close("dx", &held(&device, &dx), &want_dx, tolerance);
            close("gradients", &all(&device, &gradients), &want_dw, tolerance);
        }
    }
}

#[test]
fn optimiser_steps() {
    for (device, tolerance) in devices() {
        for (range, decay, max_norm) in [(4..40, true, 0.3), (3..46, false, 0.0), (0..2, true, 1e9)]
        {
            let mut random = Random(17);
            let len = 50;
            let (mut parameters, mut ps) = numbers(&device, &mut random, len);
            let (gradients, gs) = numbers(&device, &mut random, len);
            let (mut first, mut ms) = numbers(&device, &mut random, len);
            let mut second = device.new_f32(len).unwrap();
            let mut vs: Vec<f64> = gs.iter().map(|g| (g * g) as f32 as f64).collect();
            let squares: Vec<f32> = vs.iter().map(|&v| v as f32).collect();
            device.write_f32(&mut second, 0, &squares).unwrap();
            let (mut copy, mut cs) = act(&device, &mut random, len);
            let optimiser = Optimiser {
                rate: 0.01,
                beta1: 0.9,
                beta2: 0.98,
                epsilon: 1e-6,
                weight_decay: 0.2,
                correction1: 0.3,
                correction2: 0.1,
                max_norm,
                gradient_scale: 0.5,
            };
            let mut hyper = device.new_f32(Optimiser::LEN).unwrap();
            device
                .write_f32(&mut hyper, 0, &optimiser.to_array())
                .unwrap();
            device
                .sum_squares(&gradients, range.clone(), &mut hyper, Optimiser::SQUARES)
                .unwrap();
            let state = AdamW {
                parameters: &mut parameters,
                copy: &mut copy,
                gradients: &gradients,
                first: &mut first,
                second: &mut second,
                hyper: &hyper,
            };
            device.adamw(state, range.clone(), decay).unwrap();
            let norm = 0.5 * gs[range.clone()].iter().map(|g| g * g).sum::<f64>().sqrt();
            let max_norm = f64::from(max_norm);
            let clip = if max_norm > 0.0 {
                (max_norm / (norm + 1e-6)).min(1.0)
            } else {
                1.0
            };
            for i in range.clone() {
                let g = gs[i] * 0.5 * clip;
                ms[i] = 0.9 * ms[i] + 0.1 * g;
                vs[i] = 0.98 * vs[i] + 0.02 * g * g;
                if decay {
                    ps[i] -= 0.01 * 0.2 * ps[i];
                }
                ps[i] -= 0.01 * (ms[i] / 0.3) / ((vs[i] / 0.1).sqrt() + 1e-6);
                cs[i] = ps[i];
            }
            close("parameters", &all(&device, &parameters), &ps, 1e-5);
            close("first", &all(&device, &first), &ms, 1e-5);
            close("second", &all(&device, &second), &vs, 1e-5);
            close("copy", &held(&device, &copy), &cs, tolerance);
        }
    }
}

#[test]
fn clipping_is_that_of_every_device() {
    for (device, tolerance) in devices() {
        for clip in [(0.0, 0.5), (0.5, 0.5), (1e-7, 1e-8)] {
            let error = checks::adamw(&device, 300, clip, true, 5).unwrap();
            assert!(error < tolerance, "{} {clip:?}: {error}", device.name());
        }
        for max_norm in [0.0, 1.0] {
            assert!(checks::adamw_without_norm(&device, max_norm).unwrap());
        }
    }
}

#[test]
fn matrix_products() {
    for (device, tolerance) in devices() {
        // The second shape has rows that begin at odd places, and more than one block of them.
        let shapes = [(5, 8, 16), (67, 9, 35)];
        for (bits, (m, n, k)) in (0..8).flat_map(|bits| shapes.map(|shape| (bits, shape))) {
            let (transpose_a, transpose_b, accumulate) = (bits & 1 > 0, bits & 2 > 0, bits & 4 > 0);
            let shape = Gemm {
                m,
                n,
                k,
                transpose_a,
                transpose_b,
                accumulate,
            };
            let mut random = Random(19);
            let (a, xs) = act(&device, &mut random, 8 + m * k);
            let (b, ys) = act(&device, &mut random, n * k);
            let (bias, bs) = act(&device, &mut random, 8 + n);
            let (mut c, cs) = act(&device, &mut random, m * n);
            let (mut d, mut want_d) = numbers(&device, &mut random, 4 + m * n);
            device
                .gemm(shape, (&a, 8), (&b, 0), Some((&bias, 8)), &mut c)
                .unwrap();
            device
                .gemm_gradient(shape, (&a, 8), (&b, 0), &mut d, 4)
                .unwrap();
            let mut want_c = vec![];
            for (i, j) in (0..m * n).map(|i| (i / n, i % n)) {
                let a_at = |t| if transpose_a { t * m + i } else { i * k + t };
                let b_at = |t| if transpose_b { j * k + t } else { t * n + j };
                let sum: f64 = (0..k).map(|t| xs[8 + a_at(t)] * ys[b_at(t)]).sum();
                let old = if accumulate { cs[i * n + j] } else { 0.0 };
                want_c.push(sum + bs[8 + j] + old);
                want_d[4 + i * n + j] += sum;
            }
            close("C", &held(&device, &c), &want_c, tolerance);
            let (addend, old) = act(&device, &mut random, m * n);
            device
                .gemm_add(shape, (&a, 8), (&b, 0), Some((&bias, 8)), &addend, &mut c)
                .unwrap();
            let changed = if accumulate { cs } else { vec![0.0; m * n] };
            let sums = want_c.iter().zip(&old).zip(&changed);
            let want_c: Vec<f64> = sums.map(|((c, old), changed)| c - changed + old).collect();
            close("C onto another", &held(&device, &c), &want_c, tolerance);
            close("gradient", &all(&device, &d), &want_d, 1e-5);
        }
    }
}

#[test]
fn dropout_is_repeatable_and_keeps_the_mean() {
    for (device, tolerance) in devices() {
        let mut seed = device.new_f32(2).unwrap();
        device
            .write_f32(&mut seed, 0, &[123_456.0, 654_321.0])
            .unwrap();
        let mut x = device.new_act(5000).unwrap();
        device.write_act(&mut x, 0, &[1.0; 5000]).unwrap();
        device.dropout(&mut x, 0.25, &seed, 3).unwrap();
        let stream = Stream::new([123_456.0, 654_321.0], 3);
        let dropped = dropout_threshold(0.25).unwrap();
        let want: Vec<f64> = (0..5000)
            .map(|i| match stream.bits(i) < dropped {
                true => 0.0,
                false => 1.0 / 0.75,
            })
            .collect();
        close("kept", &held(&device, &x), &want, tolerance);
        let mean = want.iter().sum::<f64>() / 5000.0;
        assert!((mean - 1.0).abs() < 0.03, "{mean}");
    }
}

#[test]
fn pools_casts_and_copies() {
    for (device, tolerance) in devices() {
        let (batch, length, width) = (3, 21, 40);
        let mut random = Random(23);
        let (x, xs) = act(&device, &mut random, batch * length * width);
        let mut y = device.new_act(batch * width).unwrap();
        let own = [21, 0, 13];
        let mut counts = device.new_f32(batch).unwrap();
        device
            .write_f32(&mut counts, 0, &own.map(|own| own as f32))
            .unwrap();
        let share = |i: usize| match own[i / (length * width)] {
            own if i / width % length < own => 1.0 / own as f64,
            _ => 0.0,
        };
        device.mean_pool(&x, &counts, length, &mut y).unwrap();
        let mut want = vec![0.0; batch * width];
        for (i, v) in xs.iter().enumerate() {
            want[i / (length * width) * width + i % width] += v * share(i);
        }
        close("mean", &held(&device, &y), &want, tolerance);
        let (dy, dys) = act(&device, &mut random, batch * width);
        let mut dx = device.new_act(xs.len()).unwrap();
        device
            .mean_pool_backward(&dy, &counts, length, &mut dx)
            .unwrap();
        let spread = |i: usize| dys[i / (length * width) * width + i % width] * share(i);
        let want: Vec<f64> = (0..xs.len()).map(spread).collect();
        close("dx", &held(&device, &dx), &want, tolerance);

        let (mut uv, mut want) = act(&device, &mut random, 4 * batch * length);
        device.hide_padding(&mut uv, &counts, length).unwrap();
        let second = want.iter_mut().enumerate().skip(2 * batch * length);
        let padding = second.filter(|(i, _)| i % length >= own[i / length % batch]);
        padding.for_each(|(_, v)| *v = f64::from(HIDDEN));
        assert_eq!(held(&device, &uv), want);

        let error = checks::strided(&device, 70, 3, 23).unwrap();
        assert!(error < tolerance, "kernels along columns: {error}");
        let error = checks::strided(&device, 64, 1, 24).unwrap();
        assert!(error < tolerance, "in vectors: {error}");

        let mut copy = device.new_act(xs.len()).unwrap();
        device.copy(&x, &mut copy).unwrap();
        assert_eq!(held(&device, &copy), xs);
        let (mut from, values) = numbers(&device, &mut random, 30);
        for range in [4..24, 3..30] {
            let (mut to, mut want) = act(&device, &mut random, 30);
            device.cast(&from, &mut to, range.clone()).unwrap();
            want[range.clone()].copy_from_slice(&values[range]);
            close("cast", &held(&device, &to), &want, tolerance);
        }
        device.zero(&mut from, 2..29).unwrap();
        let zeroed = all(&device, &from);
        assert!(zeroed[2..29].iter().all(|&v| v == 0.0));
        assert_eq!((zeroed[1], zeroed[29]), (values[1], values[29]));
    }
}

#[test]
fn memory_is_counted() {
    let device = device(Precision::Bf16);
    let first = device.new_act(100).unwrap();
    let second = device.new_f32(100).unwrap();
    assert_eq!(device.memory(), (600, 600));
    drop(first);
    assert_eq!(device.memory(), (400, 600));
    assert!(all(&device, &second).iter().all(|&v| v == 0.0));
}
