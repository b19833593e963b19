//! What a classifier made of each class.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};
use std::collections::BTreeMap;
use toeplite_audio::detect;

/// Classes up to which a confusion matrix is kept.
const MATRIX: usize = 1024;

/// What a classifier made of each class.
///
/// In JSON `classes`, a [`Class`] each, `confusion`: clips by class (rows) and by what they were
/// taken for (columns); null beyond 1024 classes; and `words`, the [`words`](Self::words) alone, where there are other
/// classes, too.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    classes: Vec<Class>,
    /// `[classes, classes]`, empty where there are too many.
    confusion: Vec<u64>,
}

/// One class of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Class {
    /// Its name, or its label where names are not known.
    pub name: String,
    /// Clips of the class.
    pub clips: u64,
    /// Those that were taken for it.
    pub correct: u64,
    /// Share of them; of no clips none.
    pub accuracy: Option<f64>,
}

impl Classes {
    /// No clips so far, of classes with these names.
    pub fn new(names: &[String]) -> Self {
        let class = |name: &String| Class::of(name.clone(), 0, 0);
        let matrix = if names.len() <= MATRIX {
            names.len()
        } else {
            0
        };
        Self {
            classes: names.iter().map(class).collect(),
            confusion: vec![0; matrix * matrix],
        }
    }

    /// Adds a clip of the class `is` that was taken for `taken`.
    ///
    /// # Panics
    /// There is no such class.
    pub fn count(&mut self, is: usize, taken: usize) {
        let count = self.classes.len();
        assert!(is < count && taken < count, "classes are known");
        let class = &mut self.classes[is];
        class.clips += 1;
        class.correct += u64::from(is == taken);
        class.accuracy = Some(class.correct as f64 / class.clips as f64);
        if let Some(cell) = self.confusion.get_mut(is * count + taken) {
            *cell += 1;
        }
    }

    /// The classes, by label.
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// All words together, where some classes are none: `silence`, `unknown`, and those whose names begin with `_`. A word
    /// that was taken for one of these is a mistake. `None` beyond 64 classes, which no detector has.
    pub fn words(&self) -> Option<Class> {
        let names: Vec<&str> = self.classes.iter().map(|c| c.name.as_str()).collect();
        if names.len() > 64 {
            return None;
        }
        let bits = detect::words(&names);
        let count = bits.count_ones() as usize;
        if count == 0 || count == names.len() {
            return None;
        }
        let words = self.classes.iter().enumerate();
        let words = words.filter(|(bit, _)| bits >> bit & 1 == 1);
        let sum = |of: fn(&Class) -> u64| words.clone().map(|(_, class)| of(class)).sum();
        Some(Class::of(
            "words".to_owned(),
            sum(|c| c.clips),
            sum(|c| c.correct),
        ))
    }

    /// Clips by what they were taken for, a row for each class; `None` of too many classes.
    pub fn confusion(&self) -> Option<Vec<&[u64]>> {
        let rows = self.confusion.chunks_exact(self.classes.len().max(1));
        (!self.confusion.is_empty()).then(|| rows.collect())
    }
}

impl Serialize for Classes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let words = self.words();
        let fields = if words.is_some() { 3 } else { 2 };
        let mut map = serializer.serialize_struct("Classes", fields)?;
        map.serialize_field("classes", &self.classes)?;
        map.serialize_field("confusion", &self.confusion())?;
        match words {
            Some(words) => map.serialize_field("words", &words)?,
            None => map.skip_field("words")?,
        }
        map.end()
    }
}

impl Class {
    fn of(name: String, clips: u64, correct: u64) -> Self {
        let accuracy = (clips > 0).then(|| correct as f64 / clips as f64);
        Self {
            name,
            clips,
            correct,
            accuracy,
        }
    }
}

/// What a classifier made of each speaker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Speakers {
    /// Clips, and those that were taken for what they are.
    found: BTreeMap<String, [u64; 2]>,
}

impl Speakers {
    /// Adds a clip of `speaker`, and whether it was taken for what it is.
    pub fn count(&mut self, speaker: &str, right: bool) {
        let [clips, correct] = match self.found.get_mut(speaker) {
            Some(own) => own,
            None => self.found.entry(speaker.to_owned()).or_default(),
        };
        *clips += 1;
        *correct += u64::from(right);
    }

    /// Them by name, if any is known.
    pub fn all(self) -> Option<Vec<Class>> {
        let all = self.found.into_iter();
        let all: Vec<_> = all
            .map(|(name, [clips, correct])| Class::of(name, clips, correct))
            .collect();
        (!all.is_empty()).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clips_are_counted_where_they_went() {
        let names = ["no", "up", "yes"].map(str::to_owned);
        let mut classes = Classes::new(&names);
        for (is, taken) in [(0, 1), (1, 1), (0, 2)] {
            classes.count(is, taken);
        }
        assert_eq!(
            serde_json::to_value(&classes).unwrap(),
            serde_json::json!({
                "classes": [
                    {"name": "no", "clips": 2, "correct": 0, "accuracy": 0.0},
                    {"name": "up", "clips": 1, "correct": 1, "accuracy": 1.0},
                    {"name": "yes", "clips": 0, "correct": 0, "accuracy": null},
                ],
                "confusion": [[0, 1, 1], [0, 1, 0], [0, 0, 0]],
            })
        );
    }

    #[test]
    fn words_are_counted_without_what_is_none() {
        let of = |names: [&str; 3]| {
            let mut classes = Classes::new(&names.map(str::to_owned));
            for (is, taken) in [(0, 0), (0, 1), (2, 1), (2, 2), (1, 1), (1, 1)] {
                classes.count(is, taken);
            }
            classes
        };
        let words = of(["no", "_noise_", "yes"]).words().unwrap();
        assert_eq!(
            (words.clips, words.correct, words.accuracy),
            (4, 2, Some(0.5))
        );
        let json = serde_json::to_value(of(["no", "unknown", "yes"])).unwrap();
        assert_eq!(json["words"]["correct"], 2);
        assert_eq!(of(["no", "up", "yes"]).words(), None);
        assert_eq!(of(["silence", "unknown", "_"]).words(), None);
    }

    #[test]
    fn speakers_are_told_by_name() {
        assert_eq!(Speakers::default().all(), None);
        let mut speakers = Speakers::default();
        for (name, right) in [("theo", true), ("ann", false), ("theo", false)] {
            speakers.count(name, right);
        }
        let all = speakers.all().unwrap();
        let found: Vec<_> = all
            .iter()
            .map(|s| (s.name.as_str(), s.clips, s.correct))
            .collect();
        assert_eq!(found, [("ann", 1, 0), ("theo", 2, 1)]);
    }
}
