//! Spoken words: recordings of them, of other speech, and of noise, as folders of wav files a class, and as long streams.
//!
//! Recordings of words are files `WORD_SPEAKER_INDEX.wav`, as the Free Spoken Digit Dataset has them (CC BY-SA 4.0,
//! <https://github.com/Jakobovski/free-spoken-digit-dataset>). Its own test part has the indices 0 to 4.

mod sources;
mod streams;

use super::{MadeFile, Result, TaskError, Tick};
use crate::data::sounds::signal::{noise, ratio, resample, scale};
use crate::data::{Draw, Permutation, mix};
use hound::{SampleFormat, WavSpec, WavWriter};
use rayon::prelude::*;
use sources::{Word, words};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use toeplite_clips::{Sound, read_sound, to_pcm};

/// Samples a second of all that is made.
pub const RATE: u32 = 8000;
/// Class of speech without the words.
pub const UNKNOWN: &str = "unknown";
/// Class of noise.
pub const SILENCE: &str = "silence";
/// Recordings of each word by each speaker that the data set's own test part has.
const OWN_TEST: usize = 5;
/// Those behind them that are validated with.
const OWN_VALID: usize = 3;
/// Seconds of the pieces that speech without the words is cut into.
const PIECE: f64 = 2.5;
/// Pieces and recordings of noise to validate with and to test, at most.
const JUDGED: usize = 200;

/// What is made.
#[derive(Clone, Debug, Default)]
pub struct Keywords {
    /// Recordings of words: a `.tar.gz` or a folder.
    pub source: Option<PathBuf>,
    /// Folders of speech without the words, in folders of any depth; those called `digits` are left out.
    pub negatives: Vec<PathBuf>,
    /// Folders with one folder of wav files a word, to train on only.
    pub voices: Vec<PathBuf>,
    /// The speaker that is tested, instead of the first recordings of all.
    pub leave_out: Option<String>,
}

/// A part of the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Train,
    Valid,
    Test,
}

const PARTS: [Part; 3] = [Part::Train, Part::Valid, Part::Test];

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Valid => "valid",
            Self::Test => "test",
        }
    }
}

/// A clip on its way into a file.
struct Clip {
    part: Part,
    class: String,
    name: String,
    samples: Vec<f32>,
}

impl Keywords {
    /// Writes `PART/CLASS/SPEAKER_NUMBER.wav` and `streams/PART/*.wav` with their labels into `folder`.
    ///
    /// # Errors
    /// Sources are missing or damaged, or hold nothing; the speaker is not there; files cannot be written.
    pub fn make(&self, folder: &Path, seed: u64, tick: Tick<'_>) -> Result<Vec<MadeFile>> {
        let mut clips = self.words(tick)?;
        let speech = self.speech(seed)?;
        streams::write(folder, seed, &clips, &speech)?;
        clips.extend(self.voices()?);
        clips.extend(pieces(&speech, seed));
        clips.extend(silence(seed));
        check(&clips)?;
        clips.par_iter().try_for_each(|clip| clip.write(folder))?;
        let made = |part: Part| MadeFile {
            name: part.name().to_owned(),
            clips: clips.iter().filter(|clip| clip.part == part).count(),
        };
        Ok(PARTS.map(made).to_vec())
    }

    fn words(&self, tick: Tick<'_>) -> Result<Vec<Clip>> {
        let missing = || {
            TaskError::Options(
                "--source FILE-OR-FOLDER is missing: recordings of words, WORD_SPEAKER_INDEX.wav, for \
                 example the Free Spoken Digit Dataset"
                    .to_owned(),
            )
        };
        let source = self.source.as_deref().ok_or_else(missing)?;
        let words = words(source)?;
        if let Some(speaker) = &self.leave_out
            && !words.iter().any(|word| word.speaker == *speaker)
        {
            let mut all: Vec<_> = words.iter().map(|word| &word.speaker[..]).collect();
            all.sort_unstable();
            all.dedup();
            return Err(TaskError::Options(format!(
                "--leave-out {speaker}: there are recordings of {}",
                all.join(", ")
            )));
        }
        let clip = |word: Word| {
            tick(1);
            Clip {
                part: self.part(&word),
                name: format!("{}_{:03}", word.speaker, word.index),
                class: word.word,
                samples: at_rate(&word.sound),
            }
        };
        Ok(words.into_iter().map(clip).collect())
    }

