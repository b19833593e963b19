//! What the keyword example hears, computed on the host.

use crate::host::{self, Aligned, refused};
use anyhow::{Context, Result, ensure};
use std::fs;
use std::path::Path;
use toeplite::LogitsHash;
use toeplite::classifier::{FrameModel, FrameSession, Model, Pooling};
use toeplite::fixed::classifier::Model as IntegerModel;
use toeplite::format::ElementType;
use toeplite_audio::detect::{self, Detector};
use toeplite_audio::wav::Header;
use toeplite_checkpoint::FrontEnd;

/// When a keyword is heard.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Frames from one decision to the next.
    pub every: usize,
    /// Frames after which what was heard counts half, in models that take the mean.
    pub half_life: f32,
    /// Of the detector; which classes are words, their names say.
    pub detector: detect::Settings,
}

impl Default for Settings {
    /// Those of the firmware without arguments.
    fn default() -> Self {
        Self {
            every: detect::EVERY as usize,
            half_life: detect::HALF_LIFE,
            detector: detect::Settings::usual(0),
        }
    }
}

impl Settings {
    /// As the firmware's command line takes them.
    pub fn arguments(&self) -> String {
        let (every, half_life) = (self.every, self.half_life);
        let detect::Settings {
            smoothing,
            sure,
            threshold,
            share,
            rest,
            ..
        } = self.detector;
        format!(
            "every={every} half-life={half_life} smoothing={smoothing} sure={sure} threshold={threshold} share={share} rest={rest}"
        )
    }
}

/// What was heard in a recording.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// A line for each event, as the firmware writes it.
    pub events: Vec<String>,
    /// Frames in all.
    pub frames: usize,
    /// Decisions in all.
    pub decisions: usize,
    /// Hash of logits and smoothed posteriors of all decisions.
    pub hash: String,
}

/// Listens to all of `samples` with the model in the file `blob`, and with `front_end` in the arithmetic of its contract.
///
/// # Errors
/// The file is no classifier of frames, `front_end` is not its own, or the settings are refused.
pub fn listen(
    blob: &Path,
    front_end: &FrontEnd,
    samples: &[i16],
    settings: &Settings,
) -> Result<Heard> {
    let blob = Aligned::read(blob)?;
    let front_end = front_end.clone().in_integers(blob.is_fixed());
    match blob.is_fixed() {
        true => listen_by::<IntegerModel<'_>>(&blob, &front_end, samples, settings),
        false => listen_by::<Model<'_>>(&blob, &front_end, samples, settings),
    }
}

fn listen_by<'a, M: FrameModel<'a>>(
    blob: &'a Aligned,
    front_end: &FrontEnd,
    samples: &[i16],
    settings: &Settings,
) -> Result<Heard> {
    let model = M::from_bytes(blob.as_slice()).map_err(refused)?;
    let mut memory = Aligned::zeros(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).map_err(refused)?;
    if model.pooling() == Pooling::Mean {
        session.set_half_life(settings.half_life).map_err(refused)?;
    }
    let classes: Vec<&str> = front_end.classes.iter().map(String::as_str).collect();
    let detection = detect::Settings {
        words: detect::words(&classes),
        ..settings.detector
    };
    let mut smoothed = vec![0.0; front_end.classes.len()];
    let mut detector = Detector::new(detection, &mut smoothed);
    let mut hash = LogitsHash::new();
    let (mut events, mut decisions) = (Vec::new(), 0);
    let features = front_end.features(samples)?;
    let config = front_end.config;
    for (number, frame) in features.chunks_exact(config.bands).enumerate() {
        session.push_floats(frame).map_err(refused)?;
        if !(number + 1).is_multiple_of(settings.every) {
            continue;
        }
        decisions += 1;
        let event = detector.push(session.float_logits());
        hash.update_each(session.float_logits());
        hash.update(detector.posteriors());
        if let Some(event) = event {
            let end = (number * config.hop + config.frame) as u64;
            let milliseconds = end * 1000 / u64::from(config.rate);
            let percent = (event.confidence * 100.0) as u64;
            let name = &front_end.classes[event.class];
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            events.push(format!("{seconds}.{rest:03} s: {name} {percent}%"));
        }
    }
    Ok(Heard {
        events,
        frames: features.len() / config.bands,
        decisions,
        hash: format!("{:016x}", hash.finish()),
    })
}

/// Samples of a wav file.
///
/// # Errors
/// It cannot be read, has another sampling rate, or samples that are not 16-bit integers of one channel.
pub fn samples(path: &Path, rate: u32) -> Result<Vec<i16>> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let mut rest = &bytes[..];
    let header = Header::read(|to| {
        let Some((bytes, after)) = rest.split_at_checked(to.len()) else {
            return false;
        };
        to.copy_from_slice(bytes);
        rest = after;
        true
    });
    let header = header.with_context(|| name.to_string())?;
    ensure!(
        header.rate == rate,
        "{name} has {} samples a second, the model was trained on {rate}; `sox in.wav -r {rate} out.wav` changes it",
        header.rate
    );
    let (pairs, _) = rest.as_chunks::<2>();
    let samples = pairs.iter().map(|pair| i16::from_le_bytes(*pair));
    Ok(samples.take(header.samples as usize).collect())
}

/// Features of the runtime that the classifier in the file `blob` needs.
///
/// # Errors
/// The file is no classifier.
pub fn features(blob: &Path) -> Result<Vec<&'static str>> {
    let blob = Aligned::read(blob)?;
    let bytes = blob.as_slice();
    Ok(if blob.is_fixed() {
        let model = IntegerModel::from_bytes(bytes).map_err(refused)?;
        host::features(model.shape(), model.has(ElementType::I4))
    } else {
        let model = Model::from_bytes(bytes).map_err(refused)?;
        host::features(model.shape(), model.has(ElementType::I4))
    })
}
