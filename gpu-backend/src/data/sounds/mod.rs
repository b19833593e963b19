//! Recordings as the features that a device computes of them, changed each time they are trained on.

mod augment;
pub mod signal;

use super::{Batch, Clips, Draw, Inputs, Pick, Result, Source};
use crate::config::{AugmentConfig, FeaturesConfig, RunConfig};
use crate::device::IGNORE;
use rayon::prelude::*;
use signal::{normalize, ratio, scale};
use std::path::Path;
use toeplite_checkpoint::{AnyFrontEnd, FrontEnd};
use toeplite_clips::{ClipError, Recordings, to_pcm};

/// Recordings with a class each, as clips of features.
///
/// A clip has the samples of `length` frames. To train, of longer recordings any part is taken, and all
/// that `[data.augment]` says is drawn anew from the pick's number. To evaluate, longer recordings give
/// their first part, and shorter ones stand in silence.
#[derive(Debug)]
pub struct Sounds {
    sounds: Vec<Sound>,
    /// Names by label.
    classes: Vec<String>,
    front_end: FrontEnd,
    /// Whether recordings are scaled to a level first, which a device cannot.
    is_scaled: bool,
    augment: AugmentConfig,
    /// Frames of a sequence.
    length: usize,
    /// Samples of silence behind a recording, at most.
    after: usize,
    name: String,
}

#[derive(Debug)]
struct Sound {
    samples: Vec<f32>,
    label: u32,
    speaker: Option<String>,
}

impl Sounds {
    /// Reads a folder with one folder of wav files a class, as the run `config` says; `names` are the classes, where they are
    /// known.
    ///
    /// # Errors
    /// There is no such folder, class or file; recordings of different sampling rates; a front end that cannot be; classes or
    /// bands that are not those of the network.
    pub fn open(
        path: &Path,
        config: &RunConfig,
        names: Option<&[String]>,
        rate: Option<u32>,
    ) -> Result<Self> {
        let features = config.data.features.unwrap_or_default();
        let recordings = Recordings::open(path, names.map(<[String]>::to_vec), rate)?;
        let front_end = FrontEnd {
            classes: recordings.classes.clone(),
            frames: Some(config.train.length),
            ..front_end(&features, recordings.rate)?
        };
        let clips = Clips::of(
            path,
            &config.model,
            Some(&recordings.classes),
            config.train.length,
        )?;
        clips.check_width(path, front_end.config.bands)?;
        let level = features.level.map(ratio);
        let sound = |recording: toeplite_clips::Recording| {
            let samples = recording.samples.iter();
            let mut samples: Vec<f32> = samples.map(|s| f32::from(*s) / 32768.0).collect();
            if let Some(level) = level {
                normalize(&mut samples);
                scale(&mut samples, level);
            }
            Sound {
                samples,
                label: recording.label,
                speaker: recording.speaker,
            }
        };
        Ok(Self {
            sounds: recordings.load()?.into_iter().map(sound).collect(),
            is_scaled: level.is_some(),
            classes: recordings.classes,
            front_end,
            augment: config.data.augment.unwrap_or_default(),
            length: config.train.length,
            after: (features.after * f64::from(recordings.rate)) as usize,
            name: path.display().to_string(),
        })
    }

    /// Samples of a sequence of `frames`.
    fn samples(&self, frames: usize) -> usize {
        let config = self.front_end.config;
        config.frame + frames.saturating_sub(1) * config.hop
    }

    fn changed(&self, pick: &Pick) -> Result<Vec<f32>> {
        let mut draw = Draw::of(pick.noise, "augment", pick.index);
        let others = |draw: &mut Draw, length: usize| {
            let other = &self.sounds[draw.below(self.sounds.len())];
            augment::crop(&other.samples, length, draw).to_vec()
        };
        let sound = &self.sounds[pick.index as usize];
        let length = self.samples(self.length);
        let config = &self.augment;
        let tail = (config.tail * f64::from(self.front_end.config.rate)) as usize;
        let clip = augment::clip(config, &sound.samples, length, tail, &others, &mut draw);
        let mut features = self.features(&clip)?;
        let bands = self.front_end.config.bands;
        augment::mask(&self.augment, &mut features, bands, &mut draw);
        Ok(features)
    }

