//! Recordings as features, and when decisions are made of them.

use super::StreamsError;
use std::fs;
use std::path::{Path, PathBuf};
use toeplite_checkpoint::FrontEnd;
use toeplite_clips::{ClipError, read_sound};

/// When a network decides, and what of the past counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Listening {
    /// Frames after which what was heard counts half; `None`: only the last frame counts, for networks with
    /// `pooling = "last"`.
    pub half_life: Option<f64>,
    /// Frames from one decision to the next, the first after as many.
    pub every: usize,
}

impl Listening {
    /// Factor by which a frame's weight shrinks with each later one; 0 where only the last one counts.
    pub fn decay(&self) -> f64 {
        let factor = |half_life: f64| (-std::f64::consts::LN_2 / half_life).exp();
        self.half_life.map_or(0.0, factor)
    }

    /// Seconds from a recording's start to the end of each decision's last frame.
    pub(crate) fn times(&self, front_end: &FrontEnd, decisions: usize) -> Vec<f64> {
        let (config, rate) = (front_end.config, f64::from(front_end.config.rate));
        let [frame, hop] = [config.frame, config.hop].map(|samples| samples as f64 / rate);
        let time = |decision: usize| frame + (decision * self.every - 1) as f64 * hop;
        (1..=decisions).map(time).collect()
    }
}

/// A recording as a network hears it.
pub(crate) struct Recording {
    pub seconds: f64,
    /// `[frames, bands]`.
    pub features: Vec<f32>,
}

impl Recording {
    /// Computes the features of a wav file.
    pub fn open(file: &Path, front_end: &FrontEnd) -> Result<Self, StreamsError> {
        let (sound, expected) = (read_sound(file)?, front_end.config.rate);
        if sound.rate != expected {
            return Err(StreamsError::Rate {
                path: file.to_owned(),
                found: sound.rate,
                expected,
            });
        }
        let features = front_end.features(&sound.pcm());
        Ok(Self {
            seconds: sound.samples.len() as f64 / f64::from(expected),
            features: features.map_err(ClipError::FrontEnd)?,
        })
    }
}

/// The wav file at `path`, or those in the folder there, by name.
///
/// # Errors
/// The folder cannot be read, or holds none.
pub fn wav_files(path: &Path) -> Result<Vec<PathBuf>, StreamsError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let list = || {
        let entries = fs::read_dir(path)?.map(|entry| entry.map(|entry| entry.path()));
        entries.collect::<std::io::Result<Vec<_>>>()
    };
    let mut files = list().map_err(StreamsError::io("read", path))?;
    let is_wav = |file: &PathBuf| {
        let hidden = file
            .file_name()
            .is_none_or(|n| n.as_encoded_bytes().starts_with(b"."));
        let ending = file.extension();
        !hidden && ending.is_some_and(|e| e.eq_ignore_ascii_case("wav"))
    };
    files.retain(is_wav);
    files.sort();
    match files.is_empty() {
        true => Err(StreamsError::NoRecordings(path.to_owned())),
        false => Ok(files),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use toeplite_audio::Config;

    #[test]
    fn decisions_are_made_at_the_ends_of_frames() {
        let front_end = FrontEnd {
            config: Config::speech(8000),
            integers: false,
            classes: Vec::new(),
            frames: None,
            after: None,
        };
        let listening = Listening {
            half_life: Some(1.0),
            every: 2,
        };
        let times = listening.times(&front_end, 2);
        // frames of 25 ms every 20 ms: the second ends at 45 ms, the fourth at 85 ms
        assert!((times[0] - 0.045).abs() < 1e-12 && (times[1] - 0.085).abs() < 1e-12);
        assert!((listening.decay() - 0.5).abs() < 1e-12);
        let last = Listening {
            half_life: None,
            ..listening
        };
        assert_eq!(last.decay(), 0.0);
    }

    #[test]
    fn recordings_are_found_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let empty = wav_files(dir.path()).unwrap_err();
        assert!(empty.to_string().contains("no wav files"));
        for name in ["b.WAV", "a.wav", ".c.wav", "a.txt"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let files = wav_files(dir.path()).unwrap();
        assert_eq!(files, ["a.wav", "b.WAV"].map(|name| dir.path().join(name)));
        let one = dir.path().join("a.txt");
        assert_eq!(wav_files(&one).unwrap(), [one]);
        let absent = wav_files(&dir.path().join("absent/")).unwrap();
        assert_eq!(
            absent.len(),
            1,
            "what is no folder is a file, which reading names"
        );
    }
}
