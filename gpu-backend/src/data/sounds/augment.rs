//! Sounds that are changed a little each time they are trained on.

use super::super::Draw;
use super::signal::{filter, mix_in, noise, normalize, power, ratio, resample, scale};
use crate::config::AugmentConfig;

/// Voices behind a recording, at most.
const VOICES: usize = 3;
/// Share of a clip that is left of what fills it, behind something else.
const LASTS: [f64; 2] = [0.4, 0.7];
/// What comes before a recording is so many dB louder or quieter, at most.
const CONTEXT: f64 = 6.0;

/// A recording as its clip of `length` samples: changed as `draw` decides. `others` gives a part of any other recording.
pub fn clip(
    config: &AugmentConfig,
    recording: &[f32],
    length: usize,
    tail: usize,
    others: &dyn Fn(&mut Draw, usize) -> Vec<f32>,
    draw: &mut Draw,
) -> Vec<f32> {
    let mut sound = crop(recording, most(config, length), draw).to_vec();
    if config.speed > 0.0 {
        // as likely slower as faster
        let most = (1.0 + config.speed).ln();
        sound = resample(&sound, draw.between(-most, most).exp());
    }
    if config.tone > 0.0 {
        let mut tap = || draw.between(-config.tone, config.tone);
        filter(&mut sound, tap(), tap());
    }
    let has_context = draw.unit() < config.context;
    if has_context && sound.len() >= length {
        // a part of what lasts, after something else
        let share = draw.between(LASTS[0], LASTS[1]);
        sound = crop(&sound, (share * length as f64) as usize, draw).to_vec();
    }
    let own = power(&sound).sqrt();
    let (mut clip, first) = place(config, &sound, length, tail, draw);
    if has_context {
        let mut context = others(draw, first);
        normalize(&mut context);
        let from = draw.below(first - context.len() + 1);
        let factor = own * ratio(draw.between(-CONTEXT, CONTEXT));
        mix_in(&mut clip[from..first], &context, factor);
    }
    if draw.unit() < config.noise {
        let [least, most] = config.noise_snr;
        let factor = own * ratio(-draw.between(least, most));
        mix_in(&mut clip, &noise(draw, length), factor);
    }
    if draw.unit() < config.babble {
        let [least, most] = config.babble_snr;
        let factor = own * ratio(-draw.between(least, most));
        mix_in(&mut clip, &babble(length, others, draw), factor);
    }
    scale(&mut clip, ratio(draw.between(-config.gain, config.gain)));
    clip
}

/// Samples of a recording that a clip may need: played fast, some more.
fn most(config: &AugmentConfig, length: usize) -> usize {
    (length as f64 * (1.0 + config.speed)).ceil() as usize
}

/// A part of `length` samples, wherever, or all.
pub fn crop<'a>(sound: &'a [f32], length: usize, draw: &mut Draw) -> &'a [f32] {
    let first = draw.below(sound.len().saturating_sub(length) + 1);
    &sound[first..sound.len().min(first + length)]
}

/// A sound in silence, and where it begins: in the middle, or moved from there by a share of the room, but no more than `tail`
/// before the end if that is above 0.
fn place(
    config: &AugmentConfig,
    sound: &[f32],
    length: usize,
    tail: usize,
    draw: &mut Draw,
) -> (Vec<f32>, usize) {
    let sound = crop(sound, length, draw);
    let room = length - sound.len();
    let free = if tail > 0 { room.min(tail) } else { room };
    let moved = draw.between(-0.5, 0.5) * config.shift;
    let first = room - free + (free as f64 * (0.5 + moved)) as usize;
    let mut clip = vec![0.0; length];
    clip[first..first + sound.len()].copy_from_slice(sound);
    (clip, first)
}

/// Some voices at once, of power 1.
fn babble(
    length: usize,
    others: &dyn Fn(&mut Draw, usize) -> Vec<f32>,
    draw: &mut Draw,
) -> Vec<f32> {
    let mut sum = vec![0.0; length];
    for _ in 0..=draw.below(VOICES) {
        let mut voice = others(draw, length);
        normalize(&mut voice);
        let first = draw.below(length - voice.len() + 1);
        mix_in(&mut sum[first..], &voice, 1.0);
    }
    normalize(&mut sum);
    sum
}

