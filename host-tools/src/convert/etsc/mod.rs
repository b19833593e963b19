//! The closed form of "Accelerating Toeplitz Neural Network with Constant-time Inference
//! Complexity" (ETSC): `n` lags of any kernel as modes, without a fit.
//!
//! With `m = n + 1` and `t[n] = -sum t`, the inverse DFT `b` of `t` has `b[0] = 0`, and
//! `t[i] = sum_k b[k] exp(-2 pi i (i k mod m) / m)`; the fixed decay multiplies each pole. Real
//! kernels make `k` and `m - k` conjugate, so half of the modes do, with doubled residues; for
//! even `m` the mode `m / 2` is its own conjugate, its pole -1.
//!
//! Past lag `n - 1` the realised kernel is wrong by construction: before the decay it repeats with
//! period `m`, and `-sum t` stands at lag `n`. [`error_past_end`] says how much that matters.
//!
//! Where the decay cannot be taken out of the kernel (a kernel activation comes after it), transform
//! the kernel as it is with gamma 1. The modes then never die out, and neither does the error past
//! the end, nor the rounding error of a recurrence in f32. [`etsc_f32`] is the form for devices.

mod corrected;

pub use corrected::etsc_f32;

use crate::convert::measure::{KernelError, squared_norms};
use crate::convert::modal::Modal;
use ndarray::{Array1, Array2, ArrayView2, Axis};
use num_complex::Complex64;
use std::f64::consts::TAU;

/// The modes of the undecayed kernel `t` `[n, channels]` whose channel `c` decays by `gamma[c]`.
///
/// A decay that all channels share is folded into the poles, which are then shared too.
///
/// # Panics
/// If `gamma` has not one entry a channel.
pub fn etsc(t: ArrayView2<f64>, gamma: &[f64]) -> Modal {
    let (n, channels) = t.dim();
    assert_eq!(gamma.len(), channels, "one gamma a channel");
    if n == 0 {
        return Modal::from_taps(Array2::zeros((0, channels)));
    }
    let m = n + 1;
    let modes = mode_order(m);
    let spectrum = inverse_dft(t, &modes);
    Modal {
        taps: Array2::zeros((0, channels)),
        poles: modes.iter().map(|&k| root_of_unity(k, m)).collect(),
        residues: spectrum,
        channel_decay: Some(gamma.to_vec()),
    }
    .fold_uniform_decay()
}

/// `exp(-2 pi i k / m)` for `0 < k <= m / 2`, exactly real where it is -1.
fn root_of_unity(k: usize, m: usize) -> Complex64 {
    if 2 * k == m {
        return Complex64::new(-1.0, 0.0);
    }
    let (sin, cos) = (TAU * k as f64 / m as f64).sin_cos();
    Complex64::new(cos, -sin)
}

/// The frequencies kept of each conjugate pair: the real one (`m / 2`) first, then in bit-reversed
/// order. A recurrence adds the modes up in this order. The pad puts nearly equal amplitudes into
/// all of them, with phases that turn evenly; in rising order the partial sums would grow to the
/// pad's own size before they cancel, in bit-reversed order they cancel at once (four times less
/// rounding error in f32 on trained kernels).
fn mode_order(m: usize) -> Vec<usize> {
    let mut pairs: Vec<usize> = (1..m.div_ceil(2)).collect();
    pairs.sort_by_key(|k| k.reverse_bits());
    let real = m.is_multiple_of(2).then_some(m / 2);
    real.into_iter().chain(pairs).collect()
}

