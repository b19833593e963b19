//! Folders of a sensor's recordings.

use super::folders::Folders;
use super::recordings::speaker;
use super::{ClipError, Result, npz};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use toeplite_checkpoint::{AnyFrontEnd, Sensor, SensorRecording};

/// A folder with one folder of recordings a class, texts that [`SensorRecording`] reads.
#[derive(Debug)]
pub struct SensorRecordings {
    files: Vec<(u32, PathBuf)>,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// Names of the channels of all recordings.
    pub channels: Vec<String>,
}

/// A recording and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct SensorClip {
    /// Its class.
    pub label: u32,
    /// Who was recorded, where the file's name says it: what stands before its first `_`.
    pub subject: Option<String>,
    /// Samples of all channels, sample by sample.
    pub samples: Vec<i16>,
}

impl SensorRecordings {
    /// Lists the folder at `path`. Labels count `classes`, or else the folders by name; channels are those of the first file.
    ///
    /// # Errors
    /// There is no such folder or no recording; a folder is none of `classes`; the first file cannot be read.
    pub fn open(path: &Path, classes: Option<Vec<String>>) -> Result<Self> {
        let folders = Folders::open(path, "csv files", is_csv)?;
        let classes = classes.unwrap_or_else(|| folders.names());
        let files = folders.files(&classes)?;
        let channels = match files.first() {
            Some((_, file)) => SensorRecording::read(file)?.channels,
            None => Vec::new(),
        };
        Ok(Self {
            files,
            classes,
            channels,
        })
    }

    /// All of them, in memory.
    ///
    /// # Errors
    /// A file cannot be read, is damaged, or has other channels.
    pub fn load(&self) -> Result<Vec<SensorClip>> {
        let load = |(label, file): &(u32, PathBuf)| {
            Ok(SensorClip {
                label: *label,
                subject: speaker(file),
                samples: SensorRecording::read_of(file, &self.channels)?.samples,
            })
        };
        self.files.par_iter().map(load).collect()
    }
}

/// What made the windows in the safetensors file at `path`.
///
/// # Errors
/// It cannot be read, or holds no windows of a sensor.
pub fn sensor_of_windows(path: &Path) -> Result<Sensor> {
    match npz::made_by(path)? {
        Some(AnyFrontEnd::Sensor(sensor)) => Ok(sensor),
        _ => Err(ClipError::Features {
            path: path.to_owned(),
            problem: "it was not made by `toeplite-train data windows`".to_owned(),
        }),
    }
}

fn is_csv(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("csv"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn folders_are_classes_and_names_begin_with_subjects() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("walk/3_left.csv", "x,y\n1,2\n3,4\n");
        write("sit/a.csv", "x,y\n5,6\n");
        write("sit/notes.txt", "no recording");
        let recordings = SensorRecordings::open(dir.path(), None).unwrap();
        assert_eq!(recordings.classes, ["sit", "walk"]);
        assert_eq!(recordings.channels, ["x", "y"]);
        let clip = |label, subject: Option<&str>, samples: &[i16]| SensorClip {
            label,
            subject: subject.map(str::to_owned),
            samples: samples.to_vec(),
        };
        let expected = [clip(0, None, &[5, 6]), clip(1, Some("3"), &[1, 2, 3, 4])];
        assert_eq!(recordings.load().unwrap(), expected);
        write("walk/4_x.csv", "y,x\n1,2\n");
        let other = recordings_of(dir.path()).unwrap_err().to_string();
        assert!(other.contains("expected are x, y"), "{other}");
        let none = SensorRecordings::open(&dir.path().join("sit"), None).unwrap_err();
        assert!(none.to_string().contains("csv files"), "{none}");
    }

    fn recordings_of(path: &Path) -> Result<Vec<SensorClip>> {
        SensorRecordings::open(path, None)?.load()
    }
}