/// Hides runs of frames and of bands of `[frames, bands]`: they become the mean of their band.
pub fn mask(config: &AugmentConfig, features: &mut [f32], bands: usize, draw: &mut Draw) {
    let frames = features.len() / bands;
    let mean = |band: usize| {
        let own = features.iter().skip(band).step_by(bands);
        own.sum::<f32>() / frames as f32
    };
    let means: Vec<f32> = (0..bands).map(mean).collect();
    for _ in 0..config.masks {
        let hidden = run(config.time_mask, frames, draw);
        for frame in features
            .chunks_exact_mut(bands)
            .take(hidden.end)
            .skip(hidden.start)
        {
            frame.copy_from_slice(&means);
        }
        let hidden = run(config.band_mask, bands, draw);
        for frame in features.chunks_exact_mut(bands) {
            frame[hidden.clone()].copy_from_slice(&means[hidden.clone()]);
        }
    }
}

/// A run of up to `most` places below `end`.
fn run(most: usize, end: usize, draw: &mut Draw) -> std::ops::Range<usize> {
    let length = draw.below(most.min(end) + 1);
    let first = draw.below(end - length + 1);
    first..first + length
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: AugmentConfig = AugmentConfig {
        shift: 1.0,
        tail: 0.3,
        context: 0.5,
        gain: 6.0,
        speed: 0.2,
        tone: 0.5,
        noise: 0.7,
        noise_snr: [0.0, 30.0],
        babble: 0.5,
        babble_snr: [0.0, 30.0],
        time_mask: 4,
        band_mask: 3,
        masks: 2,
    };

    fn word() -> Vec<f32> {
        (0..300).map(|i| ((i * i) % 101) as f32 / 400.0).collect()
    }

    fn others(draw: &mut Draw, length: usize) -> Vec<f32> {
        crop(&word(), length, draw).to_vec()
    }

    #[test]
    fn every_clip_is_another_one_and_depends_on_its_draw_alone() {
        let made = |index| clip(&ALL, &word(), 500, 90, &others, &mut Draw::of(1, "", index));
        let clips: Vec<_> = (0..20).map(made).collect();
        for (index, clip) in clips.iter().enumerate() {
            assert_eq!(clip.len(), 500);
            assert!(clip.iter().all(|x| x.is_finite()));
            assert_eq!(*clip, made(index as u64));
            assert!(clips[..index].iter().all(|other| other != clip));
        }
    }

    #[test]
    fn without_augmentation_a_recording_stands_in_the_middle() {
        let off = AugmentConfig::default();
        let clip = |length| clip(&off, &word(), length, 0, &others, &mut Draw::of(1, "", 0));
        assert_eq!(clip(500), [vec![0.0; 100], word(), vec![0.0; 100]].concat());
        let part = clip(200);
        assert!(word().windows(200).any(|w| w == part));
    }

    #[test]
    fn noise_has_the_loudness_that_was_drawn() {
        let noisy = AugmentConfig {
            noise: 1.0,
            noise_snr: [20.0, 20.0],
            ..AugmentConfig::default()
        };
        let quiet = AugmentConfig::default();
        let of = |config| clip(config, &word(), 500, 0, &others, &mut Draw::of(1, "", 7));
        let difference: Vec<f32> = of(&noisy)
            .iter()
            .zip(of(&quiet))
            .map(|(a, b)| a - b)
            .collect();
        let ratio = power(&word()) / power(&difference);
        assert!((ratio / 100.0 - 1.0).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn words_stand_near_the_end_behind_something_else() {
        let behind = AugmentConfig {
            shift: 1.0,
            context: 1.0,
            ..AugmentConfig::default()
        };
        for index in 0..20 {
            let draw = &mut Draw::of(1, "", index);
            let made = clip(&behind, &[0.5; 300], 700, 50, &others, draw);
            let last = made.iter().rposition(|x| *x != 0.0).unwrap();
            assert!((649..700).contains(&last));
            assert!(made[last - 299..=last].iter().all(|x| *x == 0.5));
            assert!(made[..last - 299].iter().any(|x| *x != 0.0));
            // of what fills the clip a part is left, at its end
            let draw = &mut Draw::of(1, "", index);
            let made = clip(&behind, &[0.5; 900], 700, 50, &others, draw);
            let kept = made
                .iter()
                .rev()
                .take_while(|x| **x == 0.5 || **x == 0.0)
                .count();
            assert!((275..545).contains(&kept), "{kept}");
        }
    }

    #[test]
    fn masks_hide_runs_behind_means() {
        let features: Vec<f32> = (0..60).map(|i| (i * i) as f32).collect();
        let mut hidden = 0;
        for index in 0..30 {
            let mut masked = features.clone();
            mask(&ALL, &mut masked, 6, &mut Draw::of(1, "", index));
            let changed = masked.iter().zip(&features).filter(|(a, b)| a != b).count();
            assert!(changed <= 2 * (4 * 6 + 3 * 10));
            hidden += usize::from(changed > 0);
        }
        assert!(hidden > 20);
    }
}
