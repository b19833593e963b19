//! `metrics.jsonl`: one JSON object a line, one line every few steps and one an evaluation.

use super::{TrainError, faults, store};
use serde::{Deserialize, Deserializer, Serialize};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};

/// Name of the file in the run folder.
pub const METRICS: &str = "metrics.jsonl";

/// A line of the metrics.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Line {
    /// Steps since the line before.
    Step {
        /// The last of them.
        step: u64,
        /// Mean loss of their targets, in nats; NaN where all masks together hid no token.
        #[serde(deserialize_with = "number")]
        loss: f64,
        /// Share of their targets that had the largest logit; NaN as the loss.
        #[serde(deserialize_with = "number")]
        accuracy: f64,
        /// Learning rate of the last of them.
        rate: f64,
        /// Norm of all gradients at the last of them, before clipping.
        gradient_norm: f32,
        /// Positions read a second.
        tokens_per_second: f64,
        /// Bytes allocated on the device at most so far.
        peak_bytes: Option<usize>,
        /// Share of the device's best speed.
        utilisation: Option<f64>,
        /// Seconds spent on steps so far.
        seconds: f64,
    },
    /// A validation.
    Evaluation {
        /// After which step.
        step: u64,
        /// Mean loss, in nats.
        loss: f64,
        /// Its exponential, which may be too large for a number; read back it is NaN then.
        #[serde(deserialize_with = "number")]
        perplexity: f64,
        /// Bits a byte, of texts.
        bits_per_byte: Option<f64>,
        /// Share of targets that had the largest logit.
        accuracy: f64,
        /// Targets.
        tokens: u64,
        /// Seconds spent on steps so far.
        seconds: f64,
    },
}

impl Line {
    /// The step that the line is about.
    pub fn step(&self) -> u64 {
        match self {
            Self::Step { step, .. } | Self::Evaluation { step, .. } => *step,
        }
    }
}

/// The metrics of a run, in the file and in memory.
#[derive(Debug)]
pub struct Metrics {
    file: File,
    path: PathBuf,
    lines: Vec<Line>,
}

impl Metrics {
    /// Opens the metrics in the run folder `run`, and forgets what lies after `step`: a resumed run
    /// comes by there again. A last line that was cut off is forgotten too. An evaluation of `step`
    /// itself is kept where `evaluated`.
    ///
    /// # Errors
    /// The operating system refuses; another line than the last one cannot be read.
    pub fn open(run: &Path, step: u64, evaluated: bool) -> Result<Self, TrainError> {
        let path = run.join(METRICS);
        let text = match fs::read(&path) {
            Ok(text) => String::from_utf8_lossy(&text).into_owned(),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(e) => return Err(TrainError::io("read", &path)(e)),
        };
        let stays = |line: &Line| match line {
            Line::Evaluation { step: at, .. } if *at == step => evaluated,
            other => other.step() <= step,
        };
        let mut lines = parse(&path, &text)?;
        lines.retain(stays);
        let kept: String = lines.iter().map(|l| json(l) + "\n").collect();
        if kept != text {
            store::replace(&path, kept.as_bytes())?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path);
        Ok(Self {
            file: file.map_err(TrainError::io("open", &path))?,
            path,
            lines,
        })
    }

    /// Appends a line.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn add(&mut self, line: Line) -> Result<(), TrainError> {
        // In one piece: a reader never sees half a line.
        let text = json(&line) + "\n";
        let written = faults::write_all(&mut self.file, text.as_bytes());
        written.map_err(TrainError::io("write", &self.path))?;
        self.lines.push(line);
        Ok(())
    }

    /// All lines so far.
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }
}

/// All lines of `text` but a last one that was cut off.
fn parse(path: &Path, text: &str) -> Result<Vec<Line>, TrainError> {
    // A whole line ends in a newline: both are written in one piece.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let parse = |(at, line)| {
        serde_json::from_str(line).map_err(|e| TrainError::Metrics {
            path: path.to_owned(),
            line: at + 1,
            problem: e.to_string(),
        })
    };
    whole.lines().enumerate().map(parse).collect()
}

/// A number, or the `null` that JSON has for what is none.
fn number<'de, D: Deserializer<'de>>(from: D) -> Result<f64, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or(f64::NAN))
}

fn json(line: &Line) -> String {
    serde_json::to_string(line).expect("plain numbers serialize")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(step: u64) -> Line {
        Line::Step {
            step,
            loss: 1.0 / 3.0,
            accuracy: 0.5,
            rate: 1e-3,
            gradient_norm: 0.1,
            tokens_per_second: 1e6,
            peak_bytes: None,
            utilisation: Some(0.4),
            seconds: step as f64,
        }
    }

    fn evaluation(step: u64) -> Line {
        Line::Evaluation {
            step,
            loss: 2.0,
            perplexity: 2f64.exp(),
            bits_per_byte: None,
            accuracy: 0.25,
            tokens: 9,
            seconds: 1.0,
        }
    }

    #[test]
    fn resumed_metrics_end_at_the_checkpoint() {
        let dir = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::open(dir.path(), 0, false).unwrap();
        for step in [10, 20, 30] {
            metrics.add(line(step)).unwrap();
            metrics.add(evaluation(step)).unwrap();
        }
        let path = dir.path().join(METRICS);
        let mut text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), 6);
        text.push_str("{\"kind\":\"step\",\"st");
        fs::write(&path, text).unwrap();
        let again = Metrics::open(dir.path(), 30, true).unwrap();
        assert_eq!(again.lines(), metrics.lines());
        let again = Metrics::open(dir.path(), 20, false).unwrap();
        assert_eq!(again.lines(), [line(10), evaluation(10), line(20)]);
        assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);
    }
    /// A loss that is a number, of which the perplexity is none, and steps without targets.
    #[test]
    fn lines_with_what_is_no_number_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mut metrics = Metrics::open(dir.path(), 0, false).unwrap();
        let (mut empty, mut large) = (line(1), evaluation(1));
        if let Line::Step { loss, accuracy, .. } = &mut empty {
            (*loss, *accuracy) = (f64::NAN, f64::NAN);
        }
        if let Line::Evaluation { perplexity, .. } = &mut large {
            *perplexity = f64::INFINITY;
        }
        metrics.add(empty).unwrap();
        metrics.add(large).unwrap();
        let path = dir.path().join(METRICS);
        let text = fs::read_to_string(&path).unwrap();
        let again = Metrics::open(dir.path(), 1, true).unwrap();
        assert_eq!(again.lines().len(), 2);
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }

    #[test]
    fn damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(METRICS);
        let text = format!("{}\n{{\"kind\":\n{}\n", json(&line(1)), json(&line(2)));
        fs::write(&path, &text).unwrap();
        let error = Metrics::open(dir.path(), 2, false).unwrap_err().to_string();
        assert!(error.contains("metrics.jsonl, line 2"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
