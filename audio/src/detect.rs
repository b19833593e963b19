//! From a classifier's posteriors to events.
//!
//! A network that listens for ever has an opinion at every decision. A word is one event: the opinions are smoothed,
//! one that is sure enough fires, and then there is rest for a while.
//!
//! ```
//! use toeplite_audio::detect::{Detector, Settings};
//!
//! let settings = Settings { words: 0b011, smoothing: 0.5, threshold: 0.8, rest: 10 };  // classes 0 and 1 are words
//! let mut smoothed = [0.0; 3];
//! let mut detector = Detector::new(settings, &mut smoothed);
//! let mut heard = None;
//! for _ in 0..5 {
//!     heard = heard.or(detector.push([0.0, 9.0, 0.0]));      // the network's logits
//! }
//! assert_eq!(heard.map(|event| event.class), Some(1));
//! ```

use crate::math::exp;

/// [`Settings::words`] of classes with these names: all are words but `silence`, `unknown` and those whose names begin
/// with `_`.
///
/// # Panics
/// There are more than 64 classes.
pub const fn words(classes: &[&str]) -> u64 {
    assert!(classes.len() <= 64, "the detector has 64 classes at most");
    let (mut words, mut class) = (0, 0);
    while class < classes.len() {
        if is_word(classes[class]) {
            words |= 1 << class;
        }
        class += 1;
    }
    words
}

/// Whether a class of this name is a word, as [`words`] says.
pub const fn is_word(class: &str) -> bool {
    !matches!(class.as_bytes(), [b'_', ..] | b"silence" | b"unknown")
}

/// When a word counts as heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Which of the first 64 classes are words, a bit each, that of class 0 the lowest. The others (silence, other
    /// speech) never fire.
    pub words: u64,
    /// Share of a new decision in the smoothed posteriors, above 0 to 1; 1: none are smoothed.
    pub smoothing: f32,
    /// Smoothed posterior from which a word counts as heard.
    pub threshold: f32,
    /// Decisions after an event before there can be another one.
    pub rest: u32,
}

/// Frames from one decision to the next, where nothing else is said.
pub const EVERY: u32 = 3;
/// Frames after which what was heard counts half in classifiers that take a mean, where nothing else is said.
pub const HALF_LIFE: f32 = 15.0;

impl Settings {
    /// Smoothed over some half a second of decisions every [`EVERY`] frames of 20 ms, and half a second of rest after an event.
    pub const fn usual(words: u64) -> Self {
        Self {
            words,
            smoothing: 0.12,
            threshold: 0.65,
            rest: 8,
        }
    }
}

/// A word that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Which one.
    pub class: usize,
    /// Its smoothed posterior.
    pub posterior: f32,
}

/// Smoothed posteriors of a stream of decisions, and the events in it. In memory of one number a class, in time that
/// depends on nothing else.
///
/// A word fires once: it must fall below half of the threshold before it fires again.
#[derive(Debug)]
pub struct Detector<'m> {
    settings: Settings,
    posteriors: &'m mut [f32],
    rest: u32,
    /// The word that fired and has not fallen since.
    held: Option<usize>,
}

impl<'m> Detector<'m> {
    /// A detector that has heard nothing, with memory of a number for each class.
    pub fn new(settings: Settings, posteriors: &'m mut [f32]) -> Self {
        posteriors.fill(0.0);
        Self {
            settings,
            posteriors,
            rest: 0,
            held: None,
        }
    }

    /// Forgets all that was heard.
    pub fn reset(&mut self) {
        self.posteriors.fill(0.0);
        (self.rest, self.held) = (0, None);
    }

    /// The smoothed posteriors, by class.
    pub fn posteriors(&self) -> &[f32] {
        self.posteriors
    }

