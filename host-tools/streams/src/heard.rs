//! Events against what was said when.

use serde::Serialize;
use toeplite_audio::detect::{Detector, Settings};

/// Seconds after a word's end in which its event counts.
const LATE: f64 = 1.0;

/// A word in a stream, in seconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Spoken {
    /// Where it begins.
    pub start: f64,
    /// Where it ends.
    pub end: f64,
    /// Its class.
    pub class: usize,
}

/// A recording's decisions, and what was said.
#[derive(Clone, Debug, PartialEq)]
pub struct Stream {
    /// Its file's name.
    pub name: String,
    /// Its seconds.
    pub seconds: f64,
    /// Logits `[decisions, classes]`.
    pub decisions: Vec<f32>,
    /// Seconds of each decision.
    pub times: Vec<f64>,
    /// The words, in order; none of speech without them.
    pub words: Vec<Spoken>,
}

/// What was heard at a threshold.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Heard {
    /// Smoothed posterior from which a word counts as heard.
    pub threshold: f32,
    /// Words that were said.
    pub words: usize,
    /// Those that were heard.
    pub hits: usize,
    /// Share of those that were not; of no words none.
    pub missed: Option<f64>,
    /// Events in streams with words that were another word, or none.
    pub wrong: usize,
    /// Events in streams without words.
    pub false_accepts: usize,
    /// Hours of these streams.
    pub hours: f64,
    /// False accepts an hour; of no such stream none.
    pub false_accepts_per_hour: Option<f64>,
    /// Mean seconds from a word's end to its event, below 0 where it was heard before; of no hit none.
    pub delay: Option<f64>,
    /// The delay that nine of ten events are below.
    pub delay_90: Option<f64>,
}

/// What a detector with `settings` hears in `streams` of `classes` classes.
pub fn hear(streams: &[Stream], classes: usize, settings: Settings) -> Heard {
    let mut heard = Heard {
        threshold: settings.threshold,
        words: streams.iter().map(|stream| stream.words.len()).sum(),
        hits: 0,
        missed: None,
        wrong: 0,
        false_accepts: 0,
        hours: 0.0,
        false_accepts_per_hour: None,
        delay: None,
        delay_90: None,
    };
    let mut delays = Vec::new();
    for stream in streams {
        let events = events(stream, classes, settings);
        if stream.words.is_empty() {
            heard.hours += stream.seconds / 3600.0;
            heard.false_accepts += events.len();
        } else {
            let hits = matches(&stream.words, &events);
            heard.wrong += events.len() - hits.len();
            delays.extend(hits);
        }
    }
    heard.hits = delays.len();
    if heard.words > 0 {
        heard.missed = Some(1.0 - heard.hits as f64 / heard.words as f64);
    }
    if heard.hours > 0.0 {
        heard.false_accepts_per_hour = Some(heard.false_accepts as f64 / heard.hours);
    }
    if !delays.is_empty() {
        delays.sort_by(f64::total_cmp);
        heard.delay = Some(delays.iter().sum::<f64>() / delays.len() as f64);
        heard.delay_90 = Some(delays[(delays.len() * 9).div_ceil(10) - 1]);
    }
    heard
}

/// Times and classes of the events.
fn events(stream: &Stream, classes: usize, settings: Settings) -> Vec<(f64, usize)> {
    let mut memory = vec![0.0; classes];
    let mut detector = Detector::new(settings, &mut memory);
    let decisions = stream.decisions.chunks_exact(classes).zip(&stream.times);
    let event = |(logits, time): (&[f32], &f64)| {
        Some((*time, detector.push(logits.iter().copied())?.class))
    };
    decisions.filter_map(event).collect()
}

/// Delays of the words that were heard: by an event of their class from their start on, no later than
/// [`LATE`] after their end and before the next word begins.
fn matches(words: &[Spoken], events: &[(f64, usize)]) -> Vec<f64> {
    let delay = |(index, word): (usize, &Spoken)| {
        let next = words
            .get(index + 1)
            .map_or(f64::INFINITY, |next| next.start);
        let until = next.min(word.end + LATE);
        let own = |(time, class): &&(f64, usize)| {
            *class == word.class && *time >= word.start && *time < until
        };
        events.iter().find(own).map(|(time, _)| time - word.end)
    };
    words.iter().enumerate().filter_map(delay).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        words: 0b011,
        smoothing: 1.0,
        sure: 0.9,
        threshold: 0.7,
        share: 0.6,
        rest: 2,
    };

    /// A decision every tenth of a second, of the class that each letter names.
    fn stream(classes: &[usize], words: &[(f64, f64, usize)]) -> Stream {
        let logits = |class: &usize| {
            let mut logits = [0.0; 3];
            logits[*class] = 9.0;
            logits
        };
        let word = |(start, end, class): &(f64, f64, usize)| Spoken {
            start: *start,
            end: *end,
            class: *class,
        };
        Stream {
            name: "a.wav".to_owned(),
            seconds: classes.len() as f64 / 10.0,
            decisions: classes.iter().flat_map(logits).collect(),
            times: (1..=classes.len()).map(|i| i as f64 / 10.0).collect(),
            words: words.iter().map(word).collect(),
        }
    }

    #[test]
    fn hits_misses_and_false_accepts_are_told_apart() {
        // word 0 is heard at .5, .1 after its end; word 1 is taken for 0; then 1 is heard where nothing was said
        let said = [(0.2, 0.4, 0), (1.0, 1.2, 1)];
        let mut classes = vec![2; 40];
        (classes[4], classes[12], classes[30]) = (0, 0, 1);
        let spoken = stream(&classes, &said);
        let other = stream(&[2, 2, 0, 2, 2, 2, 2, 1, 2], &[]);
        let heard = hear(&[spoken, other], 3, SETTINGS);
        assert_eq!((heard.words, heard.hits, heard.wrong), (2, 1, 2));
        assert_eq!((heard.missed, heard.false_accepts), (Some(0.5), 2));
        assert!((heard.hours * 3600.0 - 0.9).abs() < 1e-9);
        assert!((heard.false_accepts_per_hour.unwrap() - 8000.0).abs() < 1e-6);
        assert!((heard.delay.unwrap() - 0.1).abs() < 1e-9);
        let deaf = Settings {
            threshold: 1.1,
            ..SETTINGS
        };
        let heard = hear(&[stream(&classes, &said)], 3, deaf);
        assert_eq!(
            (heard.hits, heard.missed, heard.delay),
            (0, Some(1.0), None)
        );
        assert_eq!(heard.false_accepts_per_hour, None);
    }
}
