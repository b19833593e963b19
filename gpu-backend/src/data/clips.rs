//! What a classifier asks of its clips.

use super::{DataError, Result};
use std::path::Path;
use toeplite_checkpoint::Config;
use toeplite_checkpoint::config::Task;

/// What a classifier asks of its clips.
#[derive(Clone, Debug, PartialEq)]
pub struct Clips {
    /// Numbers of a frame.
    pub width: usize,
    /// How many classes there are.
    pub classes: usize,
    /// Their names by label, where they are known.
    pub names: Option<Vec<String>>,
    /// Frames of a sequence.
    pub length: usize,
}

impl Clips {
    /// What the network `model` asks of the clips at `path`, in sequences of `length` frames. The
    /// names are those of the data that it was trained on.
    ///
    /// # Errors
    /// [`DataError::Misfit`]: the network classifies no frames, or has another number of classes.
    pub fn of(
        path: &Path,
        model: &Config,
        names: Option<&[String]>,
        length: usize,
    ) -> Result<Self> {
        let misfit = |key, value: &str, remedy: &str| DataError::Misfit {
            path: path.to_owned(),
            found: "it holds clips with a class each".to_owned(),
            key,
            value: value.to_owned(),
            remedy: remedy.to_owned(),
        };
        let Some(classifier) = &model.classifier else {
            let task = task_name(model.task);
            return Err(misfit("model.task", task, "give a text, or a classifier"));
        };
        let Some(width) = classifier.frame_dim else {
            let key = "model.classifier.frame_dim";
            let remedy = "classifiers of tokens can be converted, but neither trained nor evaluated \
                          here; train one of frames";
            return Err(misfit(key, "none", remedy));
        };
        let clips = Self {
            width,
            classes: classifier.classes,
            names: names.map(<[String]>::to_vec),
            length,
        };
        clips.check_classes(path, names)?;
        Ok(clips)
    }

    /// Refuses another number of classes than the network's.
    pub(super) fn check_classes(&self, path: &Path, names: Option<&[String]>) -> Result<()> {
        match names {
            Some(names) if names.len() != self.classes => Err(DataError::Misfit {
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
    pub(super) fn check_width(&self, path: &Path, width: usize) -> Result<()> {
        if width == self.width {
            return Ok(());
        }
        Err(DataError::Misfit {
            path: path.to_owned(),
            found: format!("frames of {width} numbers"),
            key: "model.classifier.frame_dim",
            value: self.width.to_string(),
            remedy: format!(
                "train with model.classifier.frame_dim = {width}, or give frames of {} numbers",
                self.width
            ),
        })
    }

    /// The classes' names, or else their labels.
    pub(super) fn labels(&self) -> Vec<String> {
        let numbers = || (0..self.classes).map(|label| label.to_string()).collect();
        self.names.clone().unwrap_or_else(numbers)
    }
}

/// Name of a task in configurations.
pub(super) fn task_name(task: Task) -> &'static str {
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
