//! Kernels that no Toeplitz network was trained to: of other long convolutions.

use super::problem::Problem;
use ndarray::Array2;
use std::f64::consts::PI;

/// Each with its name.
pub fn all() -> Vec<(&'static str, Problem)> {
    vec![
        (
            "Hyena-like: decaying sines through a nonlinearity, 16 channels",
            table(1024, 16, hyena),
        ),
        (
            "S4-like: 32 modes, a step size a channel, 8 channels",
            table(2048, 8, s4),
        ),
        ("1 / (1 + i)", table(4096, 1, |i, _| 1.0 / (1.0 + i))),
        (
            "growing, then decaying, 4 channels",
            table(1024, 4, growing),
        ),
    ]
}

fn table(lags: usize, channels: usize, kernel: fn(f64, f64) -> f64) -> Problem {
    Problem {
        kernel: Array2::from_shape_fn((lags, channels), |(i, c)| kernel(i as f64, c as f64)),
        gamma: vec![1.0; channels],
        train_len: lags,
    }
}

fn hyena(i: f64, c: f64) -> f64 {
    let sines: f64 = (1..6)
        .map(|h| {
            let h = f64::from(h);
            (h * (c + 1.0)).sin() * (0.03 * h * i + h + c).sin()
        })
        .sum();
    sines.tanh() * (-i / (30.0 + 6.0 * c)).exp()
}

fn s4(i: f64, c: f64) -> f64 {
    let step = 0.01 * 1.25f64.powf(c);
    let modes = (0..32).map(|n| {
        let n = f64::from(n);
        (PI * n * step * i + n * (c + 1.0)).cos() / (1.0 + n)
    });
    (-0.5 * step * i).exp() * modes.sum::<f64>()
}

fn growing(i: f64, c: f64) -> f64 {
    let x = i / (10.0 + 4.0 * c);
    x * x * (-x).exp() * (0.02 * c * i).cos()
}
