//! The options of `eval --stream`, and all that becomes of them.

use super::recording::Recording;
use super::{Heard, Listening, Stream, StreamsError, hear, posteriors, table, track, wav_files};
use anyhow::Result;
use clap::Args;
use std::path::{Path, PathBuf};
use toeplite_audio::detect::{self, Settings};
use toeplite_checkpoint::FrontEnd;
use toeplite_checkpoint::config::Pooling;
use toeplite_terminal as output;

/// What becomes of a network's decisions.
#[derive(Args, Debug)]
pub struct Options {
    /// Classifiers of recordings' features: a wav file, or a folder of them, to be heard as one stream each. FILE.txt beside
    /// FILE.wav says what is said when: lines of start, end (seconds) and class, as Audacity's label tracks. Without it,
    /// none of the words is said, and every event is a false accept.
    #[arg(long, value_name = "PATH")]
    pub stream: Option<PathBuf>,
    /// Streams: frames after which what was heard counts half [default: 15; only the last frame of networks
    /// with pooling = "last", whose logits are those].
    #[arg(long, value_name = "N", value_parser = half_life)]
    half_life: Option<f64>,
    /// Streams: frames from one decision to the next [default: 3].
    #[arg(long, value_name = "N", value_parser = positive)]
    every: Option<usize>,
    /// Streams: share of a new decision in what is smoothed [default: 0.16].
    #[arg(long, value_name = "X", value_parser = share)]
    smoothing: Option<f64>,
    /// Streams: posterior of all words together from which a decision is one for a word [default: 0.95].
    #[arg(long, value_name = "P", value_parser = share)]
    sure: Option<f64>,
    /// Streams: what the likeliest word must have of all words' smoothed posteriors [default: 0.7].
    #[arg(long, value_name = "X", value_parser = share)]
    share: Option<f64>,
    /// Streams: seconds after an event before there can be another one [default: 0.5].
    #[arg(long, value_name = "S", value_parser = rest)]
    rest: Option<f64>,
    /// Streams: smoothed shares of decisions for a word from which one counts as heard, a row each [default: 0.4,0.5,0.55,0.6,0.65,0.7,0.75,0.8].
    #[arg(long, value_name = "P,...", value_delimiter = ',', value_parser = share)]
    thresholds: Option<Vec<f64>>,
    /// Streams: classes that are no words [default: silence, unknown, and those whose names begin with _].
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    no_words: Option<Vec<String>>,
    /// Streams: write the smoothed posteriors of every decision to this CSV file: recording, seconds, a column a class.
    #[arg(long, value_name = "FILE")]
    posteriors: Option<PathBuf>,
}

/// Thresholds, where none are given.
const THRESHOLDS: [f64; 8] = [0.4, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8];

/// What a network hears by.
#[derive(Clone, Copy, Debug)]
pub struct Ear<'a> {
    /// What a recording becomes, and the names of the classes.
    pub front_end: &'a FrontEnd,
    /// What of the frames is the answer.
    pub pooling: Pooling,
}

/// Makes logits `[decisions, classes]` of the features `[frames, bands]` of a whole recording.
pub type Decide<'a> = dyn FnMut(&[f32], &Listening) -> Result<Vec<f32>> + 'a;

impl Options {
    /// Hears the streams at `path`, and prints a row for each threshold; `decide` is the network.
    ///
    /// # Errors
    /// As [`hear`](Self::hear); standard output cannot be written.
    pub fn run(
        &self,
        path: &Path,
        ear: Ear<'_>,
        decide: &mut Decide<'_>,
        json: bool,
    ) -> Result<()> {
        let heard = self.hear(path, ear, decide)?;
        if !json {
            output::line(table::HEADER)?;
        }
        heard.iter().try_for_each(|heard| print(heard, json))
    }

    /// Hears the streams at `path`, at each threshold, and writes the posteriors, if they are asked for.
    ///
    /// # Errors
    /// [`StreamsError`]; the network's own.
    pub fn hear(&self, path: &Path, ear: Ear<'_>, decide: &mut Decide<'_>) -> Result<Vec<Heard>> {
        let classes = &ear.front_end.classes;
        let listening = self.listening(ear.pooling)?;
        let words = self.words(classes)?;
        let streams = self.streams(path, ear, &listening, decide)?;
        let config = ear.front_end.config;
        let decision = listening.every as f64 * config.hop as f64 / f64::from(config.rate);
        let usual = Settings::usual(words);
        let settings = |threshold: f64| Settings {
            smoothing: self.smoothing.map_or(usual.smoothing, |s| s as f32),
            sure: self.sure.map_or(usual.sure, |p| p as f32),
            share: self.share.map_or(usual.share, |x| x as f32),
            threshold: threshold as f32,
            rest: (self.rest.unwrap_or(0.5) / decision).round() as u32,
            ..usual
        };
        if let Some(path) = &self.posteriors {
            posteriors::save(path, &streams, classes, settings(1.0))?;
        }
        let at = |threshold: &f64| hear(&streams, classes.len(), settings(*threshold));
        let thresholds = self.thresholds.as_deref().unwrap_or(&THRESHOLDS);
        Ok(thresholds.iter().map(at).collect())
    }

    /// Refuses options of streams where there are none: one that is not used would be taken for one that is.
    ///
    /// # Errors
    /// [`StreamsError::NoStream`].
    pub fn check(&self) -> Result<(), StreamsError> {
        let given = [
            ("--half-life", self.half_life.is_some()),
            ("--every", self.every.is_some()),
            ("--smoothing", self.smoothing.is_some()),
            ("--sure", self.sure.is_some()),
            ("--share", self.share.is_some()),
            ("--rest", self.rest.is_some()),
            ("--thresholds", self.thresholds.is_some()),
            ("--no-words", self.no_words.is_some()),
            ("--posteriors", self.posteriors.is_some()),
        ];
        match given.into_iter().find(|(_, given)| *given) {
            Some((option, _)) if self.stream.is_none() => Err(StreamsError::NoStream { option }),
            _ => Ok(()),
        }
    }

