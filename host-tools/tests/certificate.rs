//! A hundred thousand inputs that are made to beat the certificate of a conversion, and do not.
//!
//! What a recurrence and the true convolution make of the same input differs by what the error of
//! the kernel, `e(i)`, makes of it. That error is computed once a channel, far past the lags of the fit, and all
//! trials on the channel share it: each is an input with its own error at the output.

use ndarray::{Array2, ArrayView1};
use num_complex::Complex64;
use rayon::prelude::*;
use std::f64::consts::PI;
use std::path::PathBuf;
use toeplite_tools::checkpoint::Checkpoint;
use toeplite_tools::convert::network::{operators, trained_kernels};
use toeplite_tools::convert::reduced::linalg::pseudo_random;
use toeplite_tools::convert::{Certificate, KernelSource, Method, Modal, Search, convert_layer};

/// Lags that inputs to trained kernels last, several times those of a fit.
const LAGS: usize = 6000;

/// Trials of each of four kinds on each channel.
const TRIALS: usize = 20;

/// What bounds may be at most, as multiples of what the worst trial reached.
const LOOSEST: f64 = 1.3;

/// The worst that trials reached, as shares of the bounds.
#[derive(Clone, Copy, Debug)]
struct Worst {
    l1: f64,
    l2: f64,
    hinf: f64,
    trials: usize,
}

/// A recurrence as it is stored, with its certificate and the error of its kernels.
struct Target {
    name: String,
    form: Modal,
    certificate: Certificate,
    truth: Array2<f64>,
    errors: Array2<f64>,
}

impl Target {
    fn new(name: String, source: &impl KernelSource, search: Search) -> Self {
        let converted = convert_layer(source, &Method::Reduced(search)).unwrap();
        let form = converted.modal.to_f32_safe();
        let lags = (converted.certificate.lags).map_or(LAGS, |lags| lags.min(LAGS));
        let truth = source.kernel(0..lags);
        Self {
            name,
            errors: form.kernel(0..lags) - &truth,
            truth,
            form,
            certificate: converted.certificate,
        }
    }

    /// All trials on one channel.
    fn attack(&self, channel: usize, seed: u64, noise: &[Vec<f64>]) -> Worst {
        let errors = self.errors.column(channel).to_owned();
        let e = errors.as_slice().expect("one channel's errors in a row");
        let [l1, l2, hinf] = [
            &self.certificate.l1,
            &self.certificate.l2,
            &self.certificate.hinf_channels,
        ]
        .map(|bounds| bounds[channel]);
        let mut worst = Worst {
            l1: 0.0,
            l2: 0.0,
            hinf: 0.0,
            trials: 4 * TRIALS,
        };
        let draws = pseudo_random(TRIALS, 3, seed);
        let peak = loudest(errors.view());
        for trial in 0..TRIALS {
            // The first of each kind is the worst there is; others end early, or miss it by a little.
            let strength = if trial == 0 {
                0.0
            } else {
                draws[(trial, 0)].abs()
            };
            let lags = e.len() - (strength * (e.len() - 1) as f64) as usize;
            let noise = &noise[trial][..e.len()];
            worst.l1 = worst.l1.max(signs(&e[..lags], noise, strength) / l1);
            worst.l2 = worst.l2.max(unit_energy(&e[..lags], noise, strength) / l2);
            let turn = peak + strength * draws[(trial, 1)] * 0.1;
            worst.hinf = worst.hinf.max(response(e, turn).norm() / hinf);
            // Noise counts for both: within [-1, 1], and of a known energy.
            let output = dot(e, noise).abs();
            worst.l1 = worst.l1.max(output / l1);
            worst.l2 = worst.l2.max(output / dot(noise, noise).sqrt() / l2);
        }
        worst
    }
}

