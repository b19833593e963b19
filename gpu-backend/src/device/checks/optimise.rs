//! Checks of the loss, dropout and the optimiser.

use super::{Random, act, act_error, added, error, full, full_error, gradient, plain};
use crate::device::random::{Stream, dropout_threshold};
use crate::device::{AdamW, Device, HeadGradient, IGNORE, Optimiser, Result};

/// Cross entropy and its gradients; one target in four does not count.
pub fn head_loss<D: Device>(
    device: &D,
    tokens: usize,
    classes: usize,
    width: usize,
    seed: u64,
) -> Result<f64> {
    let mut random = Random::new(seed);
    let target = |random: &mut Random| {
        let counts = random.below(4) > 0;
        counts.then(|| random.below(classes))
    };
    let targets: Vec<Option<usize>> = (0..tokens).map(|_| target(&mut random)).collect();
    let values: Vec<u32> = targets
        .iter()
        .map(|t| t.map_or(IGNORE, |t| t as u32))
        .collect();
    let mut ids = device.new_ids(tokens, classes)?;
    device.write_ids(&mut ids, &values)?;
    let (weights, weights_held) = act(device, &random.values(1 + classes * width))?;
    let (x, x_held) = act(device, &random.values(tokens * width))?;
    let (mut dx, _) = act(device, &random.values(tokens * width))?;
    let (mut gradients, before) = full(device, &random.values(2 + classes * width))?;
    let (mut sums, sums_before) = full(device, &[1.0, 2.0, 3.0])?;
    let (mut alone, _) = full(device, &[1.0, 2.0, 3.0])?;
    let scale = 0.25;
    device.head_loss(&weights, 1, classes, &x, &ids, &mut alone, None)?;
    let backward = HeadGradient {
        scale,
        dx: &mut dx,
        gradients: &mut gradients,
        weight_at: 2,
    };
    device.head_loss(&weights, 1, classes, &x, &ids, &mut sums, Some(backward))?;

    let plain = |weights: &[f64], x: &[f64]| plain::loss(width, &weights[1..], x, &targets);
    let scaled = |weights: &[f64], x: &[f64]| vec![plain(weights, x)[0] * f64::from(scale)];
    let want = added(plain(&weights_held, &x_held).to_vec(), &sums_before);
    let want_dx = gradient(&x_held, &[1.0], |x| scaled(&weights_held, x));
    let want_weights = gradient(&weights_held, &[1.0], |weights| scaled(weights, &x_held));
    // The weight lies one element further on in the gradients.
    let want_weights = [vec![0.0], want_weights].concat();
    let errors = [
        error(&device.read_f32(&sums, 0..3)?, &want),
        error(&device.read_f32(&alone, 0..3)?, &want),
        act_error(device, &dx, &want_dx)?,
        full_error(device, &gradients, &added(want_weights, &before))?,
    ];
    Ok(errors.into_iter().fold(0.0, f64::max))
}

/// Dropout, against the definition of its random bits.
pub fn dropout<D: Device>(device: &D, len: usize, p: f32, stream: u32, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    let seeds = [0, 1].map(|_| random.below(1 << 24) as f32);
    let (seed, _) = full(device, &seeds)?;
    let (mut x, mut want) = act(device, &random.values(len))?;
    device.dropout(&mut x, p, &seed, stream)?;
    let bits = Stream::new(seeds, stream);
    if let Some(threshold) = dropout_threshold(p) {
        for (i, want) in want.iter_mut().enumerate() {
            let kept = bits.bits(i as u64) >= threshold;
            *want = if kept && p < 1.0 {
                *want / (1.0 - f64::from(p))
            } else {
                0.0
            };
        }
    }
    act_error(device, &x, &want)
}

/// The sum of squares of a range.
pub fn sum_squares<D: Device>(device: &D, len: usize, seed: u64) -> Result<f64> {
    let mut random = Random::new(seed);
    let (x, held) = full(device, &random.values(len + 3))?;
    let (mut sums, mut want) = full(device, &random.values(3))?;
    want[1] += held[2..2 + len].iter().map(|x| x * x).sum::<f64>();
    device.sum_squares(&x, 2..2 + len, &mut sums, 1)?;
    full_error(device, &sums, &want)
}

