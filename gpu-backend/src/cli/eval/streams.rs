//! `toeplite-train eval --stream`: long recordings as a device hears them.

use super::error::EvalError;
use crate::config::{DataKind, RunConfig};
use crate::data::sounds::front_end;
use crate::train::Trainable;
use crate::train::streams::{Heard, Listening, Spoken, Stream, frame_logits, hear};
use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use std::fs;
use std::path::{Path, PathBuf};
use toeplite_audio::detect::Settings;
use toeplite_checkpoint::FrontEnd;
use toeplite_checkpoint::config::Pooling;
use toeplite_clips::{ClipError, read_sound};
use toeplite_terminal as output;

/// What becomes of a network's decisions.
#[derive(Args, Debug)]
pub(super) struct Options {
    /// Classifiers of sounds: a wav file, or a folder of them, to be heard as one stream each. FILE.txt beside
    /// FILE.wav says what is said when: lines of start, end (seconds) and class, as Audacity's label tracks. Without it,
    /// none of the words is said, and every event is a false accept.
    #[arg(long, value_name = "PATH")]
    pub stream: Option<PathBuf>,
    /// Streams: frames after which what was heard counts half [default: 15; only the last frame of networks
    /// with pooling = "last", whose logits are those].
    #[arg(long, value_name = "N")]
    half_life: Option<f64>,
    /// Streams: frames from one decision to the next.
    #[arg(long, value_name = "N", default_value = "5", value_parser = super::positive)]
    every: usize,
    /// Streams: share of a new decision in the smoothed posteriors.
    #[arg(long, value_name = "X", default_value = "0.5", value_parser = super::share)]
    smoothing: f64,
    /// Streams: seconds after an event before there can be another one.
    #[arg(long, value_name = "S", default_value = "0.5")]
    rest: f64,
    /// Streams: smoothed posteriors from which a word counts as heard, a row each.
    #[arg(long, value_name = "P", value_delimiter = ',', value_parser = super::share,
        default_value = "0.3,0.4,0.5,0.6,0.7,0.8,0.9,0.95")]
    thresholds: Vec<f64>,
    /// Streams: classes that are no words.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        default_value = "silence,unknown"
    )]
    no_words: Vec<String>,
}

/// A network that hears, as its run says.
struct Ear<'a> {
    front_end: FrontEnd,
    classes: &'a [String],
    /// Whether the last position is the answer, or else a mean.
    last: bool,
}

