//! What a classifier made of each class.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

/// Classes up to which a confusion matrix is kept.
const MATRIX: usize = 1024;

/// What a classifier made of each class.
///
/// In JSON `classes`, a [`Class`] each, and `confusion`: clips by class (rows) and by what they were
/// taken for (columns); null beyond 1024 classes.
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
        let class = |name: &String| Class {
            name: name.clone(),
            clips: 0,
            correct: 0,
            accuracy: None,
        };
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

    /// Clips by what they were taken for, a row for each class; `None` of too many classes.
    pub fn confusion(&self) -> Option<Vec<&[u64]>> {
        let rows = self.confusion.chunks_exact(self.classes.len().max(1));
        (!self.confusion.is_empty()).then(|| rows.collect())
    }
}

impl Serialize for Classes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_struct("Classes", 2)?;
        map.serialize_field("classes", &self.classes)?;
        map.serialize_field("confusion", &self.confusion())?;
        map.end()
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
}
