//! Folders of wav files as features, by the front end that devices run.

use super::folders::Folders;
use super::frames::Clip;
use super::sounds::is_wav;
use super::{ClipError, Clips, FrameSet, Result, wav};
use rayon::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use toeplite_checkpoint::{AnyFrontEnd, FrontEnd};

/// A folder with one folder of wav files a class.
#[derive(Debug)]
pub struct Recordings {
    files: Vec<(u32, PathBuf)>,
    /// Names of the classes, by label.
    pub classes: Vec<String>,
    /// Samples a second of all recordings.
    pub rate: u32,
}

impl Recordings {
    /// Lists the folder at `path`. Labels count `classes`, or else the folders by name.
    ///
    /// # Errors
    /// There is no such folder or no wav file; a folder is none of `classes`; the first file cannot be read where `rate` does not
    /// say how many samples a second there are.
    pub fn open(path: &Path, classes: Option<Vec<String>>, rate: Option<u32>) -> Result<Self> {
        let folders = Folders::open(path, "wav files", is_wav)?;
        let classes = classes.unwrap_or_else(|| folders.names());
        let files = folders.files(&classes)?;
        let rate = match (rate, files.first()) {
            (Some(rate), _) => rate,
            (None, Some((_, file))) => wav::read(file)?.rate,
            (None, None) => 0,
        };
        Ok(Self {
            files,
            classes,
            rate,
        })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.files.len()
    }

    /// Samples of the longest one.
    ///
    /// # Errors
    /// A file cannot be read, or has another sampling rate.
    pub fn longest(&self) -> Result<usize> {
        let lengths = self.files.par_iter().map(|(_, file)| self.samples(file));
        let lengths = lengths.map(|samples| Ok(samples?.len()));
        lengths.try_reduce(|| 0, |a, b| Ok(a.max(b)))
    }

    /// The features of all, `frames` frames each: of longer ones the first, shorter ones stand between silence, of which at most
    /// `after` samples follow them.
    ///
    /// # Errors
    /// As [`Self::longest`]; [`ClipError::FrontEnd`].
    pub fn features(
        &self,
        front_end: &FrontEnd,
        frames: usize,
        after: usize,
        tick: &(dyn Fn(u64) + Sync),
    ) -> Result<ClipFeatures> {
        let config = front_end.config;
        let length = config.frame + frames.saturating_sub(1) * config.hop;
        let clip = |(_, file): &(u32, PathBuf)| {
            let mut samples = self.samples(file)?;
            samples.truncate(length);
            let room = length - samples.len();
            let mut heard = vec![0; room - after.min(room)];
            heard.append(&mut samples);
            heard.resize(length, 0);
            let features = front_end.features(&heard);
            tick(1);
            features.map_err(ClipError::FrontEnd)
        };
        let clips = self.files.par_iter().map(clip);
        Ok(ClipFeatures {
            shape: [self.files.len(), frames, config.bands],
            values: clips.collect::<Result<Vec<_>>>()?.concat(),
            labels: self.files.iter().map(|(label, _)| *label as i32).collect(),
        })
    }

    /// All of them, in memory.
    ///
    /// # Errors
    /// As [`Self::longest`].
    pub fn load(&self) -> Result<Vec<Recording>> {
        let load = |(label, file): &(u32, PathBuf)| {
            Ok(Recording {
                label: *label,
                speaker: speaker(file),
                samples: self.samples(file)?,
            })
        };
        self.files.par_iter().map(load).collect()
    }

    /// Who speaks in each, where the files' names say it.
    pub(super) fn speakers(&self) -> Vec<Option<String>> {
        self.files.iter().map(|(_, file)| speaker(file)).collect()
    }

    fn samples(&self, file: &Path) -> Result<Vec<i16>> {
        let sound = wav::read(file)?;
        if sound.rate != self.rate {
            return Err(ClipError::Wav {
                path: file.to_owned(),
                problem: format!(
                    "{} samples a second, {} are expected: resample it",
                    sound.rate, self.rate
                ),
            });
        }
        Ok(sound.pcm())
    }
}

