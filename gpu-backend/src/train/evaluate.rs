//! Loss, perplexity, bits a byte and accuracy of a network on a source.

use super::classes::{Speakers, add};
use super::{Class, Classes, ModelError, Sums, TrainError, Trainable};
use crate::data::{Batch, Source};
use serde::{Deserialize, Serialize};
use std::f64::consts::LN_2;

/// What an evaluation measured; what `toeplite-train eval --json` prints.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Evaluation {
    /// Mean cross entropy of a target, in nats.
    pub loss: f64,
    /// Its exponential.
    pub perplexity: f64,
    /// Cross entropy of all targets, in bits, over the bytes that they stand for; of texts that were
    /// evaluated to their end.
    pub bits_per_byte: Option<f64>,
    /// Share of targets that had the largest logit.
    pub accuracy: f64,
    /// Positions of a window.
    pub length: usize,
    /// Targets predicted: tokens, or clips of a classifier.
    pub tokens: u64,
    /// What a classifier made of each class.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub classes: Option<Classes>,
    /// What it made of each speaker, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speakers: Option<Vec<Class>>,
}

/// How an evaluation is done.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    /// Positions of a window.
    pub length: usize,
    /// Windows computed at a time.
    pub sequences: usize,
    /// Targets after which it stops, in whole batches; 0 for none.
    pub max_targets: u64,
}

/// What `model` says of the `index`-th batch of an evaluation; `None` after the last one.
///
/// # Errors
/// The data or the network failed.
pub fn evaluate_batch(
    model: &mut dyn FnMut(&Batch) -> Result<Sums, ModelError>,
    source: &dyn Source,
    windows: Windows,
    index: u64,
) -> Result<Option<Sums>, TrainError> {
    let batch = source.evaluation(index, windows.length, windows.sequences)?;
    let sums = batch.map(|batch| model(&batch)).transpose();
    sums.map_err(TrainError::Model)
}

/// Evaluates `model` on `source`. `look` is told the targets done so far after each batch and says
/// whether to go on; `None` is the result of an evaluation that was stopped.
///
/// # Errors
/// The data or the network failed, or there is no target.
pub fn evaluate(
    model: &mut dyn Trainable,
    source: &dyn Source,
    windows: Windows,
    look: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainError> {
    let mut judge = |index| model.evaluate_batches(source, windows, index);
    evaluate_by(&mut judge, source, windows, look)
}

/// [`evaluate`] of a classifier, which also tells the classes apart.
///
/// # Errors
/// As [`evaluate`].
pub fn evaluate_classes(
    model: &mut dyn Trainable,
    source: &dyn Source,
    windows: Windows,
    look: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainError> {
    let mut classes = Classes::new(source.classes());
    let mut speakers = Speakers::default();
    let mut classify = |batch: &Batch| {
        let (sums, logits) = model.classify(batch)?;
        add(&mut classes, &batch.targets, &logits);
        speakers.add(source, &batch.targets, &logits);
        Ok(sums)
    };
    let mut judge = |index| {
        let sums = evaluate_batch(&mut classify, source, windows, index)?;
        Ok(sums.into_iter().collect())
    };
    let done = evaluate_by(&mut judge, source, windows, look)?;
    Ok(done.map(|done| Evaluation {
        classes: Some(classes),
        speakers: speakers.all(),
        ..done
    }))
}

/// Adds up what `judge` gives for the batches from an index on, until there are no more.
fn evaluate_by(
    judge: &mut dyn FnMut(u64) -> Result<Vec<Sums>, TrainError>,
    source: &dyn Source,
    windows: Windows,
    look: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Evaluation>, TrainError> {
    let mut sums = Sums::default();
    let mut index = 0;
    let whole = 'all: loop {
        let batches = judge(index)?;
        if batches.is_empty() {
            break true;
        }
        index += batches.len() as u64;
        // Added one after the other: the result does not depend on how many come at a time.
        for batch in batches {
            sums += batch;
            if windows.max_targets > 0 && sums.targets >= windows.max_targets {
                break 'all false;
            }
        }
        if !look(sums.targets) {
            return Ok(None);
        }
    };
    if sums.targets == 0 {
        return Err(TrainError::NoTargets);
    }
    let loss = sums.mean_loss();
    // Of a text that was not read to its end the bytes are not known, unless tokens are bytes.
    let bytes = source
        .target_bytes()
        .filter(|b| *b > 0 && (whole || source.tokens_are_bytes()))
        .map(|b| if whole { b } else { sums.targets });
    Ok(Some(Evaluation {
        loss,
        perplexity: loss.exp(),
        bits_per_byte: bytes.map(|b| sums.loss / LN_2 / b as f64),
        accuracy: sums.accuracy(),
        length: windows.length,
        tokens: sums.targets,
        classes: None,
        speakers: None,
    }))
}
