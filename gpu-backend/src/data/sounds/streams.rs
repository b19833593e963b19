//! Sequences as a device hears them: recordings one after the other, and what is to be said at each frame.
//!
//! A network that is asked at every position learns when a word has ended, what is not a word, and that what came before
//! does not matter: of the same samples, clips with one target each teach it the last of these in one place only.

use super::super::Draw;
use super::augment::Voice;
use crate::config::{AugmentConfig, StreamsConfig};
use crate::device::IGNORE;
use std::ops::Range;

/// Seconds before a word's end from which it is asked for: recordings end with a little silence.
const EARLY: f64 = 0.06;
/// Seconds in which nothing is asked: after a word, before silence is; at the beginning of other speech.
const UNSURE: f64 = 0.25;
/// Least seconds of what is cut from longer recordings.
const LEAST: f64 = 0.3;

/// What streams are made of: the recordings by label.
#[derive(Debug)]
pub struct Material {
    lengths: Vec<(usize, u32)>,
    words: Vec<usize>,
    others: Vec<usize>,
    /// Whether a label is that of a word.
    is_word: Vec<bool>,
    /// The label of silence, if there is such a class.
    pub silence: Option<u32>,
    rate: f64,
}

/// A recording in a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Which one.
    pub sound: usize,
    /// Which samples of it.
    pub cut: Range<usize>,
    /// How it is changed.
    pub voice: Voice,
    /// Where it stands in the stream, in samples; the last one may reach over the end.
    pub place: Range<usize>,
    /// Its class.
    pub label: u32,
}

impl Material {
    /// Recordings of `(samples, label)` at `rate` samples a second.
    pub fn new(lengths: Vec<(usize, u32)>, classes: &[String], rate: u32) -> Self {
        let names: Vec<&str> = classes.iter().map(String::as_str).collect();
        let bits = toeplite_audio::detect::words(&names);
        let is_word: Vec<bool> = (0..classes.len()).map(|c| bits >> c & 1 == 1).collect();
        let (words, others) = (0..lengths.len()).partition(|i| is_word[lengths[*i].1 as usize]);
        let silence = classes.iter().position(|name| name == "silence");
        Self {
            lengths,
            words,
            others,
            is_word,
            silence: silence.map(|label| label as u32),
            rate: f64::from(rate),
        }
    }

    fn samples(&self, seconds: f64) -> usize {
        (seconds * self.rate) as usize
    }

    /// What a stream of `length` samples holds that has the recording `first` in it.
    pub fn lay_out(
        &self,
        config: &StreamsConfig,
        augment: &AugmentConfig,
        first: usize,
        length: usize,
        draw: &mut Draw,
    ) -> Vec<Part> {
        let (mut parts, mut sound) = (Vec::new(), first);
        let mut at = self.pause(config, draw);
        while at < length {
            let part = self.part(config, augment, sound, at, draw);
            at = part.place.end + self.pause(config, draw);
            parts.push(part);
            let of_words = draw.unit() < config.words;
            let from = match (of_words, self.words.is_empty(), self.others.is_empty()) {
                (true, false, _) | (false, false, true) => &self.words,
                _ => &self.others,
            };
            sound = from[draw.below(from.len())];
        }
        parts
    }

    fn pause(&self, config: &StreamsConfig, draw: &mut Draw) -> usize {
        self.samples(draw.between(config.pause[0], config.pause[1]))
    }

    fn part(
        &self,
        config: &StreamsConfig,
        augment: &AugmentConfig,
        sound: usize,
        at: usize,
        draw: &mut Draw,
    ) -> Part {
        let (own, label) = self.lengths[sound];
        let mut cut = 0..own;
        if !self.is_word[label as usize] {
            let most = self.samples(draw.between(LEAST.min(config.longest), config.longest));
            let first = draw.below(own.saturating_sub(most) + 1);
            cut = first..own.min(first + most);
        }
        let voice = Voice::draw(augment, draw);
        Part {
            sound,
            place: at..at + voice.length(cut.len()),
            cut,
            voice,
            label,
        }
    }

    /// What is to be said after each of the frames that end at `ends` (samples).
    pub fn targets(
        &self,
        config: &StreamsConfig,
        parts: &[Part],
        ends: impl Iterator<Item = usize>,
    ) -> Vec<u32> {
        let target = |end: usize| {
            let last = parts.iter().rev().find(|part| part.place.start < end);
            match last {
                Some(part) => self.after(config, part, end),
                None if end > self.samples(UNSURE) => self.silence.unwrap_or(IGNORE),
                None => IGNORE,
            }
        };
        ends.map(target).collect()
    }

