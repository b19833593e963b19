//! The RPE against a network in f64 and its slopes by differences.

use super::device;
use super::reference::{Random, activate, close, slopes};
use toeplite_train::device::cuda::{Cuda, Precision};
use toeplite_train::device::{Activation, Device, Norm, RpeInput, RpeShape, checks};

/// A shape with its parameters one after the other, from offset 1 on.
struct Net {
    shape: RpeShape,
    parameters: usize,
}

impl Net {
    fn new(width: usize, layers: usize, channels: usize, length: usize) -> Self {
        let shape = RpeShape {
            length,
            causal: true,
            width,
            layers,
            channels,
            heads: 1,
            norm: Some(Norm::SimpleRms),
            norms_at: vec![0; layers + 1],
            act: Activation::Silu,
            residual: false,
            input: RpeInput::Scaled(length),
            gamma_at: None,
            kernel_act: Activation::None,
            bias: true,
            first_at: 0,
            hidden_at: vec![],
            last_at: 0,
        };
        Self {
            shape,
            parameters: 0,
        }
    }

    /// Gives every parameter a place.
    fn placed(mut self, decays: bool) -> Self {
        let shape = &mut self.shape;
        let (r, bias) = (shape.width, usize::from(shape.bias));
        let mut end = 1;
        let mut take = |len: usize| {
            end += len;
            end - len
        };
        shape.first_at = take(r + bias * r);
        shape.hidden_at = (0..shape.layers).map(|_| take(r * r + bias * r)).collect();
        shape.last_at = take(shape.channels * r + bias * shape.channels);
        if shape.norm == Some(Norm::Layer) {
            shape.norms_at = (0..=shape.layers).map(|_| take(2 * r)).collect();
        }
        shape.gamma_at = decays.then(|| take(shape.channels));
        self.parameters = end;
        self
    }

    /// The kernel `[channels, lags]`.
    fn kernel(&self, p: &[f64]) -> Vec<f64> {
        let s = &self.shape;
        let mut kernel = vec![0.0; s.channels * s.lags()];
        for i in 0..s.lags() {
            if i == s.length {
                continue;
            }
            let lag = if i < s.length {
                i as f64
            } else {
                i as f64 - 2.0 * s.length as f64
            };
            let mut z = self.map(p, s.first_at, s.width, &[self.seen(lag)]);
            for k in 0..s.layers {
                let out = self.map(p, s.hidden_at[k], s.width, &self.normed(p, k, &z));
                let add = |(new, old): (&f64, &f64)| new + if s.residual { *old } else { 0.0 };
                z = out.iter().zip(&z).map(add).collect();
            }
            let out = self.map(p, s.last_at, s.channels, &self.normed(p, s.layers, &z));
            for (c, value) in out.iter().enumerate() {
                let decay = s.gamma_at.map_or(1.0, |at| p[at + c].powf(lag.abs()));
                kernel[c * s.lags() + i] = activate(s.kernel_act, decay * value);
            }
        }
        kernel
    }

    fn seen(&self, lag: f64) -> f64 {
        match self.shape.input {
            RpeInput::Lag => lag,
            RpeInput::Scaled(length) => lag / length as f64,
            RpeInput::Omega(_) | RpeInput::Cosine(_) | RpeInput::Warped { .. } => {
                unreachable!("responses and warped lags have checks of their own")
            }
        }
    }

    fn map(&self, p: &[f64], at: usize, rows: usize, x: &[f64]) -> Vec<f64> {
        let width = x.len();
        let row = |o: usize| {
            let bias = if self.shape.bias {
                p[at + rows * width + o]
            } else {
                0.0
            };
            bias + (0..width)
                .map(|j| p[at + o * width + j] * x[j])
                .sum::<f64>()
        };
        (0..rows).map(row).collect()
    }

    fn normed(&self, p: &[f64], k: usize, z: &[f64]) -> Vec<f64> {
        let (s, width) = (&self.shape, z.len() as f64);
        let mean = z.iter().sum::<f64>() / width;
        let variance = z.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width;
        let rms = (z.iter().map(|v| v * v).sum::<f64>() / width).sqrt();
        let at = s.norms_at[k];
        let norm = |(j, v): (usize, &f64)| match s.norm {
            None => *v,
            Some(Norm::SimpleRms) => v / (rms + 1e-8),
            Some(Norm::Layer) => {
                (v - mean) / (variance + 1e-5).sqrt() * p[at + j] + p[at + s.width + j]
            }
        };
        let normed = z.iter().enumerate().map(norm);
        normed.map(|v| activate(s.act, v)).collect()
    }
}

