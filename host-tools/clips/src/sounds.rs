//! Folders of wav files as clips of frames.

use super::folders::Folders;
use super::frames::{Clip, FrameSet};
use super::{ClipError, Clips, Result, wav};
use std::path::Path;

/// How sounds become frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framing {
    /// Samples of a frame.
    pub frame: usize,
    /// Samples from one frame's start to the next one's.
    pub hop: usize,
    /// Samples a second; `None`: as many as the first sound has.
    pub rate: Option<u32>,
}

impl FrameSet {
    /// Reads a folder with one folder of wav files a class. Where `clips` does not name the classes,
    /// labels count the folders by name.
    ///
    /// # Errors
    /// There is no such folder, class or file; files that are no wav files, or of different sampling
    /// rates; classes or frames that are not what `clips` asks.
    pub fn sounds(path: &Path, framing: Framing, clips: &Clips) -> Result<Self> {
        clips.check_width(path, framing.frame)?;
        let folders = Folders::open(path, "wav files", is_wav)?;
        let mut set = Self {
            samples: Vec::new(),
            clips: Vec::new(),
            frame: framing.frame,
            hop: framing.hop,
            length: clips.length,
            classes: folders.classes(clips)?,
            rate: framing.rate,
            front_end: None,
            speakers: Vec::new(),
            name: path.display().to_string(),
        };
        for (label, file) in folders.files(&set.classes)? {
            set.add_sound(&file, label)?;
        }
        Ok(set)
    }

    fn add_sound(&mut self, file: &Path, label: u32) -> Result<()> {
        let sound = wav::read(file)?;
        let rate = *self.rate.get_or_insert(sound.rate);
        if rate != sound.rate {
            return Err(ClipError::Wav {
                path: file.to_owned(),
                problem: format!(
                    "{} samples a second, the training data has {rate}: resample it",
                    sound.rate
                ),
            });
        }
        let start = self.samples.len();
        self.samples.extend(sound.samples);
        self.clips.push(Clip {
            samples: start..self.samples.len(),
            label,
        });
        Ok(())
    }
}

pub(super) fn is_wav(path: &Path) -> bool {
    path.extension()
        .is_some_and(|e| e.eq_ignore_ascii_case("wav"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::clips::Reads;
    use super::super::testing::all_frames;
    use super::*;
    use hound::{SampleFormat, WavSpec, WavWriter};
    use std::fs;

    fn framing(hop: usize) -> Framing {
        Framing {
            frame: 2,
            hop,
            rate: None,
        }
    }

    fn clips(width: usize, classes: usize) -> Clips {
        Clips {
            reads: Reads::Frames(width),
            classes,
            names: None,
            length: 3,
            image: None,
        }
    }

    pub fn sound(path: &Path, rate: u32, samples: &[i16]) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let spec = WavSpec {
            channels: 1,
            sample_rate: rate,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let mut writer = WavWriter::create(path, spec).unwrap();
        samples
            .iter()
            .for_each(|s| writer.write_sample(*s).unwrap());
        writer.finalize().unwrap();
    }

    #[test]
    fn folders_are_classes_and_short_clips_follow_silence() {
        let dir = tempfile::tempdir().unwrap();
        sound(
            &dir.path().join("yes/a.wav"),
            8000,
            &[16384, 8192, 4096, 2048, 1024],
        );
        sound(&dir.path().join("no/b.WAV"), 8000, &[-16384]);
        fs::write(dir.path().join("yes/notes.txt"), "x").unwrap();
        let set = FrameSet::sounds(dir.path(), framing(1), &clips(2, 2)).unwrap();
        assert_eq!(set.classes(), ["no", "yes"]);
        let (values, labels) = all_frames(&set, 3);
        assert_eq!(labels, [0, 1]);
        let (no, yes) = values.split_at(6);
        assert_eq!(no, [0.0, 0.0, 0.0, 0.0, -0.5, 0.0]);
        assert_eq!(yes, [0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]);
    }

    #[test]
    fn bad_folders_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = |p: &Path| {
            let set = FrameSet::sounds(p, framing(2), &clips(2, 2));
            set.unwrap_err().to_string()
        };
        assert!(text(dir.path()).contains("hold no wav files"));
        assert!(text(&dir.path().join("none")).contains("none"));
        sound(&dir.path().join("a/1.wav"), 8000, &[1]);
        sound(&dir.path().join("b/2.wav"), 16000, &[1]);
        assert!(text(dir.path()).contains("resample"));
        fs::write(dir.path().join("b/2.wav"), "RIFF").unwrap();
        assert!(text(dir.path()).contains("2.wav"));
    }

    #[test]
    fn sounds_must_be_those_that_the_network_knows() {
        let dir = tempfile::tempdir().unwrap();
        sound(&dir.path().join("a/1.wav"), 8000, &[1]);
        sound(&dir.path().join("c/1.wav"), 8000, &[1]);
        let text = |framing, clips: &Clips| {
            let set = FrameSet::sounds(dir.path(), framing, clips);
            set.unwrap_err().to_string()
        };
        let three = text(framing(1), &clips(2, 3));
        assert!(three.contains("2 classes (a, c)") && three.contains("classifier.classes = 2"));
        let wide = text(framing(1), &clips(4, 2));
        assert!(wide.contains("model.classifier.frame_dim = 4"), "{wide}");
        let names = Some(vec!["a".to_owned(), "b".to_owned()]);
        let known = Clips {
            names,
            ..clips(2, 2)
        };
        assert!(text(framing(1), &known).contains("\"c\""));
        let rate = Some(16000);
        let fast = text(Framing { rate, ..framing(1) }, &clips(2, 2));
        assert!(fast.contains("16000: resample"), "{fast}");
        // Labels are those of the training data, also where only some classes are there.
        let names = Some(["a", "b", "c"].map(str::to_owned).to_vec());
        let known = Clips {
            names,
            ..clips(2, 3)
        };
        let set = FrameSet::sounds(dir.path(), framing(1), &known).unwrap();
        assert_eq!(all_frames(&set, 3).1, [0, 2]);
    }
}
