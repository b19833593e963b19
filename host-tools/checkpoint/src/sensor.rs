//! Which samples of a sensor a classifier was trained on, beside its checkpoint, and recordings of them.

use super::{Config, FrontEndError};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{fs, io};
use thiserror::Error;
use toeplite_sensor::csv::{self, RowError};
use toeplite_sensor::{Buffers, Channel, ConfigError, FrontEnd, LengthError, MAX_CHANNELS};

/// A channel of a sensor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SensorChannel {
    /// Its name in recordings.
    pub name: String,
    /// What is subtracted from each sample.
    pub offset: i16,
    /// By what a frame's sum is multiplied.
    pub scale: f32,
}

/// What made a network's frames of a sensor's samples, and the names of its classes: what a device must know beside the model. In a
/// checkpoint's folder it is the file [`FRONT_END`](super::FRONT_END); `toeplite-train data windows` writes the same JSON into a file's metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensor {
    /// Samples a second.
    pub rate: u32,
    /// Samples of a frame.
    pub average: u32,
    /// All channels, in the order of a sample.
    pub channels: Vec<SensorChannel>,
    /// Names of the classes, by number.
    pub classes: Vec<String>,
    /// Frames of a window in training, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<usize>,
}

impl Sensor {
    /// Reads the JSON that [`to_json`](Self::to_json) gives.
    ///
    /// # Errors
    /// [`FrontEndError::Json`] names what is missing; [`FrontEndError::Sensor`].
    pub fn from_json(text: &[u8]) -> Result<Self, FrontEndError> {
        let sensor: Self =
            serde_json::from_slice(text).map_err(|e| FrontEndError::Json(e.to_string()))?;
        sensor.valid().map_err(FrontEndError::Sensor)?;
        Ok(sensor)
    }

    /// As JSON, every number as it is.
    pub fn to_json(&self) -> serde_json::Value {
        serde_json::to_value(self).expect("finite numbers and text")
    }

    /// Refuses what cannot be computed.
    ///
    /// # Errors
    /// What is wrong.
    pub fn valid(&self) -> Result<(), ConfigError> {
        self.config(&self.constants()).check()
    }

    /// Refuses a network that takes other frames or has other classes.
    ///
    /// # Errors
    /// [`FrontEndError`] says what does not fit.
    pub fn check(&self, network: &Config) -> Result<(), FrontEndError> {
        self.check_sizes(network.frame_dim(), network.outputs())
    }

    /// [`check`](Self::check) of a network that takes frames of `frame_dim` numbers, if it takes frames, and has so many
    /// classes.
    ///
    /// # Errors
    /// [`FrontEndError`] says what does not fit.
    pub fn check_sizes(
        &self,
        frame_dim: Option<usize>,
        classes: usize,
    ) -> Result<(), FrontEndError> {
        let Some(frame_dim) = frame_dim else {
            return Err(FrontEndError::NoFrames);
        };
        let channels = self.channels.len();
        if channels != frame_dim {
            return Err(FrontEndError::Channels {
                channels,
                frame_dim,
            });
        }
        let named = self.classes.len();
        if named != classes {
            return Err(FrontEndError::Classes { named, classes });
        }
        Ok(())
    }

    /// Whether this gives the same frames, whatever the classes.
    pub fn makes_as(&self, other: &Self) -> bool {
        (self.rate, self.average, &self.channels) == (other.rate, other.average, &other.channels)
    }

    /// The frames of a whole recording, `[frames, channels]`: the bits that a device has. `samples` are those of all channels, sample by sample.
    ///
    /// # Errors
    /// The configuration is refused.
    pub fn frames(&self, samples: &[i16]) -> Result<Vec<f32>, ConfigError> {
        let channels = self.constants();
        let config = self.config(&channels);
        let buffers = Buffers {
            sums: &mut vec![0; channels.len()],
            frame: &mut vec![0.0; channels.len()],
        };
        let mut front_end = FrontEnd::new(config, buffers).map_err(|error| match error {
            LengthError::Config(error) => error,
            LengthError::Buffers { .. } => unreachable!("a number a channel"),
        })?;
        let mut frames = Vec::new();
        for sample in samples.chunks_exact(channels.len()) {
            if let Some(frame) = front_end.push(sample) {
                frames.extend_from_slice(frame);
            }
        }
        Ok(frames)
    }

