//! What made a classifier's frames, of whatever they are.

use super::folder::io;
use super::save::{rename, temporary};
use super::{CheckpointError, Config, FRONT_END, FrontEnd, FrontEndError, Sensor};
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::fs;
use std::path::Path;

/// What made a network's frames, and the names of its classes.
#[derive(Clone, Debug, PartialEq)]
pub enum AnyFrontEnd {
    /// Features of sounds.
    Sound(FrontEnd),
    /// Samples of a sensor.
    Sensor(Sensor),
}

impl AnyFrontEnd {
    /// Reads the JSON that [`to_json`](Self::to_json) gives; which of them it is, its keys say.
    ///
    /// # Errors
    /// It is none, or what it says cannot be.
    pub fn from_json(text: &[u8]) -> Result<Self, FrontEndError> {
        match is_of_sensor(text)? {
            true => Sensor::from_json(text).map(Self::Sensor),
            false => FrontEnd::from_json(text).map(Self::Sound),
        }
    }

    /// As JSON, every number as it is.
    pub fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Sound(front_end) => front_end.to_json(),
            Self::Sensor(sensor) => sensor.to_json(),
        }
    }

    /// What made the frames of the checkpoint `path`, a folder or a file in it; `None` if nothing says so.
    ///
    /// # Errors
    /// The file cannot be read, or makes no sense; both name it.
    pub fn of_checkpoint(path: &Path) -> Result<Option<Self>, CheckpointError> {
        let folder = match path.is_dir() {
            true => path,
            false => path.parent().unwrap_or(Path::new("")),
        };
        let path = folder.join(FRONT_END);
        if !path.is_file() {
            return Ok(None);
        }
        Self::read(&path).map(Some)
    }

    /// What the file `path` describes: [`FRONT_END`] of a checkpoint, whatever it is called by now.
    ///
    /// # Errors
    /// As [`of_checkpoint`](Self::of_checkpoint).
    pub fn read(path: &Path) -> Result<Self, CheckpointError> {
        let text = fs::read(path).map_err(io("read", path))?;
        Self::from_json(&text).map_err(|cause| CheckpointError::FrontEnd {
            path: path.to_owned(),
            cause,
        })
    }

    /// Writes the file [`FRONT_END`] into the folder of a checkpoint, under a temporary name at first.
    ///
    /// # Errors
    /// [`CheckpointError::Io`].
    pub fn save(&self, folder: &Path) -> Result<(), CheckpointError> {
        let text = serde_json::to_string_pretty(&self.to_json()).expect("JSON is text") + "\n";
        let file = temporary(folder, text.as_bytes())?;
        rename(file, &folder.join(FRONT_END))
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
        match self {
            Self::Sound(front_end) => front_end.check_sizes(frame_dim, classes),
            Self::Sensor(sensor) => sensor.check_sizes(frame_dim, classes),
        }
    }

    /// Whether this makes the same frames, whatever the classes.
    pub fn makes_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sound(a), Self::Sound(b)) => a.makes_as(b),
            (Self::Sensor(a), Self::Sensor(b)) => a.makes_as(b),
            _ => false,
        }
    }

    /// The same, with features of sounds in integers or in floats. Samples of a sensor are what they are.
    pub fn in_integers(self, integers: bool) -> Self {
        match self {
            Self::Sound(made) => Self::Sound(made.in_integers(integers)),
            Self::Sensor(made) => Self::Sensor(made),
        }
    }

    /// The same, with other names of the classes.
    pub fn with_classes(self, classes: Vec<String>) -> Self {
        match self {
            Self::Sound(made) => Self::Sound(FrontEnd { classes, ..made }),
            Self::Sensor(made) => Self::Sensor(Sensor { classes, ..made }),
        }
    }

    /// Rust source for firmware: the module `front_end`.
    pub fn rust(&self) -> String {
        match self {
            Self::Sound(front_end) => front_end.rust(),
            Self::Sensor(sensor) => sensor.rust(),
        }
    }
}

fn is_of_sensor(text: &[u8]) -> Result<bool, FrontEndError> {
    #[derive(Deserialize)]
    struct Given {
        channels: Option<IgnoredAny>,
    }
    let given: Given =
        serde_json::from_slice(text).map_err(|e| FrontEndError::Json(e.to_string()))?;
    Ok(given.channels.is_some())
}

#[cfg(test)]
mod tests {
    use super::super::SensorChannel;
    use super::*;
    use toeplite_audio::Config as Audio;

    fn both() -> [AnyFrontEnd; 2] {
        let sensor = Sensor {
            rate: 50,
            average: 2,
            channels: vec![SensorChannel {
                name: "x".into(),
                offset: 1,
                scale: 0.25,
            }],
            classes: vec!["a".into()],
            frames: None,
        };
        let sound = FrontEnd {
            config: Audio::speech(8000),
            integers: false,
            classes: vec!["a".into()],
            frames: None,
            after: None,
        };
        [AnyFrontEnd::Sound(sound), AnyFrontEnd::Sensor(sensor)]
    }

    #[test]
    fn each_is_read_as_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(AnyFrontEnd::of_checkpoint(dir.path()).unwrap(), None);
        for made in both() {
            made.save(dir.path()).unwrap();
            let read = AnyFrontEnd::of_checkpoint(&dir.path().join("model.safetensors"));
            assert_eq!(read.unwrap().as_ref(), Some(&made));
            let other = made.clone().with_classes(vec!["b".into()]);
            assert!(other.makes_as(&made) && other != made);
        }
        let [sound, sensor] = both();
        assert!(!sound.makes_as(&sensor) && sensor.makes_as(&sensor));
        fs::write(dir.path().join(FRONT_END), "{").unwrap();
        let error = AnyFrontEnd::of_checkpoint(dir.path()).unwrap_err();
        assert!(error.to_string().contains("front_end.json"), "{error}");
    }
}
