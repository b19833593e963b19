//! What a classifier made of each class, from the logits of batches.

use crate::data::Source;
use crate::device::IGNORE;
use std::collections::BTreeMap;
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

/// What a classifier made of each speaker.
#[derive(Clone, Debug, Default)]
pub(super) struct Speakers {
    found: BTreeMap<String, (u64, u64)>,
    clips: u64,
}

impl Speakers {
    /// Adds the next clips of `source`, as [`add`] does.
    pub fn add(&mut self, source: &dyn Source, targets: &[u32], logits: &[f32]) {
        let count = source.classes().len();
        let clips = targets.iter().zip(logits.chunks_exact(count.max(1)));
        for (&target, logits) in clips.filter(|(target, _)| **target != IGNORE) {
            if let Some(speaker) = source.speaker(self.clips) {
                let (clips, correct) = self.found.entry(speaker.to_owned()).or_default();
                *clips += 1;
                *correct += u64::from(choice(logits, target as usize) == target as usize);
            }
            self.clips += 1;
        }
    }

    /// Them by name, if any is known.
    pub fn all(self) -> Option<Vec<Class>> {
        let class = |(name, (clips, correct))| Class {
            name,
            clips,
            correct,
            accuracy: Some(correct as f64 / clips as f64),
        };
        let all: Vec<_> = self.found.into_iter().map(class).collect();
        (!all.is_empty()).then_some(all)
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
