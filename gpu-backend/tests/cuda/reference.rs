//! What the tests compute in f64.

use toeplite_train::device::Activation;

/// Repeatable random numbers.
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 33
    }

    /// Between -1 and 1.
    pub fn floats(&mut self, len: usize) -> Vec<f32> {
        (0..len)
            .map(|_| self.next() as f32 / (1u64 << 30) as f32 - 1.0)
            .collect()
    }
    pub fn below(&mut self, end: usize) -> u32 {
        (self.next() % end as u64) as u32
    }
}

/// Fails unless the relative error in the l2 norm is within the tolerance.
#[track_caller]
pub fn close(what: &str, got: &[f64], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}");
    let size: f64 = want.iter().map(|w| w * w).sum();
    let error: f64 = got.iter().zip(want).map(|(g, w)| (g - w).powi(2)).sum();
    let relative = (error / size.max(1e-30)).sqrt();
    assert!(
        error == 0.0 || relative <= tolerance,
        "{what}: relative error {relative:.2e}, {tolerance:.0e} allowed"
    );
}

/// The derivative of a function by each of its inputs, by differences.
pub fn slopes(at: &[f64], mut function: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut point = at.to_vec();
    (0..at.len())
        .map(|i| {
            let step = 1e-5;
            point[i] = at[i] + step;
            let above = function(&point);
            point[i] = at[i] - step;
            let below = function(&point);
            point[i] = at[i];
            (above - below) / (2.0 * step)
        })
        .collect()
}

/// An activation.
pub fn activate(act: Activation, x: f64) -> f64 {
    match act {
        Activation::None => x,
        Activation::Silu => x / (1.0 + (-x).exp()),
        Activation::Relu => x.max(0.0),
        Activation::Gelu => x * 0.5 * (1.0 + libm::erf(x / std::f64::consts::SQRT_2)),
    }
}

/// Its derivative.
pub fn slope(act: Activation, x: f64) -> f64 {
    if act == Activation::Relu {
        return f64::from(u8::from(x > 0.0));
    }
    slopes(&[x], |x| activate(act, x[0]))[0]
}
