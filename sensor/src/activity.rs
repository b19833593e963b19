//! From a classifier's logits to changes of activity.
//!
//! ```
//! use toeplite_sensor::activity::{Settings, Tracker};
//!
//! let mut posteriors = [0.0; 3];
//! let mut tracker = Tracker::new(Settings { smoothing: 0.5, threshold: 0.7 }, &mut posteriors);
//! let mut changes = 0;
//! for _ in 0..20 {
//!     if let Some(change) = tracker.push([0.0, 9.0, 0.0]) {      // the network's logits
//!         assert_eq!(change.class, 1);
//!         changes += 1;
//!     }
//! }
//! assert_eq!((changes, tracker.current()), (1, Some(1)));
//! ```

use toeplite::math::exp;

/// When an activity counts as changed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// Share of a new decision in the smoothed posteriors, above 0 to 1; 1: none are smoothed.
    pub smoothing: f32,
    /// Smoothed posterior from which on an activity is the current one.
    pub threshold: f32,
}

/// Another activity than before.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Change {
    /// Which one.
    pub class: usize,
    /// Its smoothed posterior.
    pub posterior: f32,
}

/// Smoothed posteriors of a stream of decisions, and which activity it is: the last one that was sure enough. In memory of one number a class, in time that
/// depends on nothing else.
#[derive(Debug)]
pub struct Tracker<'m> {
    settings: Settings,
    posteriors: &'m mut [f32],
    current: Option<usize>,
}

impl<'m> Tracker<'m> {
    /// A tracker that has seen nothing, with memory of a number for each class.
    pub fn new(settings: Settings, posteriors: &'m mut [f32]) -> Self {
        posteriors.fill(0.0);
        Self {
            settings,
            posteriors,
            current: None,
        }
    }

    /// Forgets all that was seen.
    pub fn reset(&mut self) {
        self.posteriors.fill(0.0);
        self.current = None;
    }

    /// The smoothed posteriors, by class.
    pub fn posteriors(&self) -> &[f32] {
        self.posteriors
    }

    /// The activity of the last change.
    pub fn current(&self) -> Option<usize> {
        self.current
    }

    /// Takes the network's logits of all classes at one decision. Of more or fewer logits than there are classes the
    /// common part counts.
    pub fn push(
        &mut self,
        logits: impl IntoIterator<Item = f32, IntoIter: Clone>,
    ) -> Option<Change> {
        let logits = logits.into_iter();
        smooth(self.settings.smoothing, logits, self.posteriors);
        let posteriors = self.posteriors.iter().copied().enumerate();
        let (class, posterior) = posteriors.fold((0, 0.0), |a, b| if b.1 > a.1 { b } else { a });
        if posterior < self.settings.threshold || self.current == Some(class) {
            return None;
        }
        self.current = Some(class);
        Some(Change { class, posterior })
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
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const SETTINGS: Settings = Settings {
        smoothing: 0.5,
        threshold: 0.7,
    };

    fn changes(classes: &[usize]) -> Vec<(usize, usize)> {
        let mut memory = [1.0; 3];
        let mut tracker = Tracker::new(SETTINGS, &mut memory);
        let mut found = Vec::new();
        for (at, class) in classes.iter().enumerate() {
            let mut logits = [0.0; 3];
            // class 3: undecided
            if let Some(logit) = logits.get_mut(*class) {
                *logit = 20.0;
            }
            if let Some(change) = tracker.push(logits) {
                assert!(change.posterior >= SETTINGS.threshold);
                assert_eq!(tracker.current(), Some(change.class));
                found.push((at, change.class));
            }
        }
        found
    }

    #[test]
    fn posteriors_are_those_of_the_definition() {
        let mut memory = [1.0; 2];
        let mut tracker = Tracker::new(SETTINGS, &mut memory);
        assert_eq!(tracker.push([0.0, 3.0f32.ln()]), None);
        assert!((tracker.posteriors()[1] - 0.375).abs() < 1e-6);
        tracker.push([1000.0, 1000.0]);
        assert!((tracker.posteriors()[1] - 0.4375).abs() < 1e-6);
        tracker.reset();
        assert_eq!(
            (tracker.posteriors(), tracker.current()),
            (&[0.0; 2][..], None)
        );
    }

    #[test]
    fn only_changes_are_events() {
        assert_eq!(changes(&[1; 50]), [(1, 1)]);
        // one that comes back after doubts is the same still
        let doubts: Vec<usize> = [[1; 5], [3; 5], [1; 5]].concat();
        assert_eq!(changes(&doubts), [(1, 1)]);
        let there_and_back: Vec<usize> = [[1; 5], [2; 5], [1; 5]].concat();
        assert_eq!(changes(&there_and_back), [(1, 1), (6, 2), (11, 1)]);
        assert_eq!(changes(&[3; 50]), []);
    }
}