impl FrameSet {
    /// Reads a folder with one folder of wav files a class as the features that `front_end` computes of them, in clips of
    /// `clips.length` frames: of longer recordings the first, shorter ones stand between silence, of which at most
    /// `front_end.after` seconds (else none) follow them. The classes are the front end's.
    ///
    /// # Errors
    /// As [`Recordings::open`] and [`Recordings::features`]; a front end with other bands or classes than `clips` asks for.
    pub fn recordings(path: &Path, front_end: &FrontEnd, clips: &Clips) -> Result<Self> {
        let bands = front_end.config.bands;
        clips.check_width(path, bands)?;
        clips.check_classes(path, Some(&front_end.classes))?;
        let (names, rate) = (front_end.classes.clone(), front_end.config.rate);
        let recordings = Recordings::open(path, Some(names), Some(rate))?;
        let after = (front_end.after.unwrap_or(0.0) * f64::from(rate)) as usize;
        let made = recordings.features(front_end, clips.length, after, &|_| ())?;
        let size = clips.length * bands;
        let clip = |(index, label): (usize, &i32)| Clip {
            samples: index * size..(index + 1) * size,
            label: *label as u32,
        };
        Ok(Self {
            clips: made.labels.iter().enumerate().map(clip).collect(),
            samples: made.values,
            frame: bands,
            hop: bands,
            length: clips.length,
            rate: Some(rate),
            front_end: Some(AnyFrontEnd::Sound(front_end.clone())),
            speakers: recordings.speakers(),
            classes: recordings.classes,
            name: path.display().to_string(),
        })
    }
}

/// A recording and what is known of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Its class.
    pub label: u32,
    /// Who speaks, where the file's name says it: what stands before its first `_`, as in Speech Commands.
    pub speaker: Option<String>,
    /// As a microphone gives them.
    pub samples: Vec<i16>,
}

/// What stands before the first `_` of a file's name.
pub(super) fn speaker(file: &Path) -> Option<String> {
    let name = file.file_stem()?.to_string_lossy();
    name.split_once('_').map(|(speaker, _)| speaker.to_owned())
}

/// Features of clips, and their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct ClipFeatures {
    /// Clips, frames of each, numbers of a frame.
    pub shape: [usize; 3],
    /// All of them.
    pub values: Vec<f32>,
    /// A class for each clip.
    pub labels: Vec<i32>,
}

impl ClipFeatures {
    /// A safetensors file as `data.kind = "frames"` reads it; `about` goes into its metadata, as `toeplite`.
    pub fn file(&self, about: &Value) -> Vec<u8> {
        let values: Vec<u8> = self.values.iter().flat_map(|x| x.to_le_bytes()).collect();
        let labels: Vec<u8> = self.labels.iter().flat_map(|x| x.to_le_bytes()).collect();
        let clips = vec![self.labels.len()];
        let tensors = [
            ("features", Dtype::F32, self.shape.to_vec(), &values),
            ("labels", Dtype::I32, clips, &labels),
        ];
        let views = tensors.map(|(name, dtype, shape, bytes)| {
            let view = TensorView::new(dtype, shape, bytes);
            (name, view.expect("as many bytes as the shape"))
        });
        let about = HashMap::from([("toeplite".to_owned(), about.to_string())]);
        safetensors::serialize(views, Some(about)).expect("tensors of whole bytes")
    }
}

#[cfg(test)]
mod tests {
    use super::super::clips::Reads;
    use super::super::sounds::tests::sound;
    use super::super::testing::all_frames;
    use super::super::{Clips, FrameSet};
    use super::*;
    use std::fs;
    use toeplite_audio::Config;
    use toeplite_checkpoint::AnyFrontEnd;

    const CONFIG: Config = Config::speech(8000).with_pcen();

