//! What the sensor example sees, computed on the host.

use crate::host::{Aligned, refused};
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};
use toeplite::LogitsHash;
use toeplite::classifier::{FrameModel, FrameSession, Model, Pooling};
use toeplite::fixed::classifier::Model as IntegerModel;
use toeplite_checkpoint::{Sensor, SensorRecording};
use toeplite_sensor::activity::{self, Tracker};

/// When an activity counts as changed.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Frames from one decision to the next.
    pub every: usize,
    /// Frames after which what was seen counts half, in models that take the mean.
    pub half_life: f32,
    /// Of the tracker.
    pub tracker: activity::Settings,
}

impl Default for Settings {
    /// Those of the firmware without arguments.
    fn default() -> Self {
        Self {
            every: 5,
            half_life: 25.0,
            tracker: activity::Settings {
                smoothing: 0.2,
                threshold: 0.6,
            },
        }
    }
}

impl Settings {
    /// As the firmware's command line takes them.
    pub fn arguments(&self) -> String {
        let (every, half_life) = (self.every, self.half_life);
        let activity::Settings {
            smoothing,
            threshold,
        } = self.tracker;
        format!("every={every} half-life={half_life} smoothing={smoothing} threshold={threshold}")
    }
}

/// Another activity than before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When it was noticed, from the stream's start.
    pub milliseconds: u64,
    /// Number of the activity.
    pub class: usize,
    /// As the firmware writes it.
    pub line: String,
}

/// What was seen in a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watched {
    /// Changes of activity.
    pub events: Vec<Event>,
    /// Frames in all.
    pub frames: usize,
    /// Decisions in all.
    pub decisions: usize,
    /// Hash of logits and smoothed posteriors of all decisions.
    pub hash: String,
}

/// Watches all of `samples`, those of all channels sample by sample, with the model in the file `blob`.
///
/// # Errors
/// The file is no classifier of frames, `sensor` is not its own, or the settings are refused.
pub fn watch(
    blob: &Path,
    sensor: &Sensor,
    samples: &[i16],
    settings: &Settings,
) -> Result<Watched> {
    let blob = Aligned::read(blob)?;
    match blob.is_fixed() {
        true => watch_by::<IntegerModel<'_>>(&blob, sensor, samples, settings),
        false => watch_by::<Model<'_>>(&blob, sensor, samples, settings),
    }
}

fn watch_by<'a, M: FrameModel<'a>>(
    blob: &'a Aligned,
    sensor: &Sensor,
    samples: &[i16],
    settings: &Settings,
) -> Result<Watched> {
    let model = M::from_bytes(blob.as_slice()).map_err(refused)?;
    let mut memory = Aligned::zeros(model.memory_needed());
    let mut session = model.session(memory.as_mut_slice()).map_err(refused)?;
    if model.pooling() == Pooling::Mean {
        session.set_half_life(settings.half_life).map_err(refused)?;
    }
    let mut posteriors = vec![0.0; sensor.classes.len()];
    let mut tracker = Tracker::new(settings.tracker, &mut posteriors);
    let mut hash = LogitsHash::new();
    let (mut events, mut decisions) = (Vec::new(), 0);
    let frames = sensor.frames(samples).map_err(refused)?;
    let channels = sensor.channels.len();
    for (number, frame) in (1..).zip(frames.chunks_exact(channels)) {
        session.push_floats(frame).map_err(refused)?;
        if number % settings.every != 0 {
            continue;
        }
        decisions += 1;
        let change = tracker.push(session.float_logits());
        hash.update_each(session.float_logits());
        hash.update(tracker.posteriors());
        if let Some(change) = change {
            let milliseconds = milliseconds(sensor, number * sensor.average as usize);
            let percent = (change.posterior * 100.0) as u64;
            let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
            let name = &sensor.classes[change.class];
            events.push(Event {
                milliseconds,
                class: change.class,
                line: format!("{seconds}.{rest:03} s: {name} {percent}%"),
            });
        }
    }
    Ok(Watched {
        events,
        frames: frames.len() / channels,
        decisions,
        hash: format!("{:016x}", hash.finish()),
    })
}

fn milliseconds(sensor: &Sensor, samples: usize) -> u64 {
    samples as u64 * 1000 / u64::from(sensor.rate)
}

/// Samples as the firmware reads them.
pub fn bytes(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|x| x.to_le_bytes()).collect()
}

