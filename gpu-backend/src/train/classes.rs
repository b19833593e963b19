//! What a classifier made of each class, from the logits of batches.

use crate::data::Source;
use crate::device::IGNORE;
pub use toeplite_clips::{Class, Classes};

/// Adds clips of the classes `targets` with their logits `[clips, classes]`; targets that do not
/// count are left out.
pub(super) fn add(classes: &mut Classes, targets: &[u32], logits: &[f32]) {
    let count = classes.classes().len();
    let clips = targets.iter().zip(logits.chunks_exact(count.max(1)));
    for (&target, logits) in clips.filter(|(target, _)| **target != IGNORE) {
        let target = target as usize;
        classes.count(target, choice(logits, target));
    }
}

/// What a classifier made of each speaker, clip by clip of a source.
#[derive(Clone, Debug, Default)]
pub(super) struct Speakers {
    found: toeplite_clips::Speakers,
    clips: u64,
}

impl Speakers {
    /// Adds the next clips of `source`, as [`add`] does.
    pub fn add(&mut self, source: &dyn Source, targets: &[u32], logits: &[f32]) {
        let count = source.classes().len();
        let clips = targets.iter().zip(logits.chunks_exact(count.max(1)));
        for (&target, logits) in clips.filter(|(target, _)| **target != IGNORE) {
            if let Some(speaker) = source.speaker(self.clips) {
                let target = target as usize;
                self.found.count(speaker, choice(logits, target) == target);
            }
            self.clips += 1;
        }
    }

    /// Them by name, if any is known.
    pub fn all(self) -> Option<Vec<Class>> {
        self.found.all()
    }
}

/// The class with the largest logit: among equals the target, as the accuracy counts them.
fn choice(logits: &[f32], target: usize) -> usize {
    let mut best = target;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_that_count_go_to_the_class_with_the_largest_logit() {
        let names = ["no", "up", "yes"].map(str::to_owned);
        let mut classes = Classes::new(&names);
        let logits = [0., 1., 0., 2., 2., 0., 0., 0., 3., 9., 0., 0.];
        add(&mut classes, &[0, 1, 0, IGNORE], &logits);
        let rows: [&[u64]; 3] = [&[0, 1, 1], &[0, 1, 0], &[0, 0, 0]];
        assert_eq!(classes.confusion().unwrap(), rows);
    }
}