    /// Takes the network's logits of all classes at one decision. Of more or fewer logits than there are classes the
    /// common part counts.
    pub fn push(
        &mut self,
        logits: impl IntoIterator<Item = f32, IntoIter: Clone>,
    ) -> Option<Event> {
        let logits = logits.into_iter();
        smooth(self.settings.smoothing, logits, self.posteriors);
        let Settings {
            words, threshold, ..
        } = self.settings;
        let level = |class: usize| self.posteriors.get(class).copied().unwrap_or(0.0);
        if self
            .held
            .is_some_and(|class| level(class) < 0.5 * threshold)
        {
            self.held = None;
        }
        self.rest = self.rest.saturating_sub(1);
        let is_word = |class: usize| words.checked_shr(class as u32).unwrap_or(0) & 1 == 1;
        let words = self.posteriors.iter().copied().enumerate();
        let words = words.filter(|(class, _)| is_word(*class));
        let (class, posterior) = words.fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
        if self.rest > 0 || posterior < threshold || self.held == Some(class) {
            return None;
        }
        self.rest = self.settings.rest.saturating_add(1);
        self.held = Some(class);
        Some(Event { class, posterior })
    }
}

/// Moves each posterior by `share` towards the softmax of `logits`.
fn smooth(share: f32, logits: impl Iterator<Item = f32> + Clone, posteriors: &mut [f32]) {
    let larger = |a, b| if b > a { b } else { a };
    let largest = logits.clone().fold(f32::NEG_INFINITY, larger);
    let total = logits.clone().fold(0.0, |sum, x| sum + exp(x - largest));
    for (posterior, logit) in posteriors.iter_mut().zip(logits) {
        *posterior += share * (exp(logit - largest) / total - *posterior);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        words: 0b011,
        smoothing: 0.5,
        threshold: 0.8,
        rest: 3,
    };

    fn logits(class: usize) -> [f32; 3] {
        let mut logits = [0.0; 3];
        logits[class] = 20.0;
        logits
    }

    fn events(settings: Settings, classes: &[usize]) -> ([usize; 8], usize) {
        let mut memory = [1.0; 3];
        let mut detector = Detector::new(settings, &mut memory);
        let (mut found, mut count) = ([0; 8], 0);
        for class in classes {
            if let Some(event) = detector.push(logits(*class)) {
                assert!(event.posterior >= settings.threshold);
                found[count] = event.class;
                count += 1;
            }
        }
        (found, count)
    }

    #[test]
    fn posteriors_are_smoothed_and_fire_at_the_threshold() {
        let mut memory = [0.0; 3];
        let mut detector = Detector::new(SETTINGS, &mut memory);
        assert_eq!(detector.push(logits(1)), None);
        assert!((detector.posteriors()[1] - 0.5).abs() < 1e-6);
        assert_eq!(detector.push(logits(1)), None);
        let event = detector.push(logits(1)).unwrap();
        assert_eq!(event.class, 1);
        assert!((event.posterior - 0.875).abs() < 1e-6);
        detector.reset();
        assert_eq!(detector.posteriors(), [0.0; 3]);
        assert_eq!(detector.push(logits(1)), None);
    }

    #[test]
    fn a_word_fires_once_and_what_is_no_word_never() {
        assert_eq!(events(SETTINGS, &[1; 30]).1, 1);
        assert_eq!(events(SETTINGS, &[2; 30]).1, 0);
        let again = [[1; 5], [2; 5], [1; 5]].concat_all();
        assert_eq!(events(SETTINGS, &again).1, 2);
    }

    #[test]
    fn another_word_waits_for_the_rest() {
        let quick = Settings {
            smoothing: 1.0,
            ..SETTINGS
        };
        let (found, count) = events(quick, &[0, 1, 1, 1, 1, 1]);
        assert_eq!((found[..2].as_ref(), count), (&[0, 1][..], 2));
        assert_eq!(events(quick, &[0, 1, 1, 1]).1, 1);
    }

    trait Concat {
        fn concat_all(&self) -> [usize; 15];
    }

    impl Concat for [[usize; 5]; 3] {
        fn concat_all(&self) -> [usize; 15] {
            let mut all = [0; 15];
            for (place, value) in all.iter_mut().zip(self.as_flattened()) {
                *place = *value;
            }
            all
        }
    }
}