    fn part(&self, word: &Word) -> Part {
        match &self.leave_out {
            Some(speaker) if word.speaker == *speaker => Part::Test,
            Some(_) if word.index < OWN_TEST => Part::Valid,
            None if word.index < OWN_TEST => Part::Test,
            None if word.index < OWN_TEST + OWN_VALID => Part::Valid,
            _ => Part::Train,
        }
    }

    /// Speech without the words: recordings are shared out at random.
    fn speech(&self, seed: u64) -> Result<Vec<Speech>> {
        let mut all = Vec::new();
        for folder in &self.negatives {
            let voice = name_of(folder);
            let files = sources::recordings(folder)?;
            if files.is_empty() {
                let folder = folder.display();
                return Err(TaskError::Options(format!(
                    "--negatives {folder}: there are no wav files in it"
                )));
            }
            all.extend(files.into_iter().map(|file| (voice.clone(), file)));
        }
        let places = Permutation::new(all.len() as u64, mix(seed));
        let read = |(index, (voice, file)): (usize, &(String, PathBuf))| {
            // half is trained on, a tenth validated with
            let part = match places.at(index as u64) * 10 / all.len() as u64 {
                0..5 => Part::Train,
                5 => Part::Valid,
                _ => Part::Test,
            };
            Ok(Speech {
                part,
                name: format!("{voice}_{index:05}"),
                samples: at_rate(&read_sound(file)?),
            })
        };
        all.par_iter().enumerate().map(read).collect()
    }

    fn voices(&self) -> Result<Vec<Clip>> {
        let mut clips = Vec::new();
        for folder in &self.voices {
            let recordings = sources::recordings(folder)?;
            let read = |file: &PathBuf| {
                let class = file.parent().map(name_of).unwrap_or_default();
                Ok(Clip {
                    part: Part::Train,
                    class,
                    name: file
                        .file_stem()
                        .unwrap_or_default()
                        .to_string_lossy()
                        .into_owned(),
                    samples: trimmed(at_rate(&read_sound(file)?)),
                })
            };
            clips.extend(
                recordings
                    .par_iter()
                    .map(read)
                    .collect::<Result<Vec<_>>>()?,
            );
        }
        Ok(clips)
    }
}

/// Refuses words that nothing is learnt of, and says how many clips there are of each.
fn check(clips: &[Clip]) -> Result<()> {
    let mut counts: BTreeMap<&str, [usize; PARTS.len()]> = BTreeMap::new();
    for clip in clips {
        counts.entry(&clip.class).or_default()[clip.part as usize] += 1;
    }
    for (class, [train, valid, test]) in &counts {
        if *train == 0 {
            return Err(TaskError::Options(format!(
                "there are no recordings of `{class}` to train on: of a speaker's recordings those numbered 0 to {} are tested and those up to {} \
                 validated with (with --leave-out, 0 to {} of the others are validated with), so record more, or add --voices",
                OWN_TEST - 1,
                OWN_TEST + OWN_VALID - 1,
                OWN_TEST - 1
            )));
        }
        if *valid + *test == 0 {
            return Err(TaskError::Options(format!(
                "`{class}` is a folder of --voices, and no word of --source: call it as the word that is said in it"
            )));
        }
    }
    for (class, [train, valid, test]) in counts {
        toeplite_terminal::tell(format_args!(
            "{class}: {train} to train on, {valid} to validate with, {test} to test"
        ));
    }
    Ok(())
}

/// A recording without the words.
struct Speech {
    part: Part,
    name: String,
    samples: Vec<f32>,
}

/// Speech as clips: pieces of equal length, as many as are left of each recording.
fn pieces(speech: &[Speech], seed: u64) -> Vec<Clip> {
    let length = (PIECE * f64::from(RATE)) as usize;
    let (mut clips, mut judged) = (Vec::new(), [0; PARTS.len()]);
    // the judged ones are of all voices
    let order = Permutation::new(speech.len() as u64, mix(!seed));
    for place in 0..speech.len() as u64 {
        let recording = &speech[order.at(place) as usize];
        for (index, piece) in recording.samples.chunks(length).enumerate() {
            let count = &mut judged[recording.part as usize];
            let is_enough = recording.part != Part::Train && *count >= JUDGED;
            // what is left may be a breath; a short recording is all that there is
            if is_enough || index > 0 && piece.len() < length / 4 {
                continue;
            }
            *count += 1;
            clips.push(Clip {
                part: recording.part,
                class: UNKNOWN.to_owned(),
                name: format!("{}-{index}", recording.name),
                samples: piece.to_vec(),
            });
        }
    }
    clips
}

