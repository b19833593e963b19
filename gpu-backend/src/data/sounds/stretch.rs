//! Slower and faster speech with the same voice.

use std::f64::consts::TAU;

/// Seconds of a piece, and by how much it may be moved to fit the last one.
const PIECE: f64 = 0.03;
const MOVE: f64 = 0.006;

/// Samples that [`stretch`] gives.
pub fn stretched(length: usize, tempo: f64) -> usize {
    (length as f64 / tempo).round() as usize
}

/// The sound at `tempo` times its speed without another pitch: pieces under Hann windows are laid one over
/// the other, each moved to where it goes on most like the last one (WSOLA, Verhelst and Roelands 1993).
pub fn stretch(samples: &[f32], rate: u32, tempo: f64) -> Vec<f32> {
    let half = (PIECE * f64::from(rate) / 2.0) as usize;
    let reach = (MOVE * f64::from(rate)) as usize;
    let length = stretched(samples.len(), tempo);
    let mut out = vec![0.0; length + 2 * half];
    let window: Vec<f32> = (0..2 * half)
        .map(|i| (0.5 - 0.5 * libm::cos(TAU * i as f64 / (2 * half) as f64)) as f32)
        .collect();
    // as many zeros before as a piece may reach back, and as many behind as a piece may reach over
    let before = half + reach;
    let mut padded = vec![0.0; before];
    padded.extend_from_slice(samples);
    padded.resize(padded.len() + 4 * half + 2 * reach, 0.0);
    let mut last: Option<usize> = None;
    for first in (0..length + half).step_by(half) {
        // the piece whose middle is the output's place `first`
        let wanted = ((first as f64 * tempo) as usize).min(samples.len());
        let from = match last {
            Some(last) => wanted + best(&padded[wanted..], &padded[last + half..], half, 2 * reach),
            None => wanted + reach,
        };
        let piece = padded[from..].iter().zip(&window);
        let places = out[first..].iter_mut().zip(piece);
        places.for_each(|(out, (x, weight))| *out += x * weight);
        last = Some(from);
    }
    out[half..half + length].to_vec()
}

/// Places that are tried first are so far apart: less than half a period of what voices have below half of 1 kHz.
const COARSE: usize = 6;

/// By how much `from` is to be moved on, `most` at most, to be most like `to` over `length` samples.
fn best(from: &[f32], to: &[f32], length: usize, most: usize) -> usize {
    let to = &to[..length];
    let alike = |shift: usize| likeness(&from[shift..shift + length], to);
    // of equals the one in the middle: silence is not moved
    let middle = (most / 2, alike(most / 2));
    let better = |best: (usize, f32), shift: usize| {
        let alike = alike(shift);
        if alike > best.1 { (shift, alike) } else { best }
    };
    let (coarse, found) = (0..=most).step_by(COARSE).fold(middle, better);
    let near = coarse.saturating_sub(COARSE - 1)..=most.min(coarse + COARSE - 1);
    near.fold((coarse, found), better).0
}

/// The product of two sounds over the amplitude of the first. Sums of eight lanes, which the compiler computes side by side.
fn likeness(a: &[f32], b: &[f32]) -> f32 {
    let (mut products, mut powers) = ([0.0; 8], [0.0; 8]);
    for (a, b) in a.chunks_exact(8).zip(b.chunks_exact(8)) {
        for lane in 0..8 {
            products[lane] += a[lane] * b[lane];
            powers[lane] += a[lane] * a[lane];
        }
    }
    products.iter().sum::<f32>() / (powers.iter().sum::<f32>() + 1e-9).sqrt()
}

#[cfg(test)]
mod tests {
    use super::super::signal::power;
    use super::*;

    fn tone(length: usize) -> Vec<f32> {
        let at = |i: usize| libm::sin(TAU * 200.0 * i as f64 / 8000.0) as f32;
        (0..length).map(at).collect()
    }

    /// Crossings of zero from below.
    fn periods(samples: &[f32]) -> usize {
        let ups = samples.windows(2).filter(|w| w[0] < 0.0 && w[1] >= 0.0);
        ups.count()
    }

    #[test]
    fn a_tone_lasts_longer_or_shorter_and_keeps_its_pitch_and_power() {
        let sound = tone(4000);
        for tempo in [0.7, 0.9, 1.0, 1.2, 1.5] {
            let out = stretch(&sound, 8000, tempo);
            assert_eq!(out.len(), stretched(4000, tempo));
            let expected = 200.0 * out.len() as f64 / 8000.0;
            let found = periods(&out) as f64;
            assert!(
                (found - expected).abs() <= 2.0,
                "{tempo}: {found} of {expected}"
            );
            let middle = &out[500..out.len() - 500];
            assert!(
                (power(middle) / 0.5 - 1.0).abs() < 0.05,
                "{tempo}: {}",
                power(middle)
            );
        }
    }

    #[test]
    fn the_same_tempo_changes_nothing_and_short_sounds_are_no_fault() {
        let sound = tone(2000);
        let same = stretch(&sound, 8000, 1.0);
        let worst = same.iter().zip(&sound).map(|(a, b)| (a - b).abs());
        assert!(worst.fold(0.0, f32::max) < 1e-5);
        for length in [0, 1, 2, 50, 241] {
            assert_eq!(
                stretch(&sound[..length], 8000, 1.3).len(),
                stretched(length, 1.3)
            );
        }
    }
}