impl Options {
    /// Evaluates `model` on the streams at `path`.
    pub fn run(
        &self,
        path: &Path,
        checkpoint: &Path,
        run: Option<&RunConfig>,
        model: &mut dyn Trainable,
        json: bool,
    ) -> Result<()> {
        let ear = Ear::of(path, checkpoint, run)?;
        ensure!(
            self.half_life.is_none_or(|n| n > 0.0) && (0.0..=60.0).contains(&self.rest),
            "--half-life must be above 0, --rest 0 to 60 seconds"
        );
        let config = ear.front_end.config;
        let rate = f64::from(config.rate);
        let listening = Listening {
            decay: self.decay(ear.last)?,
            every: self.every,
            frame: [config.frame as f64 / rate, config.hop as f64 / rate],
        };
        let files = wav_files(path)?;
        let bar = output::progress("streams".to_owned(), "files", files.len() as u64);
        let mut streams = Vec::new();
        for file in &files {
            streams.push(ear.hear(file, model, &listening)?);
            bar.inc(1);
        }
        bar.finish_and_clear();
        let decision = self.every as f64 * listening.frame[1];
        let words = self.words(ear.classes)?;
        if !json {
            output::line(
                "| threshold | words | missed | wrong | hours without | false accepts | an hour | delay | nine of ten |",
            )?;
            output::line("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        }
        for threshold in &self.thresholds {
            let settings = Settings {
                words,
                smoothing: self.smoothing as f32,
                threshold: *threshold as f32,
                rest: (self.rest / decision).round() as u32,
            };
            let heard = hear(&streams, ear.classes.len(), settings);
            match json {
                true => output::json_line(&heard)?,
                false => output::line(row(&heard))?,
            }
        }
        Ok(())
    }

    /// Factor by which a frame's weight shrinks.
    fn decay(&self, last: bool) -> Result<f64> {
        ensure!(
            !(last && self.half_life.is_some()),
            "--half-life is for networks with pooling = \"mean\": leave it out"
        );
        let half_life = self.half_life.unwrap_or(15.0);
        Ok(if last {
            0.0
        } else {
            (-std::f64::consts::LN_2 / half_life).exp()
        })
    }

    /// The classes that are words, a bit each.
    fn words(&self, classes: &[String]) -> Result<u64> {
        ensure!(
            classes.len() <= 64,
            "{} classes: events are of 64 classes at most",
            classes.len()
        );
        let is_word = |name: &String| !self.no_words.contains(name);
        let bits = classes.iter().enumerate().filter(|(_, name)| is_word(name));
        Ok(bits.fold(0, |words, (bit, _)| words | 1 << bit))
    }
}

impl<'a> Ear<'a> {
    fn of(path: &Path, checkpoint: &Path, run: Option<&'a RunConfig>) -> Result<Self> {
        let run = run.ok_or_else(|| EvalError::NoRun {
            checkpoint: checkpoint.to_owned(),
            data: path.to_owned(),
        })?;
        let missing = |key| EvalError::Incomplete {
            checkpoint: checkpoint.to_owned(),
            key,
        };
        if run.data.kind != DataKind::WavFeatures {
            return Err(EvalError::Kind {
                data: path.to_owned(),
                found: "a stream of sounds",
                kind: run.data.kind.name(),
                remedy: "--data, or a network of data.kind = \"wav-features\"",
            }
            .into());
        }
        let rate = run.data.rate.ok_or_else(|| missing("data.rate"))?;
        let classes = run.data.classes.as_deref();
        Ok(Self {
            front_end: front_end(&run.data.features.unwrap_or_default(), rate)?,
            classes: classes.ok_or_else(|| missing("data.classes"))?,
            last: run
                .model
                .classifier
                .as_ref()
                .is_some_and(|c| c.pooling == Pooling::Last),
        })
    }

    fn hear(
        &self,
        file: &Path,
        model: &mut dyn Trainable,
        listening: &Listening,
    ) -> Result<Stream> {
        let (sound, rate) = (read_sound(file)?, self.front_end.config.rate);
        if sound.rate != rate {
            bail!(
                "{}: {} samples a second, the network was trained with {rate}: resample it",
                file.display(),
                sound.rate
            );
        }
        let features = self.front_end.features(&sound.pcm());
        let features = features.map_err(ClipError::FrontEnd)?;
        let logits = frame_logits(model, &features, self.front_end.config.bands)?;
        let (decisions, times) = listening.decide(&logits, self.classes.len());
        Ok(Stream {
            seconds: sound.samples.len() as f64 / f64::from(rate),
            decisions,
            times,
            words: self.track(&file.with_extension("txt"))?,
        })
    }

    /// The words of a label track; of none, no words.
    fn track(&self, file: &Path) -> Result<Vec<Spoken>> {
        if !file.exists() {
            return Ok(Vec::new());
        }
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut words = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let wrong = || {
                let known = self.classes.join(", ");
                let (number, file) = (index + 1, file.display());
                format!(
                    "{file}: line {number}: `START<tab>END<tab>CLASS` is expected, a class of {known}"
                )
            };
            words.push(self.spoken(line).with_context(wrong)?);
        }
        words.sort_by(|a, b| a.start.total_cmp(&b.start));
        Ok(words)
    }

    fn spoken(&self, line: &str) -> Option<Spoken> {
        let mut parts = line.splitn(3, '\t');
        let mut seconds = || parts.next()?.trim().parse::<f64>().ok();
        let (start, end) = (seconds()?, seconds()?);
        let name = parts.next()?.trim();
        let class = self.classes.iter().position(|class| class == name)?;
        (start <= end).then_some(Spoken { start, end, class })
    }
}

/// The wav file at `path`, or those in the folder there, by name.
fn wav_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let read = |cause: std::io::Error| format!("cannot read {}: {cause}", path.display());
    let entries = fs::read_dir(path).map_err(|e| anyhow::anyhow!(read(e)))?;
    let mut files = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()?;
    files.retain(|file| {
        file.extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("wav"))
    });
    files.sort();
    ensure!(!files.is_empty(), "{} holds no wav files", path.display());
    Ok(files)
}

fn row(heard: &Heard) -> String {
    let number =
        |x: Option<f64>, digits: usize| x.map_or("-".to_owned(), |x| format!("{x:.digits$}"));
    let missed = heard
        .missed
        .map_or("-".to_owned(), |m| format!("{:.1} %", 100.0 * m));
    format!(
        "| {} | {} | {missed} | {} | {:.2} | {} | {} | {} s | {} s |",
        heard.threshold,
        heard.words,
        heard.wrong,
        heard.hours,
        heard.false_accepts,
        number(heard.false_accepts_per_hour, 2),
        number(heard.delay, 2),
        number(heard.delay_90, 2)
    )
}