    fn tone(length: usize) -> Vec<i16> {
        (0..length).map(|i| ((i * i) % 9001) as i16).collect()
    }

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        sound(&dir.path().join("yes/a.wav"), 8000, &tone(1000));
        sound(&dir.path().join("yes/b.wav"), 8000, &tone(3000));
        sound(&dir.path().join("no/c.wav"), 8000, &tone(40));
        dir
    }

    #[test]
    fn files_are_what_training_reads() {
        let dir = folder();
        let recordings = Recordings::open(dir.path(), None, None).unwrap();
        assert_eq!(recordings.classes, ["no", "yes"]);
        assert_eq!((recordings.rate, recordings.count()), (8000, 3));
        assert_eq!(recordings.longest().unwrap(), 3000);
        for integers in [false, true] {
            let config = CONFIG;
            let front_end = FrontEnd {
                config,
                integers,
                classes: recordings.classes.clone(),
                frames: Some(6),
                after: None,
            };
            let made = recordings.features(&front_end, 6, 0, &|_| ()).unwrap();
            assert_eq!((made.shape, &made.labels[..]), ([3, 6, 32], &[0, 1, 1][..]));
            let file = made.file(&front_end.to_json());
            assert_eq!(file, made.file(&front_end.to_json()));
            let path = dir.path().join("x.safetensors");
            fs::write(&path, file).unwrap();
            let clips = Clips {
                reads: Reads::Frames(32),
                classes: 2,
                names: None,
                length: 6,
                image: None,
            };
            let set = FrameSet::features(&path, &clips).unwrap();
            let made_by = AnyFrontEnd::Sound(front_end.clone());
            assert_eq!(set.front_end(), Some(&made_by));
            let (values, labels) = all_frames(&set, 6);
            assert_eq!(labels, [0, 1, 1]);
            assert_eq!(values, made.values);
            // frames of 200 samples every 160: six of them are 1000 samples, of which the first clip has the last 40
            let heard = [vec![0; 960], tone(40)].concat();
            assert_eq!(values[..6 * 32], front_end.features(&heard).unwrap());
            let whole = front_end.features(&tone(1000)).unwrap();
            assert_eq!(values[6 * 32..12 * 32], whole);
            assert_eq!(values[12 * 32..], whole);
            let made = recordings.features(&front_end, 6, 300, &|_| ()).unwrap();
            let heard = [vec![0; 660], tone(40), vec![0; 300]].concat();
            assert_eq!(made.values[..6 * 32], front_end.features(&heard).unwrap());
            assert_eq!(made.values[6 * 32..], values[6 * 32..]);
        }
    }

    #[test]
    fn recordings_are_clips_of_the_front_ends_features() {
        let dir = folder();
        sound(&dir.path().join("no/ann_1.wav"), 8000, &tone(500));
        let front_end = FrontEnd {
            config: CONFIG,
            integers: false,
            classes: ["maybe", "no", "yes"].map(String::from).to_vec(),
            frames: Some(6),
            after: Some(0.0375),
        };
        let clips = |classes, width| Clips {
            reads: Reads::Frames(width),
            classes,
            names: None,
            length: 6,
            image: None,
        };
        let open =
            |classes, width| FrameSet::recordings(dir.path(), &front_end, &clips(classes, width));
        let set = open(3, 32).unwrap();
        let (values, labels) = all_frames(&set, 6);
        assert_eq!(labels, [1, 1, 2, 2]);
        assert_eq!([0, 1, 2].map(|i| set.speaker(i)), [Some("ann"), None, None]);
        let recordings = Recordings::open(dir.path(), None, None).unwrap();
        let made = recordings.features(&front_end, 6, 300, &|_| ()).unwrap();
        assert_eq!(values, made.values);
        let error = |set: Result<FrameSet>| set.unwrap_err().to_string();
        assert!(error(open(2, 32)).contains("3 classes (maybe, no, yes)"));
        assert!(error(open(3, 40)).contains("frames of 32 numbers"));
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let dir = folder();
        let open = |classes, rate| Recordings::open(dir.path(), classes, rate);
        let of = |config| FrontEnd {
            config,
            integers: false,
            classes: Vec::new(),
            frames: None,
            after: None,
        };
        let front_end = of(CONFIG.with_bands(0, 60, 4000));
        let bad = open(None, None)
            .unwrap()
            .features(&front_end, 2, 0, &|_| ());
        assert!(bad.unwrap_err().to_string().contains("at least one band"));
        let named = Some(vec!["yes".to_owned()]);
        assert!(
            open(named, None)
                .unwrap_err()
                .to_string()
                .contains("\"no\"")
        );
        let known = Some(["maybe", "no", "yes"].map(str::to_owned).to_vec());
        let front_end = of(CONFIG);
        let made = open(known, None)
            .unwrap()
            .features(&front_end, 2, 0, &|_| ());
        assert_eq!(made.unwrap().labels, [1, 2, 2]);
        let slow = open(None, Some(16000)).unwrap().longest().unwrap_err();
        assert!(slow.to_string().contains("16000 are expected: resample"));
    }
}