    /// What is to be said at `end`, where `part` is what began last.
    fn after(&self, config: &StreamsConfig, part: &Part, end: usize) -> u32 {
        let (begun, ended) = (part.place.start, part.place.end);
        let is_silence = Some(part.label) == self.silence;
        let from = match self.is_word[part.label as usize] {
            true => ended.saturating_sub(self.samples(EARLY)),
            false => begun + self.samples(UNSURE),
        };
        if end < from {
            IGNORE
        } else if is_silence || end <= ended + self.samples(config.late) {
            part.label
        } else if end > ended + self.samples(config.late + UNSURE) {
            self.silence.unwrap_or(IGNORE)
        } else {
            IGNORE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: StreamsConfig = StreamsConfig {
        words: 0.5,
        pause: [0.1, 1.0],
        late: 0.2,
        longest: 1.5,
    };

    /// Two words of half a second, other speech of 5 s, silence of 1 s.
    fn material() -> Material {
        let classes = ["no", "silence", "unknown", "yes"].map(str::to_owned);
        let lengths = vec![(4000, 0), (4000, 3), (40_000, 2), (8000, 1)];
        Material::new(lengths, &classes, 8000)
    }

    fn place(label: u32, place: Range<usize>) -> Part {
        Part {
            sound: 0,
            cut: 0..place.len(),
            voice: Voice::default(),
            place,
            label,
        }
    }

    #[test]
    fn streams_hold_what_they_must_and_depend_on_their_draw_alone() {
        let material = material();
        let augment = AugmentConfig {
            speed: 0.2,
            tempo: 0.3,
            ..AugmentConfig::default()
        };
        let (mut words, mut all) = (0, 0);
        for index in 0..50 {
            let lay =
                || material.lay_out(&CONFIG, &augment, 2, 40_000, &mut Draw::of(3, "", index));
            let parts = lay();
            assert_eq!(parts, lay());
            assert_eq!(parts[0].sound, 2);
            for (part, next) in parts.iter().zip(&parts[1..]) {
                let pause = next.place.start - part.place.end;
                assert!((800..=8000).contains(&pause), "{pause}");
            }
            for part in &parts {
                assert_eq!(part.place.len(), part.voice.length(part.cut.len()));
                assert!(part.label != 2 || (2400..=12_000).contains(&part.cut.len()));
                assert!(part.label % 3 != 0 || part.cut == (0..4000));
            }
            words += parts[1..].iter().filter(|part| part.label % 3 == 0).count();
            all += parts.len() - 1;
        }
        let share = words as f64 / all as f64;
        assert!((0.3..0.7).contains(&share), "{share}");
    }

    #[test]
    fn words_are_asked_for_at_their_end_and_silence_a_while_later() {
        let parts = [place(3, 8000..12_000), place(2, 24_000..32_000)];
        let ends = (0..=50).map(|tenth| tenth * 800);
        let targets = material().targets(&CONFIG, &parts, ends);
        let said = |tenths: Range<usize>| &targets[tenths];
        assert!(said(0..3).iter().all(|t| *t == IGNORE));
        assert!(said(3..11).iter().all(|t| *t == 1), "{targets:?}");
        assert!(said(11..15).iter().all(|t| *t == IGNORE));
        assert!(said(15..18).iter().all(|t| *t == 3), "{targets:?}");
        assert!(said(18..20).iter().all(|t| *t == IGNORE));
        assert!(said(20..31).iter().all(|t| *t == 1), "{targets:?}");
        assert!(said(31..33).iter().all(|t| *t == IGNORE));
        assert!(said(33..43).iter().all(|t| *t == 2), "{targets:?}");
        assert!(said(45..51).iter().all(|t| *t == 1));
    }

    #[test]
    fn what_begins_soon_ends_what_is_said_of_the_last_word() {
        let parts = [place(0, 0..4000), place(3, 4400..8400)];
        let targets =
            material().targets(&CONFIG, &parts, [3000, 4000, 4300, 4500, 8400].into_iter());
        assert_eq!(targets, [IGNORE, 0, 0, IGNORE, 3]);
    }
}