/// Error at the output of an input of the error's signs backwards, a share of them turned at random.
fn signs(e: &[f64], noise: &[f64], turned: f64) -> f64 {
    let sign = |(e, r): (&f64, &f64)| {
        if r.abs() < 0.3 * turned {
            -e.abs()
        } else {
            e.abs()
        }
    };
    e.iter().zip(noise).map(sign).sum()
}

/// The same of the error itself backwards, with noise as strong as `blur`, divided by the root of its energy.
fn unit_energy(e: &[f64], noise: &[f64], blur: f64) -> f64 {
    let scale = blur * (dot(e, e) / e.len() as f64).sqrt();
    let (mut output, mut energy) = (0.0, 0.0);
    for (e, r) in e.iter().zip(noise) {
        let x = e + scale * r;
        output += e * x;
        energy += x * x;
    }
    output / energy.sqrt().max(f64::MIN_POSITIVE)
}

/// What a sinusoid of size 1 ends up as: the input's energy is the square of that, in the limit.
fn response(e: &[f64], turn: f64) -> Complex64 {
    // Horner's rule.
    let step = Complex64::from_polar(1.0, -turn);
    (e.iter().rev()).fold(Complex64::ZERO, |sum, e| sum * step + e)
}

/// The frequency at which the error is largest.
fn loudest(e: ArrayView1<f64>) -> f64 {
    let length = (8 * e.len()).next_power_of_two();
    let plan = toeplite_fft::plan::<f64>(length);
    let (mut x, mut bins) = (
        plan.forward.make_input_vec(),
        plan.forward.make_output_vec(),
    );
    x.iter_mut().zip(e).for_each(|(x, e)| *x = *e);
    plan.forward.process(&mut x, &mut bins).unwrap();
    let bin = (0..bins.len())
        .max_by(|a, b| bins[*a].norm_sqr().total_cmp(&bins[*b].norm_sqr()))
        .unwrap();
    2.0 * PI * bin as f64 / length as f64
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Every layer of a bundled checkpoint, at its own search's order and at a small one.
fn trained(name: &str) -> Vec<Target> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../firmware-examples/checkpoints")
        .join(name);
    let checkpoint = Checkpoint::open(&folder).unwrap();
    let operators = operators(&checkpoint).unwrap();
    let sources = trained_kernels(&operators, checkpoint.config.train_len);
    let targets = sources.par_iter().enumerate().map(|(layer, source)| {
        let small = Search {
            taps: Some(2),
            order: Some(3),
            ..Search::default()
        };
        let search = if layer % 2 == 0 {
            small
        } else {
            Search::default()
        };
        Target::new(format!("{name} {layer}"), source, search)
    });
    targets.collect()
}

/// Kernels that nobody trained: oscillating, growing and then decaying, falling like a power,
/// not decaying at all.
fn bare() -> Vec<Target> {
    type Kernel = fn(f64, f64) -> f64;
    let kernels: [(&str, Kernel); 4] = [
        ("oscillating", |i, c| {
            ((0.1 + 0.05 * c) * i).sin().tanh() * (-i / (40.0 + 9.0 * c)).exp()
        }),
        ("growing", |i, c| i * i * (-i / (8.0 + c)).exp()),
        ("power", |i, c| (1.0 + i / (c + 1.0)).powf(-0.8)),
        ("undying", |i, c| (0.3 * i + c).cos() + 1.0 / (1.0 + i)),
    ];
    let target = |&(name, kernel): &(&str, Kernel)| {
        let table = Array2::from_shape_fn((1500, 8), |(i, c)| kernel(i as f64, c as f64));
        let search = Search {
            taps: Some(1),
            order: Some(5),
            ..Search::default()
        };
        Target::new(name.into(), &table, search)
    };
    kernels.par_iter().map(target).collect()
}