/// `b[k] = (1/m) sum_i t[i] exp(+2 pi i k / m)` with the pad `t[n] = -sum t`, at `modes`, doubled
/// for members of a pair: `[modes, channels]`.
fn inverse_dft(t: ArrayView2<f64>, modes: &[usize]) -> Array2<Complex64> {
    let (n, channels) = t.dim();
    let m = n + 1;
    let fft = toeplite_fft::plan::<f64>(m).forward;
    let (mut padded, mut spectrum) = (fft.make_input_vec(), fft.make_output_vec());
    let mut out = Array2::zeros((modes.len(), channels));
    for (c, kernel) in t.axis_iter(Axis(1)).enumerate() {
        padded[..n]
            .iter_mut()
            .zip(kernel)
            .for_each(|(p, x)| *p = *x);
        padded[n] = -kernel.sum();
        // The three buffers have the lengths that the plan itself gave.
        fft.process(&mut padded, &mut spectrum)
            .expect("buffers of the plan's own lengths");
        for (row, &k) in modes.iter().enumerate() {
            let members = if 2 * k == m { 1.0 } else { 2.0 };
            out[[row, c]] = spectrum[k].conj() * (members / m as f64);
        }
    }
    out
}

/// The kernel that [`etsc`] realises at lags `from..from + rows`, in closed form: periodic before
/// the decay.
pub fn realised(t: ArrayView2<f64>, gamma: &[f64], from: usize, rows: usize) -> Array2<f64> {
    let (n, channels) = t.dim();
    let pad: Array1<f64> = -t.sum_axis(Axis(0));
    Array2::from_shape_fn((rows, channels), |(row, c)| {
        let lag = from + row;
        let position = lag % (n + 1);
        let undecayed = if position == n {
            pad[c]
        } else {
            t[[position, c]]
        };
        undecayed * gamma[c].powf(lag as f64)
    })
}

