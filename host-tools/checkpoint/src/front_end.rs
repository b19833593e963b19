//! Which features of sounds a classifier was trained on, beside its checkpoint.

use super::Config;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use toeplite_audio::{
    Agc, Buffers, Compression, Config as Audio, ConfigError, LogMel, Pcen, TablesRef, fixed,
};

/// Name of the file in a checkpoint's folder.
pub const FRONT_END: &str = "front_end.json";

/// The audio front end that made a network's features, and the names of its classes: what a device must know beside the
/// model. In a checkpoint's folder it is the file [`FRONT_END`]; `toeplite-train data features` writes the same JSON into a file's metadata.
#[derive(Clone, Debug, PartialEq)]
pub struct FrontEnd {
    /// Rate, frames, bands and their compression.
    pub config: Audio,
    /// Whether features are computed in integers, as devices without an FPU do.
    pub integers: bool,
    /// Names of the classes, by number.
    pub classes: Vec<String>,
    /// Frames of a clip in training, where that is known.
    pub frames: Option<usize>,
    /// Seconds of silence, at most, behind recordings that are shorter than a clip when they are judged, where that is
    /// known; the rest of the silence comes before them.
    pub after: Option<f64>,
}

/// Why a front end is refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FrontEndError {
    /// It is no such JSON.
    #[error("it is not the description of a front end: {0}")]
    Json(String),
    /// The front end cannot be computed.
    #[error("{0}")]
    Config(ConfigError),
    /// Silence behind recordings that is no time, or longer than any clip.
    #[error("`after` is {0}, 0 to 60 seconds are expected")]
    After(f64),
    /// A sensor's samples cannot be taken so.
    #[error("{0}")]
    Sensor(toeplite_sensor::ConfigError),
    /// The network is no classifier of frames.
    #[error("the network takes no frames of features; delete the file if its input are tokens")]
    NoFrames,
    /// Frames of another size.
    #[error(
        "a frame has {bands} bands, but the network takes frames of {frame_dim} numbers; take the file that the training features were made by"
    )]
    Bands {
        /// Of the front end.
        bands: usize,
        /// Of the network.
        frame_dim: usize,
    },
    /// Samples with another number of channels.
    #[error(
        "a sample has {channels} channels, but the network takes frames of {frame_dim} numbers; take the file that the training data were made by"
    )]
    Channels {
        /// Of the sensor.
        channels: usize,
        /// Of the network.
        frame_dim: usize,
    },
    /// Another number of classes.
    #[error(
        "{named} classes are named, but the network has {classes}; take the file that the training features were made by"
    )]
    Classes {
        /// Names.
        named: usize,
        /// The network's.
        classes: usize,
    },
}

impl FrontEnd {
    /// Reads the JSON that [`to_json`](Self::to_json) gives.
    ///
    /// # Errors
    /// [`FrontEndError::Json`] names what is missing; [`FrontEndError::Config`].
    pub fn from_json(text: &[u8]) -> Result<Self, FrontEndError> {
        let fields: Fields =
            serde_json::from_slice(text).map_err(|e| FrontEndError::Json(e.to_string()))?;
        let front_end = Self {
            config: Audio::speech(fields.rate)
                .with_frames(fields.frame, fields.hop)
                .with_bands(fields.bands, fields.low, fields.high)
                .with_compression(fields.compression.into()),
            integers: fields.integers,
            classes: fields.classes,
            frames: fields.frames,
            after: fields.after,
        };
        front_end.config.check().map_err(FrontEndError::Config)?;
        match front_end.after {
            Some(after) if !(0.0..=60.0).contains(&after) => Err(FrontEndError::After(after)),
            _ => Ok(front_end),
        }
    }

    /// As JSON, every number as it is.
    pub fn to_json(&self) -> serde_json::Value {
        let config = &self.config;
        let fields = Fields {
            rate: config.rate,
            frame: config.frame,
            hop: config.hop,
            bands: config.bands,
            low: config.low,
            high: config.high,
            compression: config.compression.into(),
            integers: self.integers,
            classes: self.classes.clone(),
            frames: self.frames,
            after: self.after,
        };
        serde_json::to_value(fields).expect("finite numbers and text")
    }

    /// The same features, computed in integers or in floats: what a model of that contract hears. They differ by less than a
    /// network of int8 tells apart; see [`toeplite_audio::fixed`](fixed#errors).
    pub fn in_integers(self, integers: bool) -> Self {
        Self { integers, ..self }
    }