#[test]
fn a_hundred_thousand_inputs_do_not_beat_the_certificate() {
    let mut targets = trained("shakespeare-64x9");
    targets.extend(trained("shakespeare-32x2"));
    targets.extend(bare());
    let attacks: Vec<(usize, usize)> = targets
        .iter()
        .enumerate()
        .flat_map(|(t, target)| (0..target.errors.ncols()).map(move |c| (t, c)))
        .collect();
    // The same noise for all channels.
    let noise: Vec<Vec<f64>> = (0..TRIALS as u64)
        .map(|seed| pseudo_random(LAGS, 1, seed).as_slice().to_vec())
        .collect();
    let found: Vec<Worst> = attacks
        .par_iter()
        .map(|&(t, c)| targets[t].attack(c, (1000 * t + c) as u64, &noise))
        .collect();
    for (worst, (t, c)) in found.iter().zip(&attacks) {
        let name = &targets[*t].name;
        for share in [worst.l1, worst.l2, worst.hinf] {
            assert!(share <= 1.0, "beaten: {name}, channel {c}: {worst:?}");
            assert!(
                share * LOOSEST >= 1.0,
                "loose: {name}, channel {c}: {worst:?}"
            );
        }
    }
    let shares = found.iter().flat_map(|w| [w.l1, w.l2, w.hinf]);
    println!(
        "the loosest bound is {:.3} of what was reached",
        1.0 / shares.fold(1.0, f64::min)
    );
    let trials: usize = found.iter().map(|worst| worst.trials).sum();
    assert!(trials >= 100_000, "{trials}");
}

/// One input to all channels, as the layer's own bound has it: sinusoids at the channels' worst
/// frequencies, and between.
#[test]
fn no_frequency_beats_the_bound_of_the_layer() {
    for target in trained("shakespeare-32x2").into_iter().chain(bare()) {
        let size = |turn: f64| {
            let square = |e: ArrayView1<f64>| response(&e.to_vec(), turn).norm_sqr();
            target
                .errors
                .columns()
                .into_iter()
                .map(square)
                .sum::<f64>()
                .sqrt()
        };
        let columns = target.errors.columns().into_iter();
        let turns = columns.flat_map(|e| {
            let peak = loudest(e);
            [peak, 0.98 * peak, 1.02 * peak]
        });
        let worst = turns.map(size).fold(0.0, f64::max);
        let bound = target.certificate.hinf;
        assert!(
            worst <= bound && bound <= LOOSEST * worst,
            "{}: {worst} {bound}",
            target.name
        );
    }
}

/// The error of the kernel is the error of the output: the recurrence's own states, stepped on the
/// worst input, against the true convolution.
#[test]
fn the_recurrence_errs_by_what_the_kernels_error_foretells() {
    for target in trained("shakespeare-32x2").into_iter().chain(bare()) {
        let c = target.errors.ncols() / 2;
        let e = target.errors.column(c);
        let lags = e.len();
        let input: Vec<f64> = (0..lags).map(|i| e[lags - 1 - i].signum()).collect();
        let taps = target.form.fir_len();
        let mut states = vec![Complex64::ZERO; target.form.poles.len()];
        for (now, _) in input.iter().enumerate() {
            let late = now.checked_sub(taps).map_or(0.0, |at| input[at]);
            for (state, pole) in states.iter_mut().zip(&target.form.poles) {
                *state = *state * pole + late;
            }
        }
        let residues = target.form.residues.column(c);
        let modes: Complex64 = states.iter().zip(residues).map(|(s, r)| s * r).sum();
        let past = |kernel: ArrayView1<f64>| -> f64 {
            kernel
                .iter()
                .zip(input.iter().rev())
                .map(|(k, x)| k * x)
                .sum()
        };
        let output = modes.re + past(target.form.taps.column(c));
        let error = output - past(target.truth.column(c));
        let foretold: f64 = e.iter().map(|e| e.abs()).sum();
        let rounding = 1e-11 * target.truth.column(c).iter().map(|k| k.abs()).sum::<f64>();
        assert!(
            (error - foretold).abs() <= rounding,
            "{}: {error} {foretold}",
            target.name
        );
        assert!(error <= target.certificate.l1[c] + rounding);
    }
}