/// Noise of all colours and levels, and true silence.
fn silence(seed: u64) -> Vec<Clip> {
    let length = (PIECE * f64::from(RATE)) as usize;
    let clip = |(part, index): (Part, usize)| {
        let mut draw = Draw::of(
            seed,
            "silence",
            (index * PARTS.len() + part as usize) as u64,
        );
        let mut samples = noise(&mut draw, length);
        let level = if index == 0 {
            0.0
        } else {
            ratio(draw.between(-75.0, -15.0))
        };
        scale(&mut samples, level);
        Clip {
            part,
            class: SILENCE.to_owned(),
            name: format!("noise_{index:03}"),
            samples,
        }
    };
    let numbers = PARTS.into_iter().flat_map(|part| {
        let count = if part == Part::Train {
            JUDGED
        } else {
            JUDGED / 4
        };
        (0..count).map(move |index| (part, index))
    });
    numbers
        .collect::<Vec<_>>()
        .into_par_iter()
        .map(clip)
        .collect()
}

/// Synthetic voices speak in silence: what is 40 dB below their loudest sample, before and behind the word, is cut off.
fn trimmed(samples: Vec<f32>) -> Vec<f32> {
    let peak = samples.iter().fold(0f32, |most, x| most.max(x.abs()));
    let loud = |x: &f32| x.abs() > 0.01 * peak;
    let first = samples.iter().position(loud).unwrap_or(0);
    let last = samples.iter().rposition(loud).map_or(0, |last| last + 1);
    samples[first..last].to_vec()
}

fn at_rate(sound: &Sound) -> Vec<f32> {
    if sound.rate == RATE {
        return sound.samples.clone();
    }
    resample(&sound.samples, f64::from(sound.rate) / f64::from(RATE))
}

/// A folder's name, as a speaker's: without `_`, which ends one.
fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default();
    name.to_string_lossy().replace('_', "-")
}

impl Clip {
    fn write(&self, folder: &Path) -> Result<()> {
        let folder = folder.join(self.part.name()).join(&self.class);
        write_wav(&folder.join(format!("{}.wav", self.name)), &self.samples)
    }
}

