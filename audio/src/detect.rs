//! From a classifier's posteriors to events.
//!
//! A network that listens for ever has an opinion at every decision. A word is one event:
//! * a decision counts as one for a word where the posteriors of all words together reach [`Settings::sure`]: which word it is may
//!   change while it is said, that it is one does not;
//! * the share of such decisions is smoothed. When it reaches [`Settings::threshold`], something was heard: the word with the
//!   largest smoothed posterior, if it has [`Settings::share`] of all words' together;
//! * until the share has fallen below half of the threshold, and in the [`Settings::rest`], nothing else is heard.
//!
//! Each posterior smoothed by itself and held against a threshold, as is usual (Chen, Parada and Heigold, Small-footprint keyword
//! spotting using deep neural networks, 2014), had seven times the false accepts of the bundled network's streams, and missed nearly twice the words: a
//! word that is taken for two in turn is sure to be one, and what is none is seldom sure for long.
//!
//! ```
//! use toeplite_audio::detect::{Detector, Settings};
//!
//! let usual = Settings::usual(0b011);                          // classes 0 and 1 are words
//! let settings = Settings { smoothing: 0.5, ..usual };
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
    /// Share of a new decision in what is smoothed, above 0 to 1; 1: nothing is smoothed.
    pub smoothing: f32,
    /// Posterior of all words together from which a decision is one for a word.
    pub sure: f32,
    /// Smoothed share of such decisions from which a word counts as heard.
    pub threshold: f32,
    /// What the likeliest word must have of all words' smoothed posteriors.
    pub share: f32,
    /// Decisions after an event before there can be another one.
    pub rest: u32,
}

/// Frames from one decision to the next, where nothing else is said.
pub const EVERY: u32 = 3;
/// Frames after which what was heard counts half in classifiers that take a mean, where nothing else is said.
pub const HALF_LIFE: f32 = 15.0;

impl Settings {
    /// Whether a class is a word.
    fn is_word(&self, class: usize) -> bool {
        self.words.checked_shr(class as u32).unwrap_or(0) & 1 == 1
    }

    /// Smoothed over some third of a second of decisions every [`EVERY`] frames of 20 ms, and half a second of rest after an event.
    pub const fn usual(words: u64) -> Self {
        Self {
            words,
            smoothing: 0.16,
            sure: 0.95,
            threshold: 0.65,
            share: 0.7,
            rest: 8,
        }
    }
}

/// A word that was heard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Event {
    /// Which one.
    pub class: usize,
    /// The smoothed share of decisions for a word.
    pub confidence: f32,
}

/// Smoothed posteriors of a stream of decisions, and the events in it, as the [module's docs](self) define them. In memory of one
/// number a class, in time that depends on nothing else.
#[derive(Debug)]
pub struct Detector<'m> {
    settings: Settings,
    posteriors: &'m mut [f32],
    /// The smoothed share of decisions for a word.
    level: f32,
    rest: u32,
    /// Whether a word fired, and the level has not fallen since.
    held: bool,
}

impl<'m> Detector<'m> {
    /// A detector that has heard nothing, with memory of a number for each class.
    pub fn new(settings: Settings, posteriors: &'m mut [f32]) -> Self {
        posteriors.fill(0.0);
        Self {
            settings,
            posteriors,
            level: 0.0,
            rest: 0,
            held: false,
        }
    }

    /// Forgets all that was heard.
    pub fn reset(&mut self) {
        self.posteriors.fill(0.0);
        (self.level, self.rest, self.held) = (0.0, 0, false);
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
        let Settings {
            smoothing,
            sure,
            threshold,
            share,
            ..
        } = self.settings;
        let together = self.smooth(logits.into_iter());
        let decision = if together >= sure { 1.0 } else { 0.0 };
        self.level += smoothing * (decision - self.level);
        self.held &= self.level >= 0.5 * threshold;
        self.rest = self.rest.saturating_sub(1);
        if self.rest > 0 || self.held || self.level < threshold {
            return None;
        }
        let words = self.posteriors.iter().copied().enumerate();
        let words = words.filter(|(class, _)| self.settings.is_word(*class));
        let total = words
            .clone()
            .fold(0.0, |sum, (_, posterior)| sum + posterior);
        let (class, posterior) = words.fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
        if posterior < share * total {
            return None;
        }
        self.rest = self.settings.rest.saturating_add(1);
        self.held = true;
        let confidence = self.level;
        Some(Event { class, confidence })
    }

    /// Moves each posterior by the smoothing's share towards the softmax of `logits`, whose sum over the words is returned.
    fn smooth(&mut self, logits: impl Iterator<Item = f32> + Clone) -> f32 {
        let larger = |a, b| if b > a { b } else { a };
        let largest = logits.clone().fold(f32::NEG_INFINITY, larger);
        let total = logits.clone().fold(0.0, |sum, x| sum + exp(x - largest));
        let mut together = 0.0;
        for (class, (smoothed, logit)) in self.posteriors.iter_mut().zip(logits).enumerate() {
            let posterior = exp(logit - largest) / total;
            *smoothed += self.settings.smoothing * (posterior - *smoothed);
            if self.settings.is_word(class) {
                together += posterior;
            }
        }
        together
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: Settings = Settings {
        words: 0b011,
        smoothing: 0.5,
        sure: 0.9,
        threshold: 0.8,
        share: 0.6,
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
                assert!(event.confidence >= settings.threshold);
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
        assert!((event.confidence - 0.875).abs() < 1e-6);
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
    fn another_word_waits_for_a_pause_and_the_rest() {
        let quick = Settings {
            smoothing: 1.0,
            ..SETTINGS
        };
        let (found, count) = events(quick, &[0, 2, 1, 1, 1, 1]);
        assert_eq!((found[..2].as_ref(), count), (&[0, 1][..], 2));
        assert_eq!(events(quick, &[0, 2, 1, 1]).1, 1);
        assert_eq!(events(quick, &[0, 1, 1, 1, 1, 1, 1]).1, 1, "no pause");
    }

    #[test]
    fn a_word_between_two_is_the_one_that_has_its_share() {
        let between = |x: f32| {
            let mut memory = [0.0; 3];
            let mut detector = Detector::new(SETTINGS, &mut memory);
            (0..9)
                .find_map(|_| detector.push([9.0, 9.0 + x, 0.0]))
                .map(|event| event.class)
        };
        assert_eq!(between(0.1), None);
        assert_eq!((between(1.0), between(-1.0)), (Some(1), Some(0)));
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