    /// Rust source for firmware: the module `front_end` with the constants `CONFIG` and `CLASSES`.
    pub fn rust(&self) -> String {
        let mut out = format!(
            "/// What made the frames of the model's training; no other gives the numbers that it knows.
pub mod front_end {{
    use toeplite_sensor::{{Channel, Config}};

    /// Samples a second, samples of a frame, and the channels: {names}.
    #[allow(dead_code)]
    pub const CONFIG: Config<'static> = Config {{
        rate: {rate},
        average: {average},
        channels: &CHANNELS,
    }};

    /// Of each channel.
    #[allow(dead_code)]
    pub const CHANNELS: [Channel; {count}] = [
",
            names = self.names().escape_debug(),
            rate = self.rate,
            average = self.average,
            count = self.channels.len(),
        );
        for SensorChannel { offset, scale, .. } in &self.channels {
            let line = format!("Channel {{ offset: {offset}, scale: {scale:?} }}");
            writeln!(out, "        {line},").expect("strings take all");
        }
        let classes: Vec<String> = self.classes.iter().map(|c| format!("{c:?}")).collect();
        let (count, classes) = (classes.len(), classes.join(", "));
        out + &format!(
            "    ];\n\n    /// Names of the classes, by number.\n    #[allow(dead_code)]\n    \
             pub const CLASSES: [&str; {count}] = [{classes}];\n}}\n"
        )
    }

    /// Names of the channels, one after the other.
    pub fn names(&self) -> String {
        let names: Vec<&str> = self.channels.iter().map(|c| c.name.as_str()).collect();
        names.join(", ")
    }

    fn constants(&self) -> Vec<Channel> {
        let channels = self.channels.iter();
        let constant = |c: &SensorChannel| Channel {
            offset: c.offset,
            scale: c.scale,
        };
        channels.map(constant).collect()
    }

    fn config<'a>(&self, channels: &'a [Channel]) -> toeplite_sensor::Config<'a> {
        toeplite_sensor::Config {
            rate: self.rate,
            average: self.average,
            channels,
        }
    }
}

/// A recording of a sensor: a text whose first line names the channels, with a line a sample, an integer a channel, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SensorRecording {
    /// Names of the channels.
    pub channels: Vec<String>,
    /// Samples of all channels, sample by sample.
    pub samples: Vec<i16>,
}

/// Why a recording is refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RecordingError {
    /// The operating system refused, or the file is no text.
    #[error("cannot read {}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: io::Error,
    },
    /// The first line names no channels.
    #[error("{}: the first line must name the channels, separated by commas, 1 to {MAX_CHANNELS} of them: for example ax,ay,az", path.display())]
    Names {
        /// The file.
        path: PathBuf,
    },
    /// A line is no sample.
    #[error("{}: line {line}: {cause}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// Which one, from 1.
        line: usize,
        /// What is wrong.
        cause: RowError,
    },
    /// Other channels than those of the training.
    #[error("{}: its channels are {found}, expected are {expected}, in this order", path.display())]
    Channels {
        /// The file.
        path: PathBuf,
        /// Names.
        found: String,
        /// Those of the training.
        expected: String,
    },
}

