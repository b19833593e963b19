//! Clips of frames with a label each: sounds, or features that another program made.

use super::tensor::Numbers;
use super::{Batch, DataError, Inputs, Pick, Result, Source, npz, wav};
use crate::device::IGNORE;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Clips of frames, all in memory, with a label each.
///
/// A clip gives the network `length` frames: of longer ones the first, shorter ones are preceded by
/// frames of zeros, as a device that listens hears silence before a word.
#[derive(Debug)]
pub struct FrameSet {
    samples: Vec<f32>,
    clips: Vec<Clip>,
    /// Numbers of a frame.
    frame: usize,
    /// Numbers from one frame's start to the next one's.
    hop: usize,
    /// Frames of a sequence.
    length: usize,
    classes: Vec<String>,
    /// Samples a second, of sounds.
    rate: Option<u32>,
    name: String,
}

#[derive(Debug)]
struct Clip {
    samples: Range<usize>,
    label: u32,
}

impl FrameSet {
    /// Reads a folder with one folder of wav files a class; labels count the folders by name.
    /// Frames are `frame` raw samples, one every `hop`; a sequence has `length` of them.
    ///
    /// # Errors
    /// There is no such folder, class or file; files that are no wav files, or of different sampling
    /// rates.
    pub fn wav_folders(path: &Path, frame: usize, hop: usize, length: usize) -> Result<Self> {
        Self::wav_folders_like(path, frame, hop, length, None)
    }

    /// [`FrameSet::wav_folders`] with the classes and the sampling rate of another set.
    ///
    /// # Errors
    /// The same, and a class that the other set lacks.
    pub fn wav_folders_like(
        path: &Path,
        frame: usize,
        hop: usize,
        length: usize,
        like: Option<&Self>,
    ) -> Result<Self> {
        let wrong = |problem: String| DataError::Classes {
            path: path.to_owned(),
            problem,
        };
        let folders: Vec<PathBuf> = list(path)?.into_iter().filter(|p| p.is_dir()).collect();
        let found: Vec<String> = folders.iter().map(|p| name(p)).collect();
        let classes = like.map_or_else(|| found.clone(), |l| l.classes.clone());
        let mut set = Self {
            samples: Vec::new(),
            clips: Vec::new(),
            frame,
            hop,
            length,
            classes,
            rate: like.and_then(|l| l.rate),
            name: path.display().to_string(),
        };
        for (folder, class) in folders.iter().zip(found) {
            let label = set
                .classes
                .iter()
                .position(|c| *c == class)
                .ok_or_else(|| {
                    wrong(format!("class {class:?} is not one of the training data's"))
                })?;
            let sounds = list(folder)?;
            let is_wav =
                |p: &&PathBuf| p.extension().is_some_and(|e| e.eq_ignore_ascii_case("wav"));
            for file in sounds.iter().filter(is_wav) {
                set.add_sound(file, label as u32)?;
            }
        }
        if set.clips.is_empty() {
            return Err(wrong("it holds no wav file".to_owned()));
        }
        Ok(set)
    }