/// Recordings one after the other.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Samples of all channels, sample by sample.
    pub samples: Vec<i16>,
    /// Files, and when each ends: milliseconds from the stream's start.
    parts: Vec<(PathBuf, u64)>,
}

/// How one recording of a stream was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The file.
    pub path: PathBuf,
    /// Number of its activity, which its folder is called after.
    pub class: usize,
    /// How long it is.
    pub milliseconds: u64,
    /// From its start until its activity was the current one; `None`: it never was.
    pub delay: Option<u64>,
    /// Events of other activities.
    pub wrong: usize,
    /// Milliseconds in which its activity was the current one.
    pub right: u64,
}

impl Stream {
    /// Reads csv files with the channels of `sensor`.
    ///
    /// # Errors
    /// One cannot be read or has other channels; there are no samples.
    pub fn read(paths: &[PathBuf], sensor: &Sensor) -> Result<Self> {
        let names: Vec<&str> = sensor.channels.iter().map(|c| c.name.as_str()).collect();
        let (mut samples, mut parts) = (Vec::new(), Vec::new());
        for path in paths {
            samples.extend(SensorRecording::read_of(path, &names)?.samples);
            let end = milliseconds(sensor, samples.len() / names.len());
            parts.push((path.clone(), end));
        }
        ensure!(!samples.is_empty(), "the recordings have no samples");
        Ok(Self { samples, parts })
    }

    /// How each recording was seen; `None` if the folders that they lie in are not all called as one of the `classes`.
    pub fn seen(&self, events: &[Event], classes: &[String]) -> Option<Vec<Seen>> {
        let (mut start, mut current, mut all) = (0, None, Vec::new());
        let mut events = events.iter().peekable();
        for (path, end) in &self.parts {
            let folder = path.parent()?.file_name()?.to_string_lossy();
            let class = classes.iter().position(|c| **c == folder)?;
            let mut seen = Seen {
                path: path.clone(),
                class,
                milliseconds: end - start,
                delay: (current == Some(class)).then_some(0),
                wrong: 0,
                right: 0,
            };
            let mut since = start;
            while let Some(event) = events.next_if(|event| event.milliseconds <= *end) {
                if current == Some(class) {
                    seen.right += event.milliseconds - since;
                }
                if event.class == class {
                    seen.delay.get_or_insert(event.milliseconds - start);
                } else {
                    seen.wrong += 1;
                }
                (current, since) = (Some(event.class), event.milliseconds);
            }
            if current == Some(class) {
                seen.right += end - since;
            }
            start = *end;
            all.push(seen);
        }
        Some(all)
    }
}

/// What a device must know of the `checkpoint` of a sensor's network.
///
/// # Errors
/// It has no front_end.json, or one of sounds.
pub fn of_checkpoint(checkpoint: &Path) -> Result<Sensor> {
    use toeplite_checkpoint::AnyFrontEnd;
    let front_end = AnyFrontEnd::of_checkpoint(checkpoint)?;
    let sensor = front_end.and_then(|front_end| match front_end {
        AnyFrontEnd::Sensor(sensor) => Some(sensor),
        AnyFrontEnd::Sound(_) => None,
    });
    sensor.with_context(|| {
        format!(
            "{} has no front_end.json of a sensor: it is no checkpoint that `toeplite-train` trained on what `data windows` made; \
             name one by --checkpoint",
            checkpoint.display()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_from_the_start_of_a_recording() {
        let stream = Stream {
            samples: Vec::new(),
            parts: [
                ("a/1.csv", 10),
                ("b/1.csv", 20),
                ("b/2.csv", 30),
                ("c/1.csv", 40),
            ]
            .map(|(path, end)| (path.into(), end))
            .to_vec(),
        };
        let event = |milliseconds, class| Event {
            milliseconds,
            class,
            line: String::new(),
        };
        let events = [event(3, 2), event(4, 0), event(15, 1), event(34, 0)];
        let classes = ["a", "b", "c"].map(String::from);
        let seen = stream.seen(&events, &classes).unwrap();
        let found: Vec<_> = seen
            .iter()
            .map(|s| (s.class, s.milliseconds, s.delay, s.wrong, s.right))
            .collect();
        let expected = [
            (0, 10, Some(4), 1, 6),
            (1, 10, Some(5), 0, 5),
            (1, 10, Some(0), 0, 10),
            (2, 10, None, 1, 0),
        ];
        assert_eq!(found, expected);
        assert_eq!(stream.seen(&events, &classes[..2]), None);
    }
}