    /// Whether this gives the same features, whatever the classes.
    pub fn makes_as(&self, other: &Self) -> bool {
        (self.config, self.integers) == (other.config, other.integers)
    }

    /// Refuses a network that takes other features or has other classes.
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
        let bands = self.config.bands;
        if bands != frame_dim {
            return Err(FrontEndError::Bands { bands, frame_dim });
        }
        let named = self.classes.len();
        if named != classes {
            return Err(FrontEndError::Classes { named, classes });
        }
        Ok(())
    }

    /// The features of a whole recording, `[frames, bands]`: the bits that a device has, as numbers for its network.
    ///
    /// # Errors
    /// The configuration is refused.
    pub fn features(&self, samples: &[i16]) -> Result<Vec<f32>, ConfigError> {
        let mut features = Vec::new();
        if self.integers {
            let one = f32::from(fixed::ONE);
            in_integers(self.config, samples, |frame| {
                features.extend(frame.iter().map(|x| f32::from(*x) / one));
            })?;
        } else {
            in_floats(self.config, samples, |frame| {
                features.extend_from_slice(frame)
            })?;
        }
        Ok(features)
    }

    /// Rust source for firmware: the module `front_end` with the constants `CONFIG` and `CLASSES`, and the types
    /// `LogMel`, `Memory` and `Tables` of the crate toeplite-audio that compute such features.
    pub fn rust(&self) -> String {
        let config = &self.config;
        let types = if self.integers { "fixed::" } else { "" };
        let compression = match config.compression {
            Compression::Log { floor } => format!("Log {{ floor: {floor:?} }}"),
            Compression::Agc(Agc {
                smoothing,
                floor,
                epsilon,
            }) => format!(
                "Agc(Agc {{ smoothing: {smoothing:?}, floor: {floor:?}, epsilon: {epsilon:?} }})"
            ),
            Compression::Pcen(Pcen {
                smoothing,
                gain,
                bias,
                power,
                epsilon,
            }) => format!(
                "Pcen(Pcen {{ smoothing: {smoothing:?}, gain: {gain:?}, bias: {bias:?}, power: {power:?}, epsilon: {epsilon:?} }})"
            ),
        };
        let mut out = format!(
            "/// The audio front end of the model's training; no other gives the features that it knows.
pub mod front_end {{
    #[allow(unused_imports)]
    use toeplite_audio::{{Agc, Compression, Config, Pcen}};
    #[allow(unused_imports)]
    pub use toeplite_audio::{types}{{LogMel, Memory, SharedLogMel, SharedMemory, Tables}};

    /// Rate, frames, bands and their compression.
    #[allow(dead_code)]
    pub const CONFIG: Config = Config::speech({rate})
        .with_frames({frame}, {hop})
        .with_bands({bands}, {low}, {high})
        .with_compression(Compression::{compression});

    /// Names of the classes, by number.
    #[allow(dead_code)]
    pub const CLASSES: [&str; {count}] = [",
            rate = config.rate,
            frame = config.frame,
            hop = config.hop,
            bands = config.bands,
            low = config.low,
            high = config.high,
            count = self.classes.len(),
        );
        for (i, class) in self.classes.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            write!(out, "{comma}{class:?}").expect("strings take all");
        }
        out + "];\n}\n"
    }
}

fn in_floats(config: Audio, samples: &[i16], each: impl FnMut(&[f32])) -> Result<(), ConfigError> {
    config.check()?;
    let (mut window, mut weights) = (vec![0.0; config.frame], vec![0.0; config.bins()]);
    let mut counts = vec![0; config.bands];
    let tables = TablesRef::fill(config, &mut window, &mut weights, &mut counts);
    let memory = Buffers {
        samples: &mut vec![0; config.frame],
        spectrum: &mut vec![[0.0; 2]; config.bins()],
        bands: &mut vec![0.0; config.bands],
        levels: &mut vec![0.0; config.bands],
    };
    let front_end = LogMel::new(tables.expect(FITS), memory);
    front_end.expect(FITS).push(samples, each);
    Ok(())
}

fn in_integers(
    config: Audio,
    samples: &[i16],
    each: impl FnMut(&[i16]),
) -> Result<(), ConfigError> {
    config.check()?;
    let (mut window, mut weights) = (vec![0; config.frame], vec![0; config.bins()]);
    let (mut twiddles, mut counts) = (vec![[0; 2]; config.bins()], vec![0; config.bands]);
    let tables = fixed::TablesRef::fill(
        config,
        &mut window,
        &mut twiddles,
        &mut weights,
        &mut counts,
    );
    let memory = fixed::Buffers {
        samples: &mut vec![0; config.frame],
        spectrum: &mut vec![[0; 2]; config.bins()],
        energies: &mut vec![0; config.bands],
        levels: &mut vec![0; config.bands],
        features: &mut vec![0; config.bands],
    };
    let front_end = fixed::LogMel::new(tables.expect(FITS), memory);
    front_end.expect(FITS).push(samples, each);
    Ok(())
}

const FITS: &str = "the lengths are the configuration's, which was checked";

/// The file's keys that say what is computed. Others, such as who made the file, decide nothing here.
#[derive(Serialize, Deserialize)]
struct Fields {
    rate: u32,
    frame: usize,
    hop: usize,
    bands: usize,
    low: u32,
    high: u32,
    compression: Kind,
    integers: bool,
    classes: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frames: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<f64>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum Kind {
    Log {
        floor: f32,
    },
    Agc {
        smoothing: f32,
        floor: f32,
        epsilon: f32,
    },
    Pcen {
        smoothing: f32,
        gain: f32,
        bias: f32,
        power: f32,
        epsilon: f32,
    },
}

impl From<Compression> for Kind {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Log { floor } => Self::Log { floor },
            Compression::Agc(Agc {
                smoothing,
                floor,
                epsilon,
            }) => Self::Agc {
                smoothing,
                floor,
                epsilon,
            },
            Compression::Pcen(Pcen {
                smoothing,
                gain,
                bias,
                power,
                epsilon,
            }) => Self::Pcen {
                smoothing,
                gain,
                bias,
                power,
                epsilon,
            },
        }
    }
}

