//! Checks of a device's operations against plain f64 arithmetic, the same for every device.
//!
//! Each check runs one operation, forward and backward, on random operands and returns the worst
//! relative error: the largest difference of a tensor over its largest element. Gradients are
//! compared with central differences of the plain computation in f64, element by element: those are
//! right to about 1e-9, so that what is seen is the device's error. Operands are read back before
//! they are used, so that a device which rounds them is not blamed for it.

mod linear;
mod optimise;
mod plain;
mod sequence;
mod ski;

pub use linear::{column_sums, embed, gemm, gemm_gradient, ids, mean_pool, norm, strided};
pub use optimise::{adamw, adamw_without_norm, dropout, head_loss, sum_squares};
pub use sequence::{gate, hide_padding, mix, response_shape, rpe, rpe_shape, warped_shape};
pub use ski::{ski, ski_outputs};

use super::{Device, Result};

/// Random operands, the same for the same seed (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// Uniform in -1..1.
    pub(crate) fn values(&mut self, len: usize) -> Vec<f32> {
        let value = |bits: u64| (bits >> 40) as f32 / (1 << 23) as f32 - 1.0;
        (0..len).map(|_| value(self.next())).collect()
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|&x| f64::from(x)).collect()
}

/// A buffer of activations, and what it holds.
fn act<D: Device>(device: &D, values: &[f32]) -> Result<(D::Act, Vec<f64>)> {
    let mut buffer = device.new_act(values.len())?;
    device.write_act(&mut buffer, 0, values)?;
    let held = wide(&device.read_act(&buffer, 0..values.len())?);
    Ok((buffer, held))
}

/// A buffer of f32, and what it holds.
fn full<D: Device>(device: &D, values: &[f32]) -> Result<(D::F32, Vec<f64>)> {
    let mut buffer = device.new_f32(values.len())?;
    device.write_f32(&mut buffer, 0, values)?;
    Ok((buffer, wide(values)))
}

/// The largest difference over the largest element; a difference itself where all are tiny.
fn error(got: &[f32], want: &[f64]) -> f64 {
    assert_eq!(got.len(), want.len());
    let largest = want.iter().fold(1e-6, |a: f64, b| a.max(b.abs()));
    let differences = got
        .iter()
        .zip(want)
        .map(|(&got, want)| (f64::from(got) - want).abs());
    // A NaN must not hide: max would drop it.
    differences.fold(0.0, |a: f64, d| if d > a || d.is_nan() { d } else { a }) / largest
}

fn act_error<D: Device>(device: &D, got: &D::Act, want: &[f64]) -> Result<f64> {
    Ok(error(&device.read_act(got, 0..want.len())?, want))
}

fn full_error<D: Device>(device: &D, got: &D::F32, want: &[f64]) -> Result<f64> {
    Ok(error(&device.read_f32(got, 0..want.len())?, want))
}

/// The gradient of `<f(x), dy>` by central differences.
fn gradient(x: &[f64], dy: &[f64], f: impl Fn(&[f64]) -> Vec<f64>) -> Vec<f64> {
    const STEP: f64 = 1e-6;
    let mut x = x.to_vec();
    let mut gradient = Vec::with_capacity(x.len());
    for i in 0..x.len() {
        let at = x[i];
        let mut side = |x_i: f64| {
            x[i] = x_i;
            f(&x)
        };
        let (above, below) = (side(at + STEP), side(at - STEP));
        x[i] = at;
        // Differences first: sums of large values would lose them.
        let terms = above.iter().zip(&below).zip(dy);
        gradient.push(terms.map(|((a, b), dy)| (a - b) * dy).sum::<f64>() / (2.0 * STEP));
    }
    gradient
}

/// `gradient + before`: operations add to what a buffer holds.
fn added(gradient: Vec<f64>, before: &[f64]) -> Vec<f64> {
    gradient.iter().zip(before).map(|(a, b)| a + b).collect()
}
