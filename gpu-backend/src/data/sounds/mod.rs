//! Recordings as the features that a device computes of them, changed each time they are trained on.

mod augment;
pub mod signal;
mod streams;
mod stretch;

use super::{Batch, Clips, Draw, Inputs, Pick, Result, Source};
use crate::config::{AugmentConfig, FeaturesConfig, RunConfig, StreamsConfig};
use crate::device::IGNORE;
use rayon::prelude::*;
use signal::{normalize, ratio, scale};
use std::path::Path;
use streams::{Material, Part};
use toeplite_checkpoint::{AnyFrontEnd, FrontEnd};
use toeplite_clips::{ClipError, Recordings, to_pcm};

/// Recordings with a class each, as clips of features.
///
/// A clip has the samples of `length` frames. With `[data.streams]`, one to train on holds several recordings and has a target at
/// every frame. Else, to train, of longer recordings any part is taken, and all
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
    /// What streams to train on are made of, and how.
    streams: Option<(StreamsConfig, Material)>,
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
        let sounds: Vec<Sound> = recordings.load()?.into_iter().map(sound).collect();
        let lengths = || sounds.iter().map(|s| (s.samples.len(), s.label)).collect();
        let material = || Material::new(lengths(), &recordings.classes, recordings.rate);
        Ok(Self {
            is_scaled: level.is_some(),
            streams: config.data.streams.map(|config| (config, material())),
            sounds,
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

    /// Features of a sequence to train on, and what is to be said of it.
    fn changed(&self, pick: &Pick) -> Result<(Vec<f32>, Vec<u32>)> {
        let mut draw = Draw::of(pick.noise, "augment", pick.index);
        let others = |draw: &mut Draw, length: usize| {
            let other = &self.sounds[draw.below(self.sounds.len())];
            augment::crop(&other.samples, length, draw).to_vec()
        };
        let (length, rate) = (self.samples(self.length), self.front_end.config.rate);
        let (config, draw) = (&self.augment, &mut draw);
        let (samples, targets) = match self.layout(pick) {
            Some((quiet, parts, targets)) => {
                let sounds = parts.into_iter().map(|part| {
                    let samples = &self.sounds[part.sound].samples[..];
                    (part, samples)
                });
                let sounds: Vec<_> = sounds.collect();
                let stream = augment::stream(config, &sounds, quiet, rate, length, &others, draw);
                (stream, targets)
            }
            None => {
                let sound = &self.sounds[pick.index as usize];
                let clip = augment::clip(config, &sound.samples, rate, length, &others, draw);
                (clip, vec![sound.label])
            }
        };
        let mut features = self.features(&samples)?;
        augment::mask(config, &mut features, self.front_end.config.bands, draw);
        Ok((features, targets))
    }

    /// The label of silence, the parts of a stream to train on, and a target for each of its frames.
    fn layout(&self, pick: &Pick) -> Option<(Option<u32>, Vec<Part>, Vec<u32>)> {
        let (config, material) = self.streams.as_ref()?;
        let (first, length) = (pick.index as usize, self.samples(self.length));
        let draw = &mut Draw::of(pick.noise, "streams", pick.index);
        let parts = material.lay_out(config, &self.augment, first, length, draw);
        let front_end = self.front_end.config;
        let ends = (0..self.length).map(|frame| front_end.frame + frame * front_end.hop);
        let targets = material.targets(config, &parts, ends);
        Some((material.silence, parts, targets))
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

    fn batch(&self, sequences: usize, length: usize, values: Vec<f32>, targets: Vec<u32>) -> Batch {
        Batch {
            sequences,
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
        after: Some(features.after),
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
        let (values, targets): (Vec<_>, Vec<_>) =
            clips.collect::<Result<Vec<_>>>()?.into_iter().unzip();
        Ok(self.batch(picks.len(), self.length, values.concat(), targets.concat()))
    }

    fn front_end(&self) -> Option<AnyFrontEnd> {
        (!self.is_scaled).then(|| AnyFrontEnd::Sound(self.front_end.clone()))
    }

    fn counted(&self, picks: &[Pick]) -> Result<u64> {
        let targets = |pick: &Pick| match self.layout(pick) {
            Some((_, _, targets)) => targets.iter().filter(|t| **t != IGNORE).count() as u64,
            None => 1,
        };
        Ok(picks.iter().map(targets).sum())
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
        Ok(Some(self.batch(sequences, length, values, targets)))
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