    /// The file that posteriors are written to.
    pub fn posteriors(&self) -> Option<&Path> {
        self.posteriors.as_deref()
    }

    fn streams(
        &self,
        path: &Path,
        ear: Ear<'_>,
        listening: &Listening,
        decide: &mut Decide<'_>,
    ) -> Result<Vec<Stream>> {
        let files = wav_files(path)?;
        // Mistakes in label tracks are told before hours are listened to.
        let tracks = files
            .iter()
            .map(|file| track(&file.with_extension("txt"), &ear.front_end.classes));
        let tracks = tracks.collect::<Result<Vec<_>, _>>()?;
        let bar = output::progress("streams".to_owned(), "files", files.len() as u64);
        let mut streams = Vec::new();
        for (file, words) in files.iter().zip(tracks) {
            let recording = Recording::open(file, ear.front_end)?;
            let decisions = decide(&recording.features, listening)?;
            let count = decisions.len() / ear.front_end.classes.len().max(1);
            streams.push(Stream {
                name: file
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned(),
                seconds: recording.seconds,
                times: listening.times(ear.front_end, count),
                decisions,
                words,
            });
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(streams)
    }

    fn listening(&self, pooling: Pooling) -> Result<Listening, StreamsError> {
        let half_life = match (pooling, self.half_life) {
            (Pooling::Last, Some(_)) => return Err(StreamsError::HalfLife),
            (Pooling::Last, None) => None,
            (Pooling::Mean, given) => Some(given.unwrap_or(detect::HALF_LIFE.into())),
        };
        Ok(Listening {
            half_life,
            every: self.every.unwrap_or(detect::EVERY as usize),
        })
    }

    /// The classes that are words, a bit each.
    fn words(&self, classes: &[String]) -> Result<u64, StreamsError> {
        if classes.len() > 64 {
            return Err(StreamsError::Classes(classes.len()));
        }
        let Some(others) = &self.no_words else {
            return Ok(detect::words(
                &classes.iter().map(String::as_str).collect::<Vec<_>>(),
            ));
        };
        if let Some(name) = others.iter().find(|name| !classes.contains(name)) {
            return Err(StreamsError::NoWord {
                name: name.clone(),
                classes: classes.to_owned(),
            });
        }
        let is_word = |name: &String| !others.contains(name);
        let bits = classes.iter().enumerate().filter(|(_, name)| is_word(name));
        Ok(bits.fold(0, |words, (bit, _)| words | 1 << bit))
    }
}

fn print(heard: &Heard, json: bool) -> Result<()> {
    match json {
        true => output::json_line(heard),
        false => Ok(output::line(table::row(heard))?),
    }
}

fn positive(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|n| *n > 0);
    number.ok_or_else(|| "a number of at least 1 is expected".to_owned())
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|p| *p > 0.0 && *p <= 1.0);
    number.ok_or_else(|| "a number above 0, at most 1 is expected".to_owned())
}

fn half_life(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|n| *n > 0.0 && *n <= 100_000.0);
    number.ok_or_else(|| "a number above 0, at most 100,000 is expected".to_owned())
}

fn rest(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|s| (0.0..=60.0).contains(s));
    number.ok_or_else(|| "0 to 60 seconds are expected".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        options: Options,
    }

    fn options(text: &str) -> Result<Options, clap::Error> {
        let words = ["eval"].into_iter().chain(text.split_whitespace());
        Line::try_parse_from(words).map(|line| line.options)
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn words_are_all_but_those_named() {
        let classes = names(&["one", "silence", "_noise_", "two", "unknown"]);
        let words = |text: &str| options(text).unwrap().words(&classes);
        assert_eq!(words("--stream x").unwrap(), 0b01001);
        assert_eq!(words("--stream x --no-words two,one").unwrap(), 0b10110);
        let error = words("--stream x --no-words three")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("three") && error.contains("one, silence"),
            "{error}"
        );
        let many = vec!["w".to_owned(); 65];
        let error = options("--stream x").unwrap().words(&many).unwrap_err();
        assert!(error.to_string().contains("65 classes"));
    }

    #[test]
    fn a_half_life_is_for_means() {
        let of = |text: &str, pooling| options(text).unwrap().listening(pooling);
        let half_life = |found: Result<Listening, _>| found.map(|l: Listening| l.half_life);
        assert_eq!(
            half_life(of("--stream x", Pooling::Mean)).unwrap(),
            Some(15.0)
        );
        assert_eq!(half_life(of("--stream x", Pooling::Last)).unwrap(), None);
        let given = "--stream x --half-life 4";
        assert_eq!(half_life(of(given, Pooling::Mean)).unwrap(), Some(4.0));
        assert!(half_life(of(given, Pooling::Last)).is_err());
    }

    #[test]
    fn numbers_that_cannot_be_are_refused() {
        for bad in [
            "--half-life 0",
            "--half-life inf",
            "--every 0",
            "--smoothing 1.5",
            "--rest 61",
            "--thresholds 0.5,0",
        ] {
            assert!(options(&format!("--stream x {bad}")).is_err(), "{bad}");
        }
        let unused = options("--every 4").unwrap().check().unwrap_err();
        assert!(unused.to_string().contains("--every"));
        assert!(options("").unwrap().check().is_ok());
        assert!(options("--stream x --every 4").unwrap().check().is_ok());
    }
}