impl SensorRecording {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// [`RecordingError`] names the line.
    pub fn read(path: &Path) -> Result<Self, RecordingError> {
        let text = fs::read_to_string(path).map_err(|cause| RecordingError::Read {
            path: path.to_owned(),
            cause,
        })?;
        let mut lines = text.lines();
        let names = lines.next().unwrap_or_default().split(',');
        let channels: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
        let is_name = |name: &String| !name.is_empty() && name.parse::<f64>().is_err();
        if channels.len() > MAX_CHANNELS || !channels.iter().all(is_name) {
            let path = path.to_owned();
            return Err(RecordingError::Names { path });
        }
        let (mut samples, mut sample) = (Vec::new(), vec![0; channels.len()]);
        for (line, row) in (2..).zip(lines) {
            csv::row(row, &mut sample).map_err(|cause| RecordingError::Row {
                path: path.to_owned(),
                line,
                cause,
            })?;
            samples.extend_from_slice(&sample);
        }
        Ok(Self { channels, samples })
    }

    /// Reads the file at `path`, which must have the channels `expected`.
    ///
    /// # Errors
    /// [`RecordingError`].
    pub fn read_of(path: &Path, expected: &[impl AsRef<str>]) -> Result<Self, RecordingError> {
        let recording = Self::read(path)?;
        let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
        if recording.channels != expected {
            return Err(RecordingError::Channels {
                path: path.to_owned(),
                found: recording.channels.join(", "),
                expected: expected.join(", "),
            });
        }
        Ok(recording)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sensor() -> Sensor {
        let channel = |name: &str, offset, scale| SensorChannel {
            name: name.into(),
            offset,
            scale,
        };
        Sensor {
            rate: 50,
            average: 2,
            channels: vec![channel("ax", -3, 1.234_567_9e-4), channel("gy", 7, 0.5)],
            classes: vec!["walk".into(), "\"sit\"".into()],
            frames: Some(100),
        }
    }

    #[test]
    fn every_number_comes_back_from_json() {
        let made = sensor();
        let text = made.to_json().to_string();
        assert_eq!(Sensor::from_json(text.as_bytes()), Ok(made));
        let refused = |from: &str, to: &str| {
            assert!(text.contains(from), "{text}");
            let error = Sensor::from_json(text.replace(from, to).as_bytes());
            error.unwrap_err().to_string()
        };
        assert!(refused("\"offset\"", "\"off\"").contains("offset"));
        assert!(refused("\"average\":2", "\"average\":0").contains("1 to 128 samples"));
    }

    #[test]
    fn firmware_gets_the_same_numbers() {
        let source = sensor().rust();
        for part in [
            "and the channels: ax, gy.",
            "rate: 50,\n        average: 2,",
            "CHANNELS: [Channel; 2]",
            "Channel { offset: -3, scale: 0.00012345679 },",
            r#"CLASSES: [&str; 2] = ["walk", "\"sit\""];"#,
        ] {
            assert!(source.contains(part), "{source}");
        }
    }

    #[test]
    fn frames_are_those_of_the_device() {
        let sensor = sensor();
        let frames = sensor.frames(&[1, 7, 2, 9, 100, 100]).unwrap();
        assert_eq!(frames, [9.0 * 1.234_567_9e-4, 1.0]);
    }

    #[test]
    fn recordings_are_read_and_mistakes_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.csv");
        let read = |text: &str| {
            fs::write(&path, text).unwrap();
            SensorRecording::read_of(&path, &["ax", "gy"]).map_err(|e| e.to_string())
        };
        let recording = read("ax, gy\n1,-2\n3,4\n").unwrap();
        assert_eq!(recording.samples, [1, -2, 3, 4]);
        for (text, expected) in [
            ("", "must name the channels"),
            ("1,2\n", "must name the channels"),
            ("ax,gy\n1,2\n\n", "line 3: 1 columns"),
            ("ax,gy\n1,x\n", "line 2: column 2"),
            ("gy,ax\n", "its channels are gy, ax, expected are ax, gy"),
        ] {
            let error = read(text).unwrap_err();
            assert!(
                error.contains(expected) && error.contains("a.csv"),
                "{error}"
            );
        }
        let missing = SensorRecording::read(&dir.path().join("none")).unwrap_err();
        assert!(missing.to_string().contains("none"));
    }
}