/// Two steps of AdamW on the middle of the parameters; the ends must stay as they are. `clip` are the
/// largest norm and the factor on all gradients.
pub fn adamw<D: Device>(
    device: &D,
    len: usize,
    clip: (f32, f32),
    decay: bool,
    seed: u64,
) -> Result<f64> {
    let mut random = Random::new(seed);
    let all = len + 3;
    let range = 1..1 + len;
    let (mut parameters, mut want) = full(device, &random.values(all))?;
    let (mut first, mut second) = (device.new_f32(all)?, device.new_f32(all)?);
    let (mut want_first, mut want_second) = (vec![0.0; all], vec![0.0; all]);
    let mut copy = device.new_act(all)?;
    device.cast(&parameters, &mut copy, 0..all)?;
    for step in 1..=2 {
        let (gradients, held) = full(device, &random.values(all))?;
        let options = options(clip, step);
        let (mut hyper, _) = full(device, &options.to_array())?;
        device.sum_squares(&gradients, range.clone(), &mut hyper, Optimiser::SQUARES)?;
        let state = AdamW {
            parameters: &mut parameters,
            copy: &mut copy,
            gradients: &gradients,
            first: &mut first,
            second: &mut second,
            hyper: &hyper,
        };
        device.adamw(state, range.clone(), decay)?;
        let squares: f64 = held[range.clone()].iter().map(|g| g * g).sum();
        for i in range.clone() {
            let mut one = [want[i], want_first[i], want_second[i]];
            plain_step(options, squares, decay, held[i], &mut one);
            [want[i], want_first[i], want_second[i]] = one;
        }
    }
    let errors = [
        full_error(device, &parameters, &want)?,
        act_error(device, &copy, &want)?,
        full_error(device, &first, &want_first)?,
        full_error(device, &second, &want_second)?,
    ];
    Ok(errors.into_iter().fold(0.0, f64::max))
}

/// Whether AdamW writes nothing where the gradients have no finite norm, which stays to be read.
pub fn adamw_without_norm<D: Device>(device: &D, max_norm: f32) -> Result<bool> {
    let mut good = true;
    // The last one is finite; its square is not.
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e30] {
        let before: Vec<f32> = (1..=9).map(|i| i as f32).collect();
        let (mut parameters, _) = full(device, &before)?;
        let (mut first, _) = full(device, &before)?;
        let (mut second, _) = full(device, &before)?;
        let (mut copy, _) = act(device, &before)?;
        let mut values = before.clone();
        values[4] = wrong;
        let (gradients, _) = full(device, &values)?;
        let (mut hyper, _) = full(device, &options((max_norm, 0.5), 1).to_array())?;
        device.sum_squares(&gradients, 0..9, &mut hyper, Optimiser::SQUARES)?;
        let state = AdamW {
            parameters: &mut parameters,
            copy: &mut copy,
            gradients: &gradients,
            first: &mut first,
            second: &mut second,
            hyper: &hyper,
        };
        device.adamw(state, 0..9, true)?;
        for buffer in [&parameters, &first, &second] {
            good &= device.read_f32(buffer, 0..9)? == before;
        }
        good &= device.read_act(&copy, 0..9)? == before;
        let squares = device.read_f32(&hyper, 0..Optimiser::LEN)?[Optimiser::SQUARES];
        good &= !squares.is_finite();
    }
    Ok(good)
}

fn options((max_norm, gradient_scale): (f32, f32), step: i32) -> Optimiser {
    Optimiser {
        rate: 0.01,
        beta1: 0.9,
        beta2: 0.98,
        epsilon: 1e-8,
        weight_decay: 0.1,
        correction1: 1.0 - 0.9f32.powi(step),
        correction2: 1.0 - 0.98f32.powi(step),
        max_norm,
        gradient_scale,
    }
}

/// One parameter with its running means.
fn plain_step(options: Optimiser, squares: f64, decay: bool, g: f64, state: &mut [f64; 3]) {
    let f = f64::from;
    let [p, m, v] = state;
    let scale = f(options.gradient_scale);
    let (norm, limit) = (squares.sqrt() * scale, f(options.max_norm));
    let clip = if limit > 0.0 {
        (limit / (norm + 1e-6)).min(1.0)
    } else {
        1.0
    };
    let g = g * scale * clip;
    let (beta1, beta2) = (f(options.beta1), f(options.beta2));
    *m = beta1 * *m + (1.0 - beta1) * g;
    *v = beta2 * *v + (1.0 - beta2) * g * g;
    if decay {
        *p -= f(options.rate) * f(options.weight_decay) * *p;
    }
    let root = (*v / f(options.correction2)).sqrt() + f(options.epsilon);
    *p -= f(options.rate) * *m / f(options.correction1) / root;
}
