//! What `toeplite convert` takes for classifiers, and what not.

use thiserror::Error;

/// What an option of `toeplite convert` goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoesBy {
    /// Predictions: of a classifier those on clips.
    Predictions,
    /// Something that a classifier does not have, and what to do instead.
    Other(&'static str, &'static str),
}

/// An option of `toeplite convert`, whether it is given, and what it goes by.
pub type ConvertOption = (&'static str, bool, GoesBy);

/// Why an option does not go with the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConvertOptionError {
    /// Predictions without anything to make them of.
    #[error(
        "{option} goes by what a classifier answers: give clips to ask it about, --clips PATH, or leave it out"
    )]
    NeedsClips {
        /// The option.
        option: &'static str,
    },
    /// An option of language models for a classifier.
    #[error(
        "{option} belongs to language models: it goes by {by}, and this checkpoint is a classifier; {remedy}"
    )]
    ForLanguageModels {
        /// The option.
        option: &'static str,
        /// What it goes by.
        by: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// Clips for a language model.
    #[error(
        "--clips belongs to classifiers, and this checkpoint is a language model; --calibrate FILE takes a text"
    )]
    ForClassifiers,
}

/// Checks the options that go by something against what the checkpoint is, and whether there are clips.
///
/// # Errors
/// The first that does not go with it.
pub fn check_convert(
    classifier: bool,
    clips: bool,
    options: &[ConvertOption],
) -> Result<(), ConvertOptionError> {
    if !classifier {
        return match clips {
            true => Err(ConvertOptionError::ForClassifiers),
            false => Ok(()),
        };
    }
    for &(option, _, goes_by) in options.iter().filter(|(_, given, _)| *given) {
        match goes_by {
            GoesBy::Predictions if clips => {}
            GoesBy::Predictions => return Err(ConvertOptionError::NeedsClips { option }),
            GoesBy::Other(by, remedy) => {
                return Err(ConvertOptionError::ForLanguageModels { option, by, remedy });
            }
        }
    }
    Ok(())
}