/// Writes a wav file of 16 bits; folders around it are made.
fn write_wav(path: &Path, samples: &[f32]) -> Result<()> {
    let around = path.parent().unwrap_or(path);
    fs::create_dir_all(around).map_err(TaskError::io("create", around))?;
    let spec = WavSpec {
        channels: 1,
        sample_rate: RATE,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let write = || {
        let mut writer = WavWriter::create(path, spec)?;
        for sample in samples {
            writer.write_sample(to_pcm(*sample))?;
        }
        writer.finalize()
    };
    let refused = |e| match e {
        hound::Error::IoError(cause) => cause,
        other => std::io::Error::other(other),
    };
    write().map_err(|e| TaskError::io("write", path)(refused(e)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(folder: &Path) -> Keywords {
        let tone = |i: usize| ((i * i) % 199) as f32 / 400.0;
        for (word, speaker, index) in (0..36).map(|i| (i % 2, ["ann", "bob"][i / 2 % 2], i / 4)) {
            let samples: Vec<f32> = (0..2000 + index).map(tone).collect();
            let name = format!("source/{word}_{speaker}_{index}.wav");
            write_wav(&folder.join(name), &samples).unwrap();
        }
        for index in 0..20 {
            let samples: Vec<f32> = (0..30_000 + index).map(tone).collect();
            let name = format!("no_words/deep/{index}.wav");
            write_wav(&folder.join(name), &samples).unwrap();
        }
        write_wav(&folder.join("no_words/digits/1.wav"), &[0.5; 9000]).unwrap();
        write_wav(
            &folder.join("voices/1/robot_1.wav"),
            &[[0.0; 99], [0.5; 99]].concat(),
        )
        .unwrap();
        Keywords {
            source: Some(folder.join("source")),
            negatives: vec![folder.join("no_words")],
            voices: vec![folder.join("voices")],
            leave_out: None,
        }
    }

    fn files(folder: &Path) -> Vec<String> {
        let all = sources::recordings(folder).unwrap();
        let name = |p: PathBuf| {
            p.strip_prefix(folder)
                .unwrap()
                .to_string_lossy()
                .into_owned()
        };
        all.into_iter().map(name).collect()
    }

    #[test]
    fn parts_have_other_recordings_and_are_the_same_again() {
        let dir = tempfile::tempdir().unwrap();
        let keywords = sources(dir.path());
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        let made = keywords.make(&a, 1, &|_| ()).unwrap();
        keywords.make(&b, 1, &|_| ()).unwrap();
        let names = files(&a);
        assert_eq!(names, files(&b));
        for name in &names {
            assert_eq!(
                fs::read(a.join(name)).unwrap(),
                fs::read(b.join(name)).unwrap()
            );
        }
        let has = |start: &str| names.iter().filter(|n| n.starts_with(start)).count();
        // of 9 recordings of a word by a speaker 5 are tested, the next 3 validated with
        assert_eq!((has("train/1"), has("valid/1"), has("test/1")), (3, 6, 10));
        assert_eq!((has("train/silence"), has("test/silence")), (200, 50));
        // two pieces of each of 20 recordings
        let pieces = ["train", "valid", "test"].map(|p| has(&format!("{p}/unknown/no-words_")));
        assert_eq!(pieces, [20, 4, 16]);
        assert!(names.contains(&"train/1/robot_1.wav".to_owned()));
        assert_eq!(
            read_sound(&a.join("train/1/robot_1.wav"))
                .unwrap()
                .samples
                .len(),
            99
        );
        let total: usize = made.iter().map(|file| file.clips).sum();
        assert_eq!(total, names.len() - has("streams"));
    }

    #[test]
    fn a_speaker_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut keywords = sources(dir.path());
        keywords.leave_out = Some("bob".to_owned());
        let out = dir.path().join("out");
        keywords.make(&out, 1, &|_| ()).unwrap();
        let names = files(&out);
        for part in ["train", "valid", "test"] {
            let own = names.iter().filter(|n| n.starts_with(&format!("{part}/0")));
            assert!(
                own.into_iter()
                    .all(|n| n.contains("bob") == (part == "test"))
            );
        }
        keywords.leave_out = Some("eve".to_owned());
        let error = keywords
            .make(&dir.path().join("c"), 1, &|_| ())
            .unwrap_err();
        assert!(
            error.is_usage() && error.to_string().contains("ann, bob"),
            "{error}"
        );
    }

    #[test]
    fn what_would_not_be_learnt_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut keywords = sources(dir.path());
        let make = |keywords: &Keywords, name: &str| {
            let made = keywords.make(&dir.path().join(name), 1, &|_| ());
            made.map_err(|error| error.to_string())
        };
        // a word of two parts with too few recordings
        let few = dir.path().join("source/turn_on_ann_3.wav");
        write_wav(&few, &[0.5; 900]).unwrap();
        let error = make(&keywords, "few").unwrap_err();
        assert!(
            error.contains("`turn_on`") && error.contains("0 to 4"),
            "{error}"
        );
        fs::remove_file(few).unwrap();
        let stray = dir.path().join("voices/2/robot_1.wav");
        write_wav(&stray, &[0.5; 900]).unwrap();
        let error = make(&keywords, "stray").unwrap_err();
        assert!(error.contains("`2` is a folder of --voices"), "{error}");
        fs::remove_file(stray).unwrap();
        // short recordings of other speech are kept as they are
        for index in 0..10 {
            let name = format!("short/{index}.wav");
            write_wav(&dir.path().join(name), &[0.5; 900]).unwrap();
        }
        keywords.negatives = vec![dir.path().join("short")];
        make(&keywords, "short-ones").unwrap();
        let names = files(&dir.path().join("short-ones"));
        let kept = names.iter().filter(|n| n.contains("/unknown/short_"));
        assert_eq!(kept.count(), 10);
        keywords.negatives.push(dir.path().join("empty"));
        fs::create_dir(dir.path().join("empty")).unwrap();
        assert!(
            make(&keywords, "none")
                .unwrap_err()
                .contains("no wav files")
        );
    }
}
