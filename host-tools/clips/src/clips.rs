//! What a classifier asks of its clips.

use super::{ClipError, Result, check_vocabulary};
use std::path::Path;
use toeplite_checkpoint::Config;
use toeplite_checkpoint::config::Task;

/// What a classifier asks of its clips.
#[derive(Clone, Debug, PartialEq)]
pub struct Clips {
    /// What stands at a position.
    pub reads: Reads,
    /// How many classes there are.
    pub classes: usize,
    /// Their names by label, where they are known.
    pub names: Option<Vec<String>>,
    /// Positions of a sequence.
    pub length: usize,
    /// Rows and columns, where sequences are images: then all clips have their size.
    pub image: Option<[usize; 2]>,
}

/// What a classifier reads at a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// A frame of that many numbers.
    Frames(usize),
    /// A token below that number.
    Tokens(usize),
}

impl Clips {
    /// What the network `model` asks of the clips at `path`, in sequences of `length` positions. The
    /// names are those of the data that it was trained on.
    ///
    /// # Errors
    /// [`ClipError::Misfit`]: the network is no classifier, or has another number of classes.
    pub fn of(
        path: &Path,
        model: &Config,
        names: Option<&[String]>,
        length: usize,
    ) -> Result<Self> {
        let Some(classifier) = &model.classifier else {
            return Err(ClipError::Misfit {
                path: path.to_owned(),
                found: "it holds clips with a class each".to_owned(),
                key: "model.task",
                value: task_name(model.task).to_owned(),
                remedy: "give a text, or a classifier".to_owned(),
            });
        };
        let clips = Self {
            reads: match classifier.frame_dim {
                Some(width) => Reads::Frames(width),
                None => Reads::Tokens(model.vocab_size),
            },
            classes: classifier.classes,
            names: names.map(<[String]>::to_vec),
            length,
            image: model.toeplitz.image,
        };
        clips.check_names(path)?;
        Ok(clips)
    }

    /// Refuses names that are not as many as the classes.
    pub(super) fn check_names(&self, path: &Path) -> Result<()> {
        self.check_classes(path, self.names.as_deref())
    }

    /// Refuses another number of classes than the network's.
    pub(super) fn check_classes(&self, path: &Path, names: Option<&[String]>) -> Result<()> {
        match names {
            Some(names) if names.len() != self.classes => Err(ClipError::Misfit {
                path: path.to_owned(),
                found: format!("{} classes ({})", names.len(), list(names)),
                key: "model.classifier.classes",
                value: self.classes.to_string(),
                remedy: format!(
                    "train with model.classifier.classes = {}, or give data of the network's classes",
                    names.len()
                ),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses frames of another width than the network's.
    ///
    /// # Errors
    /// [`ClipError::Misfit`].
    pub fn check_width(&self, path: &Path, width: usize) -> Result<()> {
        let value = match self.reads {
            Reads::Frames(own) if own == width => return Ok(()),
            Reads::Frames(own) => own.to_string(),
            Reads::Tokens(_) => "none: it reads tokens".to_owned(),
        };
        Err(ClipError::Misfit {
            path: path.to_owned(),
            found: format!("frames of {width} numbers"),
            key: "model.classifier.frame_dim",
            value,
            remedy: format!(
                "train with model.classifier.frame_dim = {width}, or give data of the network's kind"
            ),
        })
    }

    /// Refuses a clip that is no image of the network's: cut or filled, its rows would not be rows.
    pub(super) fn check_image(&self, path: &Path, index: usize, positions: usize) -> Result<()> {
        match self.image {
            Some([rows, columns]) if rows * columns != positions => Err(ClipError::Misfit {
                path: path.to_owned(),
                found: format!("clip {index} has {positions} positions"),
                key: "model.toeplitz.image",
                value: format!("[{rows}, {columns}]"),
                remedy: format!(
                    "give images of {} pixels, or train with the size of these",
                    rows * columns
                ),
            }),
            _ => Ok(()),
        }
    }

    /// The class that a file calls `name`.
    pub(super) fn named(&self, path: &Path, name: &str) -> Result<u32> {
        let names = self.names.as_deref().unwrap_or_default();
        let label = names.iter().position(|own| own == name);
        label
            .map(|label| label as u32)
            .ok_or_else(|| ClipError::Misfit {
                path: path.to_owned(),
                found: format!("class {name:?}"),
                key: "data.classes",
                value: list(names),
                remedy: "give data of the classes that the network was trained on".to_owned(),
            })
    }

    /// Refuses tokens that the network has no row for, or any where it reads frames.
    pub(super) fn check_tokens(&self, path: &Path, largest: Option<u32>) -> Result<()> {
        match self.reads {
            Reads::Tokens(vocabulary) => check_vocabulary(path, largest, vocabulary),
            Reads::Frames(width) => Err(ClipError::Misfit {
                path: path.to_owned(),
                found: "it holds tokens".to_owned(),
                key: "model.classifier.frame_dim",
                value: width.to_string(),
                remedy: "train without model.classifier.frame_dim, or give frames".to_owned(),
            }),
        }
    }

    /// The class of a label in the `index`-th clip of the file at `path`.
    pub(super) fn class(&self, path: &Path, index: usize, label: i64) -> Result<u32> {
        match u32::try_from(label) {
            Ok(label) if (label as usize) < self.classes => Ok(label),
            _ => Err(ClipError::Misfit {
                path: path.to_owned(),
                found: format!("the label of clip {index} is {label}, labels begin at 0"),
                key: "model.classifier.classes",
                value: self.classes.to_string(),
                remedy: "train with more classes than the largest label, or give data of the \
                         network's classes"
                    .to_owned(),
            }),
        }
    }

    /// The classes' names, or else their labels.
    pub(super) fn labels(&self) -> Vec<String> {
        let numbers = || (0..self.classes).map(|label| label.to_string()).collect();
        self.names.clone().unwrap_or_else(numbers)
    }
}

/// Whether classes have names of their own, not their labels'.
pub fn are_named(classes: &[String]) -> bool {
    let labels = (0..classes.len()).map(|label| label.to_string());
    !labels.eq(classes.iter().cloned())
}

/// Name of a task in configurations.
pub fn task_name(task: Task) -> &'static str {
    match task {
        Task::CausalLm => "causal-lm",
        Task::MaskedLm => "masked-lm",
        Task::Classifier => "classifier",
    }
}

/// Some names, for an error: a thousand of them would hide what is wrong.
fn list(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let mut text = names[..names.len().min(SHOWN)].join(", ");
    if names.len() > SHOWN {
        text.push_str(", ...");
    }
    text
}
