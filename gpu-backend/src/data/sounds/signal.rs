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
const CROSSINGS: usize = 8;
/// Points of its table from one crossing to the next.
const POINTS: usize = 512;

/// The right half of a sinc under a Hann window, with two zeros behind it.
fn kernel() -> &'static [f32] {
    static TABLE: OnceLock<Vec<f32>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let end = CROSSINGS * POINTS;
        let point = |i: usize| {
            let t = i as f64 / POINTS as f64;
            let window = 0.5 + 0.5 * libm::cos(PI * t / CROSSINGS as f64);
            let sinc = if i == 0 { 1.0 } else { libm::sin(PI * t) / (PI * t) };
            (sinc * window) as f32
        };
        (0..end).map(point).chain([0.0; 2]).collect()
    })
}

/// The sound played `speed` times as fast, by interpolation with a windowed sinc (Smith 1984): what
/// would be above half the sampling rate is filtered away.
pub fn resample(samples: &[f32], speed: f64) -> Vec<f32> {
    let table = kernel();
    // played faster, the kernel is that much wider and lower
    let cutoff = speed.recip().min(1.0);
    let reach = CROSSINGS as f64 / cutoff;
    let tap = |distance: f64| {
        let at = distance.abs() * cutoff * POINTS as f64;
        let (index, share) = (at as usize, at.fract() as f32);
        match table.get(index..index + 2) {
            Some(pair) => pair[0] + share * (pair[1] - pair[0]),
            None => 0.0,
        }
    };
    let length = (samples.len() as f64 / speed).ceil() as usize;
    let one = |i: usize| {
        let place = i as f64 * speed;
        let first = (place - reach).ceil().max(0.0) as usize;
        let last = ((place + reach).floor() as usize + 1).min(samples.len());
        let taps = (first..last).map(|j| samples[j] * tap(j as f64 - place));
        taps.sum::<f32>() * cutoff as f32
    };
    (0..length).map(one).collect()
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