impl From<Kind> for Compression {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Log { floor } => Self::Log { floor },
            Kind::Agc {
                smoothing,
                floor,
                epsilon,
            } => Self::Agc(Agc {
                smoothing,
                floor,
                epsilon,
            }),
            Kind::Pcen {
                smoothing,
                gain,
                bias,
                power,
                epsilon,
            } => Self::Pcen(Pcen {
                smoothing,
                gain,
                bias,
                power,
                epsilon,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn front_end(config: Audio) -> FrontEnd {
        FrontEnd {
            config,
            integers: true,
            classes: vec!["yes".into(), "\"no\"\n".into()],
            frames: Some(50),
            after: Some(0.15),
        }
    }

    #[test]
    fn every_number_comes_back_from_json() {
        let speech = Audio::speech(16000)
            .with_frames(480, 320)
            .with_bands(40, 80, 7000);
        let log = Compression::Log {
            floor: 1.234_567_9e-7,
        };
        for config in [
            speech.with_compression(log),
            speech.with_agc(),
            speech.with_pcen(),
        ] {
            let made = front_end(config);
            let text = made.to_json().to_string();
            assert_eq!(FrontEnd::from_json(text.as_bytes()), Ok(made));
        }
    }

    #[test]
    fn mistakes_are_named() {
        let refused = |from: &str, to: &str| {
            let text = front_end(Audio::speech(8000).with_agc())
                .to_json()
                .to_string();
            assert!(text.contains(from), "{text}");
            let text = text.replace(from, to);
            FrontEnd::from_json(text.as_bytes())
                .unwrap_err()
                .to_string()
        };
        assert!(refused("\"rate\"", "\"rat\"").contains("rat"));
        assert!(refused("\"agc\"", "\"log\"").contains("epsilon"));
        assert!(refused("8000", "800").contains("4000 to 48000"));
        assert!(refused("0.15", "-0.15").contains("0 to 60 seconds"));
        let bad = FrontEnd::from_json(b"{").unwrap_err().to_string();
        assert!(bad.contains("EOF"), "{bad}");
    }

    #[test]
    fn firmware_gets_the_same_numbers() {
        let source = front_end(Audio::speech(8000).with_agc()).rust();
        for part in [
            "pub use toeplite_audio::fixed::{LogMel, Memory, SharedLogMel, SharedMemory, Tables};",
            "Config::speech(8000)\n        .with_frames(200, 160)\n        .with_bands(32, 60, 4000)",
            "Agc(Agc { smoothing: 0.048770577, floor: 0.0001, epsilon: 0.0001 })",
            r#"CLASSES: [&str; 2] = ["yes", "\"no\"\n"];"#,
        ] {
            assert!(source.contains(part), "{source}");
        }
    }
}
