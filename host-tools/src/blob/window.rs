//! A bidirectional checkpoint and its recurrences as the blob of a model that runs over a window.

use super::classifier;
use super::file::Blob;
use super::target::Target;
use super::writer::{self, Contract, Source, WriteError};
use crate::checkpoint::Checkpoint;
use crate::convert::modal::Modal;
use crate::quantize::Weights;
use toeplite::format::{self, MAX_DIMENSION};

/// Writes `checkpoint`, its Toeplitz operators replaced by recurrences, with `weights` for its matrices and biases.
/// `forward` are those over lags from 0 on, `backward` those over lags below zero: index 0 of their kernels is
/// lag -1. The model runs over at most `window` tokens.
///
/// The blob's known-answer test is computed by running the blob.
///
/// # Errors
/// [`WriteError`].
pub fn write_window(
    checkpoint: &Checkpoint,
    [forward, backward]: [&[Modal]; 2],
    window: usize,
    weights: &Weights,
    target: Target,
) -> Result<Blob, WriteError> {
    let config = &checkpoint.config;
    if config.causal {
        return Err(WriteError::Causal);
    }
    writer::can_convert(config)?;
    if !(1..=MAX_DIMENSION).contains(&window) {
        return Err(WriteError::Window { window });
    }
    writer::check_recurrences(config, forward)?;
    writer::check_recurrences(config, backward)?;
    let mut sections = writer::sections(checkpoint, forward, weights, target.order())?;
    for modal in backward.iter().map(Modal::to_f32_safe) {
        sections.push(writer::counts(&modal));
        sections.extend(writer::recurrence(&modal));
    }
    sections.extend(classifier::sections(&Source { checkpoint })?);
    let contract = Contract {
        task: match config.classifier {
            None => format::TASK_WINDOW_LM,
            Some(_) => format::TASK_WINDOW_CLASSIFIER,
        },
        window: window as u32,
        ..Contract::f32(config, target.order())
    };
    let mut tokens = writer::self_test_numbers(config);
    tokens.truncate(window);
    writer::with_known_answer(config, &contract, &sections, &tokens, |draft| {
        Ok(draft.any()?.hash(&tokens))
    })
}
