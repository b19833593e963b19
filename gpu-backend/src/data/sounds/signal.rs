//! Small operations on samples.

use super::super::Draw;
use std::f64::consts::PI;
use std::sync::OnceLock;

/// Mean square.
pub fn power(samples: &[f32]) -> f64 {
    let squares: f64 = samples.iter().map(|x| f64::from(*x) * f64::from(*x)).sum();
    squares / samples.len().max(1) as f64
}

/// Multiplies all samples.
pub fn scale(samples: &mut [f32], factor: f64) {
    samples.iter_mut().for_each(|x| *x *= factor as f32);
}

/// A ratio of amplitudes from dB.
pub fn ratio(db: f64) -> f64 {
    10f64.powf(db / 20.0)
}

/// Zero crossings of the interpolation kernel on each side.
const CROSSINGS: f64 = 8.0;
/// Places between two samples at which the kernel is known; others take the nearest.
const PHASES: usize = 512;

/// Samples that [`resample`] gives.
pub fn resampled(length: usize, speed: f64) -> usize {
    (length as f64 / speed).ceil() as usize
}

/// The sound played `speed` times as fast, by interpolation with a sinc under a Hann window (Smith 1984): what
/// would be above half the sampling rate is filtered away.
pub fn resample(samples: &[f32], speed: f64) -> Vec<f32> {
    // played faster, the kernel is that much wider and lower
    let cutoff = speed.recip().min(1.0);
    let reach = (CROSSINGS / cutoff).ceil() as usize;
    let kernels = kernels(cutoff, reach);
    let taps = 2 * reach;
    let mut padded = vec![0.0; samples.len() + 2 * taps];
    padded[reach..reach + samples.len()].copy_from_slice(samples);
    let length = resampled(samples.len(), speed);
    let one = |i: usize| {
        let place = ((i as f64 * speed) * PHASES as f64).round() as usize;
        // the kernel's first tap lies `reach - 1` samples before the place, which has `reach` zeros before it
        let first = place / PHASES + 1;
        let kernel = &kernels[place % PHASES * taps..][..taps];
        let pairs = kernel.iter().zip(&padded[first..first + taps]);
        pairs.map(|(a, b)| a * b).sum::<f32>()
    };
    (0..length).map(one).collect()
}

/// Kernels of `2 reach` taps, one for each place between two samples.
fn kernels(cutoff: f64, reach: usize) -> Vec<f32> {
    let mut kernels = Vec::with_capacity(PHASES * 2 * reach);
    for phase in 0..PHASES {
        let first = 1.0 - reach as f64 - phase as f64 / PHASES as f64;
        for tap in 0..2 * reach {
            kernels.push(sinc(first + tap as f64, cutoff));
        }
    }
    kernels
}

/// The sinc of a low pass under its window.
fn sinc(distance: f64, cutoff: f64) -> f32 {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    let points = PHASES as f64;
    let point = |i: usize| {
        let t = i as f64 / points;
        let window = 0.5 + 0.5 * libm::cos(PI * t / CROSSINGS);
        let sinc = if i == 0 {
            1.0
        } else {
            libm::sin(PI * t) / (PI * t)
        };
        (sinc * window) as f32
    };
    let table = TABLE.get_or_init(|| (0..CROSSINGS as usize * PHASES).map(point).collect());
    let at = (distance.abs() * cutoff * points).round() as usize;
    table.get(at).map_or(0.0, |x| x * cutoff as f32)
}

/// The filter `1 + a z^-1 + b z^-2`, at the same power.
pub fn filter(samples: &mut [f32], a: f64, b: f64) {
    let before = power(samples);
    let (a, b) = (a as f32, b as f32);
    let (mut last, mut second) = (0.0, 0.0);
    for x in samples.iter_mut() {
        let now = *x;
        *x = now + a * last + b * second;
        (last, second) = (now, last);
    }
    let after = power(samples);
    if after > 0.0 {
        scale(samples, (before / after).sqrt());
    }
}

/// Noise of a colour between white and brown, of power 1.
pub fn noise(draw: &mut Draw, length: usize) -> Vec<f32> {
    // a low pass of one pole, from far below the sounds to none
    let share = 10f64.powf(draw.between(-2.0, 0.0)) as f32;
    let mut level = 0.0;
    let mut noise: Vec<f32> = (0..length)
        .map(|_| {
            level += share * (draw.between(-1.0, 1.0) as f32 - level);
            level
        })
        .collect();
    normalize(&mut noise);
    noise
}

/// Scales to power 1; silence stays.
pub fn normalize(samples: &mut [f32]) {
    let own = power(samples);
    if own > 0.0 {
        scale(samples, own.sqrt().recip());
    }
}

/// Adds `other`, scaled, sample by sample.
pub fn mix_in(samples: &mut [f32], other: &[f32], factor: f64) {
    for (x, y) in samples.iter_mut().zip(other) {
        *x += *y * factor as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(length: usize, cycles: f64) -> Vec<f32> {
        let one = |i: usize| (2.0 * PI * cycles * i as f64).sin() as f32;
        (0..length).map(one).collect()
    }

    #[test]
    fn tones_become_higher_and_what_is_too_high_disappears() {
        for speed in [0.8, 1.0, 1.25] {
            let played = resample(&tone(1000, 0.05), speed);
            assert_eq!(played.len(), (1000.0 / speed).ceil() as usize);
            let expected = tone(played.len(), 0.05 * speed);
            let inner = 40..played.len() - 40;
            for (a, b) in played[inner.clone()].iter().zip(&expected[inner]) {
                assert!((a - b).abs() < 5e-3, "{a} {b}");
            }
        }
        let high = resample(&tone(1000, 0.45), 1.5);
        assert!(power(&high[40..high.len() - 40]) < 1e-3);
        assert!(resample(&[], 1.1).is_empty());
    }

    #[test]
    fn filters_keep_the_power_and_tilt_the_spectrum() {
        let mut both = tone(1000, 0.02);
        mix_in(&mut both, &tone(1000, 0.4), 1.0);
        let before = power(&both);
        filter(&mut both, 0.9, 0.0);
        assert!((power(&both) / before - 1.0).abs() < 1e-4);
        let high: f32 = both.iter().zip(tone(1000, 0.4)).map(|(a, b)| a * b).sum();
        let low: f32 = both.iter().zip(tone(1000, 0.02)).map(|(a, b)| a * b).sum();
        assert!(low.abs() > 2.0 * high.abs());
        let mut silence = vec![0.0; 9];
        filter(&mut silence, 0.5, 0.5);
        normalize(&mut silence);
        assert_eq!(silence, [0.0; 9]);
    }

    #[test]
    fn noise_has_power_one_and_many_colours() {
        let colour = |index| {
            let noise = noise(&mut Draw::of(1, "noise", index), 4000);
            assert!((power(&noise) - 1.0).abs() < 1e-3);
            let next: f64 = noise.windows(2).map(|w| f64::from(w[0] * w[1])).sum();
            next / 4000.0
        };
        let colours: Vec<f64> = (0..20).map(colour).collect();
        assert!(colours.iter().any(|c| *c < 0.5) && colours.iter().any(|c| *c > 0.9));
    }
}