    fn add_sound(&mut self, file: &Path, label: u32) -> Result<()> {
        let sound = wav::read(file)?;
        let rate = *self.rate.get_or_insert(sound.rate);
        if rate != sound.rate {
            return Err(DataError::Wav {
                path: file.to_owned(),
                problem: format!(
                    "{} samples a second, files before it have {rate}: resample it",
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

    /// Reads `features` `[clips, frames, width]` and `labels` `[clips]` from an npz or safetensors
    /// file; a sequence has `length` frames.
    ///
    /// # Errors
    /// The file is neither, lacks one of them, or they do not fit each other.
    pub fn features(path: &Path, length: usize) -> Result<Self> {
        let wrong = |problem: String| DataError::Features {
            path: path.to_owned(),
            problem,
        };
        let [features, labels] = npz::read(path)?;
        let &[clips, frames, width] = &features.shape[..] else {
            return Err(wrong(format!("`features` has shape {:?}", features.shape)));
        };
        if labels.shape != [clips] {
            let found = labels.shape;
            return Err(wrong(format!(
                "{clips} clips, but `labels` has shape {found:?}"
            )));
        }
        if clips == 0 || frames == 0 || width == 0 {
            return Err(wrong(format!("`features` is empty: {:?}", features.shape)));
        }
        let samples = match features.numbers {
            Numbers::Floats(floats) => floats,
            Numbers::Integers(integers) => integers.into_iter().map(|i| i as f32).collect(),
        };
        if let Some(at) = samples.iter().position(|x| !x.is_finite()) {
            let clip = at / (frames * width);
            return Err(wrong(format!(
                "`features` holds {} in clip {clip}",
                samples[at]
            )));
        }
        let Numbers::Integers(labels) = labels.numbers else {
            return Err(wrong("`labels` are no integers".to_owned()));
        };
        let size = frames * width;
        let mut set = Self {
            samples,
            clips: Vec::with_capacity(clips),
            frame: width,
            hop: width,
            length,
            classes: Vec::new(),
            rate: None,
            name: path.display().to_string(),
        };
        for (clip, label) in labels.into_iter().enumerate() {
            // No real set of data has more classes; a hostile label must not make a huge network.
            let label = u32::try_from(label).ok().filter(|l| *l < 1 << 24);
            let label = label.ok_or_else(|| {
                wrong(format!(
                    "the label of clip {clip} is no number from 0 to 2^24"
                ))
            })?;
            set.clips.push(Clip {
                samples: clip * size..(clip + 1) * size,
                label,
            });
        }
        let most = set.clips.iter().map(|c| c.label).max().unwrap_or(0);
        set.classes = (0..=most).map(|label| label.to_string()).collect();
        Ok(set)
    }

    /// Refuses validation features of another width, or with classes that `train` lacks.
    pub(super) fn check_like(&self, path: &Path, train: &Self) -> Result<()> {
        let wrong = |problem: String| DataError::Features {
            path: path.to_owned(),
            problem,
        };
        if self.frame != train.frame {
            let problem = format!(
                "frames of width {}, training has {}",
                self.frame, train.frame
            );
            return Err(wrong(problem));
        }
        if self.classes.len() > train.classes.len() {
            let problem = format!(
                "labels up to {}, training knows {} classes",
                self.classes.len() - 1,
                train.classes.len()
            );
            return Err(wrong(problem));
        }
        Ok(())
    }

    /// Names of the classes, by label.
    pub fn classes(&self) -> &[String] {
        &self.classes
    }

    /// Numbers of a frame.
    pub fn width(&self) -> usize {
        self.frame
    }

    fn batch(&self, clips: impl Iterator<Item = Option<usize>>, length: usize) -> Batch {
        let (mut values, mut targets) = (Vec::new(), Vec::new());
        for clip in clips {
            let end = values.len() + length * self.frame;
            if let Some(clip) = clip.map(|c| &self.clips[c]) {
                self.clip_frames(&self.samples[clip.samples.clone()], length, &mut values);
                targets.push(clip.label);
            } else {
                targets.push(IGNORE);
            }
            values.resize(end, 0.0);
        }
        Batch {
            sequences: targets.len(),
            length,
            inputs: Inputs::Frames {
                width: self.frame,
                values,
            },
            targets,
        }
    }

    fn clip_frames(&self, samples: &[f32], length: usize, to: &mut Vec<f32>) {
        // A clip shorter than a frame is one frame, its end filled up.
        let frames = 1 + samples.len().saturating_sub(self.frame) / self.hop;
        let frames = frames.min(length);
        to.resize(to.len() + (length - frames) * self.frame, 0.0);
        for i in 0..frames {
            let start = i * self.hop;
            let end = (start + self.frame).min(samples.len());
            to.extend_from_slice(&samples[start..end]);
            to.resize(to.len() + self.frame - (end - start), 0.0);
        }
    }
}

impl Source for FrameSet {
    fn sequences(&self) -> u64 {
        self.clips.len() as u64
    }

    fn training(&self, picks: &[Pick]) -> Result<Batch> {
        let clips = picks.iter().map(|p| Some(p.index as usize));
        Ok(self.batch(clips, self.length))
    }

    fn counted(&self, picks: &[Pick]) -> Result<u64> {
        Ok(picks.len() as u64)
    }

    fn evaluation(&self, index: u64, length: usize, sequences: usize) -> Result<Option<Batch>> {
        let sequences = sequences.clamp(1, self.clips.len());
        let first = usize::try_from(index)
            .ok()
            .and_then(|i| i.checked_mul(sequences));
        let Some(first) = first.filter(|f| *f < self.clips.len()) else {
            return Ok(None);
        };
        let clips = (first..first + sequences).map(|c| (c < self.clips.len()).then_some(c));
        Ok(Some(self.batch(clips, length.max(1))))
    }

    fn target_bytes(&self) -> Option<u64> {
        None
    }

    fn describe(&self) -> String {
        format!(
            "{}: {} clips of {} classes, {} frames of {} numbers each",
            self.name,
            self.clips.len(),
            self.classes.len(),
            self.length,
            self.frame
        )
    }
}

/// What a folder holds, by name; hidden files aside.
fn list(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || {
        let entries = fs::read_dir(folder)?.map(|e| e.map(|e| e.path()));
        entries.collect::<std::io::Result<Vec<PathBuf>>>()
    };
    let mut entries = read().map_err(DataError::read(folder))?;
    entries.retain(|p| !name(p).starts_with('.'));
    entries.sort();
    Ok(entries)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::super::npy;
    use super::*;
    use hound::{SampleFormat, WavSpec, WavWriter};
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn sound(path: &Path, rate: u32, samples: &[i16]) {
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

    fn values(batch: &Batch) -> &[f32] {
        match &batch.inputs {
            Inputs::Frames { values, .. } => values,
            Inputs::Tokens(_) => panic!("frames are expected"),
        }
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
        let set = FrameSet::wav_folders(dir.path(), 2, 1, 3).unwrap();
        assert_eq!(set.classes(), ["no", "yes"]);
        let batch = set.evaluation(0, 3, 2).unwrap().unwrap();
        assert_eq!(batch.targets, [0, 1]);
        let (no, yes) = values(&batch).split_at(6);
        assert_eq!(no, [0.0, 0.0, 0.0, 0.0, -0.5, 0.0]);
        assert_eq!(yes, [0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]);
        assert!(set.evaluation(1, 3, 2).unwrap().is_none());
        let one = set.evaluation(0, 3, 9).unwrap().unwrap();
        assert_eq!(one.counted(), 2);
    }

    #[test]
    fn bad_folders_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let text = |p: &Path| FrameSet::wav_folders(p, 2, 2, 3).unwrap_err().to_string();
        assert!(text(dir.path()).contains("no wav file"));
        assert!(text(&dir.path().join("none")).contains("none"));
        sound(&dir.path().join("a/1.wav"), 8000, &[1]);
        sound(&dir.path().join("b/2.wav"), 16000, &[1]);
        assert!(text(dir.path()).contains("resample"));
        fs::write(dir.path().join("b/2.wav"), "RIFF").unwrap();
        assert!(text(dir.path()).contains("2.wav"));
        let (train, valid) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        sound(&train.path().join("a/1.wav"), 8000, &[1]);
        sound(&valid.path().join("c/1.wav"), 8000, &[1]);
        let train = FrameSet::wav_folders(train.path(), 2, 2, 3).unwrap();
        let error = FrameSet::wav_folders_like(valid.path(), 2, 2, 3, Some(&train)).unwrap_err();
        assert!(error.to_string().contains("\"c\""), "{error}");
    }

    fn npz(path: &Path, arrays: &[(&str, Vec<u8>)], deflate: bool) {
        let mut zip = zip::ZipWriter::new(fs::File::create(path).unwrap());
        let method = if deflate {
            zip::CompressionMethod::Deflated
        } else {
            zip::CompressionMethod::Stored
        };
        for (name, bytes) in arrays {
            let options = SimpleFileOptions::default().compression_method(method);
            zip.start_file(format!("{name}.npy"), options).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap();
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn npz_and_safetensors_hold_the_same_features() {
        let dir = tempfile::tempdir().unwrap();
        let numbers = floats(&[1., 2., 3., 4., 5., 6., 7., 8.]);
        let features = npy::file("<f4", "(2, 2, 2)", &numbers);
        let labels = npy::file("<i8", "(2,)", &[3i64, 0].map(i64::to_le_bytes).concat());
        let path = dir.path().join("x.npz");
        let tensors = dir.path().join("x.safetensors");
        let view =
            |d, s: &[usize], b| safetensors::tensor::TensorView::new(d, s.to_vec(), b).unwrap();
        let labels_u8 = [3u8, 0];
        let file = safetensors::serialize(
            [
                (
                    "features",
                    view(safetensors::Dtype::F32, &[2, 2, 2], &numbers[..]),
                ),
                ("labels", view(safetensors::Dtype::U8, &[2], &labels_u8[..])),
            ],
            None,
        );
        fs::write(&tensors, file.unwrap()).unwrap();
        for deflate in [false, true] {
            npz(
                &path,
                &[("features", features.clone()), ("labels", labels.clone())],
                deflate,
            );
            for file in [&path, &tensors] {
                let set = FrameSet::features(file, 3).unwrap();
                assert_eq!((set.width(), set.classes().len()), (2, 4));
                let batch = set.evaluation(0, 3, 2).unwrap().unwrap();
                assert_eq!(batch.targets, [3, 0]);
                assert_eq!(
                    values(&batch),
                    [0., 0., 1., 2., 3., 4., 0., 0., 5., 6., 7., 8.]
                );
            }
        }
    }

    #[test]
    fn features_that_do_not_fit_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.npz");
        let labels = npy::file("|u1", "(1,)", &[0]);
        let good = npy::file("<f4", "(1, 1, 1)", &floats(&[1.0]));
        for (features, labels, expected) in [
            (
                npy::file("<f4", "(1,)", &floats(&[1.0])),
                labels.clone(),
                "shape [1]",
            ),
            (
                npy::file("<f4", "(1, 1, 1)", &floats(&[f32::NAN])),
                labels.clone(),
                "NaN",
            ),
            (
                npy::file("<f4", "(0, 1, 1)", &[]),
                npy::file("|u1", "(0,)", &[]),
                "empty",
            ),
            (good.clone(), npy::file("|u1", "(2,)", &[0, 0]), "shape [2]"),
            (
                good.clone(),
                npy::file("|i1", "(1,)", &[255]),
                "label of clip 0",
            ),
            (
                good.clone(),
                npy::file("<f4", "(1,)", &floats(&[0.0])),
                "no integers",
            ),
            (good[..9].to_vec(), labels.clone(), "truncated"),
        ] {
            npz(&path, &[("features", features), ("labels", labels)], false);
            let error = FrameSet::features(&path, 1).unwrap_err().to_string();
            assert!(
                error.contains(expected) && error.contains("x.npz"),
                "{error}"
            );
        }
        npz(&path, &[("features", good)], false);
        assert!(
            FrameSet::features(&path, 1)
                .unwrap_err()
                .to_string()
                .contains("labels")
        );
        for bytes in [
            &b""[..],
            b"PK",
            b"PK\x03\x04 and no more",
            b"\xff\xff\xff\xff\xff\xff\xff\xff{}",
        ] {
            fs::write(&path, bytes).unwrap();
            let error = FrameSet::features(&path, 1).unwrap_err();
            assert!(error.to_string().contains("x.npz"), "{error}");
        }
    }
}
