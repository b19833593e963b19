//! Sounds that are changed a little each time they are trained on.

use super::super::Draw;
use super::signal::{filter, mix_in, noise, normalize, power, ratio, resample, resampled, scale};
use super::streams::Part;
use super::stretch::{stretch, stretched};
use crate::config::AugmentConfig;

/// Voices behind a recording, at most.
const VOICES: usize = 3;
/// Recordings of a stream are so many dB louder or quieter than the first, at most.
const UNLIKE: f64 = 6.0;
/// Loudness of speech in a stream without any, where there is noise.
const QUIET: f64 = 0.05;

/// A recording as its clip of `length` samples: changed as `draw` decides. `others` gives a part of any other recording.
pub fn clip(
    config: &AugmentConfig,
    recording: &[f32],
    rate: u32,
    length: usize,
    others: &dyn Fn(&mut Draw, usize) -> Vec<f32>,
    draw: &mut Draw,
) -> Vec<f32> {
    let sound = crop(recording, most(config, length), draw);
    let voice = Voice::draw(config, draw);
    let sound = voice.speak(sound, rate);
    let own = power(&sound).sqrt();
    let mut clip = place(config, &sound, length, draw);
    surround(config, &mut clip, own, others, draw);
    clip
}

/// How a recording is spoken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Voice {
    speed: f64,
    tempo: f64,
    tone: [f64; 2],
}

impl Default for Voice {
    /// As it is.
    fn default() -> Self {
        Self {
            speed: 1.0,
            tempo: 1.0,
            tone: [0.0; 2],
        }
    }
}

impl Voice {
    /// Another one, as `config` allows.
    pub fn draw(config: &AugmentConfig, draw: &mut Draw) -> Self {
        // as likely slower as faster
        let mut factor = |most: f64| {
            let most = (1.0 + most).ln();
            draw.between(-most, most).exp()
        };
        let (speed, tempo) = (factor(config.speed), factor(config.tempo));
        let mut tap = || draw.between(-config.tone, config.tone);
        Self {
            speed,
            tempo,
            tone: [tap(), tap()],
        }
    }

    /// Samples of a recording of `length` samples in this voice.
    pub fn length(&self, length: usize) -> usize {
        resampled(stretched(length, self.tempo), self.speed)
    }

    /// A recording in this voice.
    pub fn speak(&self, recording: &[f32], rate: u32) -> Vec<f32> {
        let mut sound = recording.to_vec();
        if self.tempo != 1.0 {
            sound = stretch(&sound, rate, self.tempo);
        }
        if self.speed != 1.0 {
            sound = resample(&sound, self.speed);
        }
        if self.tone != [0.0; 2] {
            filter(&mut sound, self.tone[0], self.tone[1]);
        }
        sound
    }
}

/// Parts of a stream, one after the other. `own` is the first one's loudness; words and other speech are [`UNLIKE`] louder or
/// quieter at most, and `quiet` ones (silence) as they were recorded.
pub fn stream(
    config: &AugmentConfig,
    parts: &[(Part, &[f32])],
    quiet: Option<u32>,
    rate: u32,
    length: usize,
    others: &dyn Fn(&mut Draw, usize) -> Vec<f32>,
    draw: &mut Draw,
) -> Vec<f32> {
    let loudness = |(part, samples): &&(Part, &[f32])| {
        (Some(part.label) != quiet).then(|| power(samples).sqrt())
    };
    let own = parts
        .iter()
        .find_map(|part| loudness(&part))
        .unwrap_or(QUIET);
    let mut stream = vec![0.0; length];
    for (part, samples) in parts {
        let mut sound = part.voice.speak(&samples[part.cut.clone()], rate);
        let mut factor = 1.0;
        if Some(part.label) != quiet {
            normalize(&mut sound);
            factor = own * ratio(draw.between(-UNLIKE, UNLIKE));
        }
        let room = length - part.place.start;
        sound.truncate(room);
        mix_in(&mut stream[part.place.start..], &sound, factor);
    }
    surround(config, &mut stream, own, others, draw);
    stream
}

/// Noise and voices behind a sound of loudness `own`, and another distance from the microphone.
fn surround(
    config: &AugmentConfig,
    sound: &mut [f32],
    own: f64,
    others: &dyn Fn(&mut Draw, usize) -> Vec<f32>,
    draw: &mut Draw,
) {
    let length = sound.len();
    if draw.unit() < config.noise {
        let [least, most] = config.noise_snr;
        let factor = own * ratio(-draw.between(least, most));
        mix_in(sound, &noise(draw, length), factor);
    }
    if draw.unit() < config.babble {
        let [least, most] = config.babble_snr;
        let factor = own * ratio(-draw.between(least, most));
        mix_in(sound, &babble(length, others, draw), factor);
    }
    scale(sound, ratio(draw.between(-config.gain, config.gain)));
}

/// Samples of a recording that a clip may need: played fast, some more.
fn most(config: &AugmentConfig, length: usize) -> usize {
    (length as f64 * (1.0 + config.speed) * (1.0 + config.tempo)).ceil() as usize
}

/// A part of `length` samples, wherever, or all.
pub fn crop<'a>(sound: &'a [f32], length: usize, draw: &mut Draw) -> &'a [f32] {
    let first = draw.below(sound.len().saturating_sub(length) + 1);
    &sound[first..sound.len().min(first + length)]
}

/// A sound in silence: in the middle, or moved from there by a share of the room.
fn place(config: &AugmentConfig, sound: &[f32], length: usize, draw: &mut Draw) -> Vec<f32> {
    let sound = crop(sound, length, draw);
    let room = length - sound.len();
    let moved = draw.between(-0.5, 0.5) * config.shift;
    let first = (room as f64 * (0.5 + moved)) as usize;
    let mut clip = vec![0.0; length];
    clip[first..first + sound.len()].copy_from_slice(sound);
    clip
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
        gain: 6.0,
        speed: 0.2,
        tempo: 0.2,
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
        let made = |index| {
            clip(
                &ALL,
                &word(),
                8000,
                500,
                &others,
                &mut Draw::of(1, "", index),
            )
        };
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
        let clip = |length| {
            clip(
                &off,
                &word(),
                8000,
                length,
                &others,
                &mut Draw::of(1, "", 0),
            )
        };
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
        let of = |config| clip(config, &word(), 8000, 500, &others, &mut Draw::of(1, "", 7));
        let difference: Vec<f32> = of(&noisy)
            .iter()
            .zip(of(&quiet))
            .map(|(a, b)| a - b)
            .collect();
        let ratio = power(&word()) / power(&difference);
        assert!((ratio / 100.0 - 1.0).abs() < 0.01, "{ratio}");
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