/// Size of the error past the end: `|realised - true|` over the lags of `tail`, relative to the
/// true kernel over all lags up to there, root mean square over channels.
///
/// `t` `[n, channels]` is the undecayed kernel, `tail` `[lags, channels]` the true (decayed) one from
/// lag `n` on.
pub fn error_past_end(t: ArrayView2<f64>, gamma: &[f64], tail: ArrayView2<f64>) -> f64 {
    let n = t.nrows();
    let deviation = realised(t, gamma, n, tail.nrows()) - tail;
    let inside = squared_norms(realised(t, gamma, 0, n).view());
    let whole: Vec<f64> = inside
        .iter()
        .zip(squared_norms(tail))
        .map(|(a, b)| a + b)
        .collect();
    KernelError::from_squares(&squared_norms(deviation.view()), &whole).rms
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;
    use safetensors::SafeTensors;

    struct Case {
        t: Array2<f64>,
        gamma: Vec<f64>,
        theta: Vec<f64>,
        b: Array2<Complex64>,
        x: Array2<f64>,
        y: Array2<f64>,
        x_2n: Array2<f64>,
        y_2n: Array2<f64>,
    }

    fn load(name: &str) -> Case {
        let path = format!(
            "{}/../tests/fixtures/etsc/{name}.safetensors",
            env!("CARGO_MANIFEST_DIR")
        );
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let flat = |key: &str| -> Vec<f64> {
            let data = file.tensor(key).unwrap().data().to_vec();
            data.chunks(8)
                .map(|b| f64::from_le_bytes(b.try_into().unwrap()))
                .collect()
        };
        let channels = file.tensor("t").unwrap().shape()[1];
        let table = |key: &str| {
            let v = flat(key);
            Array2::from_shape_vec((v.len() / channels, channels), v).unwrap()
        };
        let b = table("b_re").mapv(|x| Complex64::new(x, 0.0))
            + table("b_im").mapv(|x| Complex64::new(0.0, x));
        Case {
            t: table("t"),
            gamma: flat("gamma"),
            theta: flat("theta_im"),
            b,
            x: table("x"),
            y: table("y"),
            x_2n: table("x_2n"),
            y_2n: table("y_2n"),
        }
    }

    const CASES: [&str; 5] = [
        "etsc_n8_d3_g90",
        "etsc_n64_d4_g99",
        "etsc_n64_d4_mixed",
        "etsc_n512_d4_g99",
        "etsc_n512_d3_g999",
    ];

    /// Runs the modes as a recurrence in f64.
    fn recur(form: &Modal, x: ArrayView2<f64>) -> Array2<f64> {
        let channels = form.channels();
        let mut states = Array2::<Complex64>::zeros((form.poles.len(), channels));
        let mut y = Array2::zeros(x.dim());
        for (i, row) in x.outer_iter().enumerate() {
            for (k, pole) in form.poles.iter().enumerate() {
                for c in 0..channels {
                    let g = form.channel_decay.as_ref().map_or(1.0, |d| d[c]);
                    states[[k, c]] = states[[k, c]] * pole * g + row[c];
                    y[[i, c]] += (form.residues[[k, c]] * states[[k, c]]).re;
                }
            }
        }
        y
    }

    fn relative(a: &Array2<f64>, b: &Array2<f64>) -> f64 {
        let largest = |m: &Array2<f64>| m.iter().fold(0.0, |s: f64, x| s.max(x.abs()));
        largest(&(a - b)) / largest(b)
    }

    #[test]
    fn modes_are_the_published_ones() {
        for name in CASES {
            let case = load(name);
            let (n, m) = (case.t.nrows(), case.t.nrows() + 1);
            let form = etsc(case.t.view(), &case.gamma);
            assert_eq!(form.order(), n, "{name}: as many real states as lags");
            for (row, k) in mode_order(m).into_iter().enumerate() {
                let members = if 2 * k == m { 1.0 } else { 2.0 };
                let g = if form.channel_decay.is_some() {
                    1.0
                } else {
                    case.gamma[0]
                };
                let pole = Complex64::from_polar(g, case.theta[k - 1]);
                assert!((form.poles[row] - pole).norm() < 1e-14, "{name} pole {k}");
                for c in 0..case.t.ncols() {
                    let b = case.b[[k, c]];
                    let error = (form.residues[[row, c]] - b * members).norm();
                    assert!(error < 1e-14 * m as f64, "{name} b[{k},{c}]");
                }
            }
        }
    }

    #[test]
    fn recurrence_gives_the_published_outputs_before_and_past_the_end() {
        for name in CASES {
            let case = load(name);
            let form = etsc(case.t.view(), &case.gamma);
            assert_eq!(form.validate(), Ok(()));
            assert!(
                relative(&recur(&form, case.x.view()), &case.y) < 1e-11,
                "{name}"
            );
            assert!(
                relative(&recur(&form, case.x_2n.view()), &case.y_2n) < 1e-11,
                "{name}"
            );
            let n = case.t.nrows();
            let closed = realised(case.t.view(), &case.gamma, 0, 3 * n);
            assert!(relative(&form.kernel(0..3 * n), &closed) < 1e-11, "{name}");
        }
    }

    #[test]
    fn f32_steps_stay_below_1e_5_at_lags_before_the_end() {
        for name in CASES {
            let case = load(name);
            let n = case.t.nrows();
            let stepped = etsc_f32(case.t.view(), &case.gamma).impulse_f32(n);
            let truth = realised(case.t.view(), &case.gamma, 0, n);
            let error = KernelError::between(stepped.mapv(f64::from).view(), truth.view());
            assert!(error.max < 1e-5, "{name}: {error:?}");
        }
    }

    #[test]
    fn smallest_kernels_are_exact() {
        for n in 1..5 {
            let t = Array2::from_shape_fn((n, 2), |(i, c)| 1.0 + i as f64 - 0.7 * c as f64);
            let form = etsc(t.view(), &[1.0, 0.5]);
            assert!(
                (form.kernel(0..n) - realised(t.view(), &[1.0, 0.5], 0, n))
                    .iter()
                    .all(|d| d.abs() < 1e-14)
            );
        }
        assert_eq!(etsc(Array2::zeros((0, 2)).view(), &[1.0, 1.0]).order(), 0);
    }

    #[test]
    fn error_past_the_end_is_measured_against_the_true_tail() {
        let t = array![[1.0], [1.0]];
        // Realised: 1, 1, -2, 1, 1, ...; true: all ones.
        let error = error_past_end(t.view(), &[1.0], Array2::ones((2, 1)).view());
        assert!((error - (9.0f64 / 4.0).sqrt()).abs() < 1e-12);
    }
}