fn nets() -> Vec<Net> {
    let mut plain = Net::new(16, 2, 5, 24);
    plain.shape.norm = None;
    plain.shape.bias = false;
    plain.shape.residual = true;
    let mut layered = Net::new(12, 1, 70, 9);
    layered.shape.norm = Some(Norm::Layer);
    layered.shape.causal = false;
    layered.shape.kernel_act = Activation::Silu;
    layered.shape.act = Activation::Gelu;
    let mut wide = Net::new(70, 1, 3, 40);
    wide.shape.residual = true;
    wide.shape.input = RpeInput::Lag;
    let long = Net::new(8, 1, 2, 2100);
    vec![
        Net::new(16, 3, 6, 20).placed(true),
        plain.placed(false),
        layered.placed(true),
        wide.placed(true),
        long.placed(true),
    ]
}

#[test]
fn kernels_and_gradients() {
    let device = device(Precision::F32);
    for net in nets() {
        check(&device, &net);
    }
}

/// Transforms of one pass, of two and of three; fewer lags than positions, and more.
#[test]
fn kernels_of_responses_and_gradients() {
    let device = device(Precision::F32);
    for (input, length, causal) in [
        (RpeInput::Omega(1), 5, true),
        (RpeInput::Cosine(8), 5, false),
        (RpeInput::Cosine(8), 20, true),
        (RpeInput::Omega(64), 70, false),
        (RpeInput::Cosine(256), 100, true),
    ] {
        let (norm, sizes) = (Some(Norm::Layer), (12, 1, 6));
        let (shape, count) = checks::response_shape(length, causal, sizes, norm, input, 2);
        let error = checks::rpe(&device, &shape, count, 3).unwrap();
        assert!(error < 2e-5, "{error} of {shape:?}");
    }
}

fn check(device: &Cuda, net: &Net) {
    let (s, len) = (&net.shape, net.parameters);
    let what = format!("{s:?}");
    let mut random = Random(29);
    let mut values = random.floats(len);
    if let Some(at) = s.gamma_at {
        values[at..at + s.channels]
            .iter_mut()
            .for_each(|gamma| *gamma = 0.9 + 0.1 * *gamma);
    }
    let exact: Vec<f64> = values.iter().map(|&v| f64::from(v)).collect();
    let mut parameters = device.new_f32(len).unwrap();
    device.write_f32(&mut parameters, 0, &values).unwrap();
    let mut hidden = device.new_f32(s.hidden_len()).unwrap();
    let mut kernel = device.new_f32(s.channels * s.lags()).unwrap();
    device
        .rpe(s, &parameters, &mut hidden, &mut kernel)
        .unwrap();
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<_>>();
    let got = wide(device.read_f32(&kernel, 0..s.channels * s.lags()).unwrap());
    close(
        &format!("kernel of {what}"),
        &got,
        &net.kernel(&exact),
        2e-5,
    );

    let d_values = random.floats(s.channels * s.lags());
    let mut d_kernel = device.new_f32(d_values.len()).unwrap();
    device.write_f32(&mut d_kernel, 0, &d_values).unwrap();
    let before = random.floats(len);
    let mut gradients = device.new_f32(len).unwrap();
    device.write_f32(&mut gradients, 0, &before).unwrap();
    device
        .rpe_backward(s, &parameters, &mut hidden, &mut d_kernel, &mut gradients)
        .unwrap();
    let got = wide(device.read_f32(&gradients, 0..len).unwrap());
    // By differences every parameter costs two kernels: of large networks, a few are enough.
    let chosen: Vec<usize> = (0..len).step_by((len / 400).max(1)).collect();
    let mut point = exact.clone();
    let start: Vec<f64> = chosen.iter().map(|&i| exact[i]).collect();
    let differences = slopes(&start, |part| {
        chosen.iter().zip(part).for_each(|(&i, v)| point[i] = *v);
        let kernel = net.kernel(&point);
        kernel
            .iter()
            .zip(&d_values)
            .map(|(k, d)| k * f64::from(*d))
            .sum()
    });
    let gamma = s.gamma_at.map_or(0..0, |at| at..at + s.channels);
    let trained = |i: &usize| !gamma.contains(i);
    let (mut some, mut want) = (vec![], vec![]);
    for (&i, slope) in chosen.iter().zip(differences) {
        some.push(got[i] - f64::from(before[i]));
        want.push(if trained(&i) { slope } else { 0.0 });
    }
    close(&format!("gradients of {what}"), &some, &want, 5e-5);
}