    fn unchanged(&self, sound: &Sound, length: usize) -> Result<Vec<f32>> {
        let length = self.samples(length);
        let samples = &sound.samples[..sound.samples.len().min(length)];
        let room = length - samples.len();
        let before = room - self.after.min(room);
        let mut clip = vec![0.0; length];
        clip[before..before + samples.len()].copy_from_slice(samples);
        self.features(&clip)
    }

    fn features(&self, samples: &[f32]) -> Result<Vec<f32>> {
        let samples: Vec<i16> = samples.iter().map(|x| to_pcm(*x)).collect();
        let features = self.front_end.features(&samples);
        Ok(features.map_err(ClipError::FrontEnd)?)
    }

    fn batch(&self, length: usize, values: Vec<f32>, targets: Vec<u32>) -> Batch {
        Batch {
            sequences: targets.len(),
            length,
            inputs: Inputs::Frames {
                width: self.front_end.config.bands,
                values,
            },
            targets,
        }
    }
}

/// The front end that `features` says, for sounds of `rate` samples a second.
///
/// # Errors
/// It cannot be.
pub fn front_end(features: &FeaturesConfig, rate: u32) -> Result<FrontEnd> {
    let front_end = FrontEnd {
        config: features.front_end(rate),
        integers: features.integers,
        classes: Vec::new(),
        frames: None,
    };
    let checked = front_end.config.check();
    checked.map_err(ClipError::FrontEnd)?;
    Ok(front_end)
}

impl Source for Sounds {
    fn sequences(&self) -> u64 {
        self.sounds.len() as u64
    }

    fn training(&self, picks: &[Pick]) -> Result<Batch> {
        let clips = picks.par_iter().map(|pick| self.changed(pick));
        let values = clips.collect::<Result<Vec<_>>>()?.concat();
        let label = |pick: &Pick| self.sounds[pick.index as usize].label;
        Ok(self.batch(self.length, values, picks.iter().map(label).collect()))
    }

    fn front_end(&self) -> Option<AnyFrontEnd> {
        (!self.is_scaled).then(|| AnyFrontEnd::Sound(self.front_end.clone()))
    }

    fn counted(&self, picks: &[Pick]) -> Result<u64> {
        Ok(picks.len() as u64)
    }

    fn evaluation(&self, index: u64, length: usize, sequences: usize) -> Result<Option<Batch>> {
        let (count, length) = (self.sounds.len(), length.max(1));
        let sequences = sequences.clamp(1, count);
        let first = usize::try_from(index)
            .ok()
            .and_then(|i| i.checked_mul(sequences));
        let Some(first) = first.filter(|f| *f < count) else {
            return Ok(None);
        };
        let sounds = &self.sounds[first..count.min(first + sequences)];
        let clips = sounds.par_iter().map(|sound| self.unchanged(sound, length));
        let mut values = clips.collect::<Result<Vec<_>>>()?.concat();
        values.resize(sequences * length * self.front_end.config.bands, 0.0);
        let mut targets: Vec<u32> = sounds.iter().map(|sound| sound.label).collect();
        targets.resize(sequences, IGNORE);
        Ok(Some(self.batch(length, values, targets)))
    }

    fn targets(&self) -> u64 {
        self.sequences()
    }

    fn target_bytes(&self) -> Option<u64> {
        None
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn speaker(&self, clip: u64) -> Option<&str> {
        self.sounds.get(clip as usize)?.speaker.as_deref()
    }

    fn rate(&self) -> Option<u32> {
        Some(self.front_end.config.rate)
    }

    fn describe(&self) -> String {
        format!(
            "{}: {} recordings of {} classes, {} frames of {} bands each",
            self.name,
            self.sounds.len(),
            self.classes.len(),
            self.length,
            self.front_end.config.bands
        )
    }
}
