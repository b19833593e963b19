//! `toeplite eval` of classifiers.

use super::{Asked, ClipArgs, by_model, by_network};
use crate::blob::AnyModel;
use crate::classify::{Chosen, Classifier, ClipEvaluation, evaluate_clips};
use crate::cli::output;
use crate::reference::mix::Padded;
use crate::reference::{Network, Real};
use anyhow::Result;
use serde_json::{Value, json};

/// What answers.
pub trait Answers {
    /// What a classifier made of clips of at most `length` positions.
    ///
    /// # Errors
    /// It fails on one.
    fn evaluate(&self, clips: &Chosen<'_>, length: usize) -> Result<ClipEvaluation>;
}

impl<T: Real> Answers for Network<T> {
    fn evaluate(&self, clips: &Chosen<'_>, length: usize) -> Result<ClipEvaluation> {
        let trained = Padded::new(self.trained_mix(), length);
        watched(clips, length, &by_network(self, &trained))
    }
}

impl Answers for AnyModel<'_> {
    fn evaluate(&self, clips: &Chosen<'_>, length: usize) -> Result<ClipEvaluation> {
        watched(clips, length, &by_model(self))
    }
}

/// With a bar.
fn watched(
    clips: &Chosen<'_>,
    length: usize,
    classifier: &Classifier<'_>,
) -> Result<ClipEvaluation> {
    let title = format!("clips of {length}");
    let bar = output::progress(title, "clips", clips.len() as u64);
    let done = evaluate_clips(clips, classifier, |done| bar.set_position(done as u64))?;
    bar.finish_and_clear();
    Ok(done)
}

/// Evaluates a classifier on clips of each of `lengths`.
///
/// # Errors
/// The clips cannot be read, or the classifier fails on one.
pub fn evaluate(
    args: &ClipArgs,
    (answers, wanted): (&dyn Answers, Asked),
    lengths: &[usize],
) -> Result<Vec<(usize, ClipEvaluation)>> {
    let at = |length: &usize| {
        let set = args.open(wanted, *length)?;
        let chosen = Chosen::new(&set, args.limit());
        Ok((*length, answers.evaluate(&chosen, *length)?))
    };
    lengths.iter().map(at).collect()
}

/// Prints it for programs.
pub fn print_json(evaluated: &[(usize, ClipEvaluation)]) -> Result<()> {
    let row = |(length, done): &(usize, ClipEvaluation)| {
        let classes = serde_json::to_value(&done.classes)?;
        Ok(json!({
            "length": length, "clips": done.clips, "accuracy": done.accuracy,
            "classes": classes["classes"], "confusion": classes["confusion"],
        }))
    };
    let rows = evaluated.iter().map(row).collect::<Result<Vec<Value>>>()?;
    output::json(&json!({ "lengths": rows }))
}

/// Prints it for people.
pub fn print_table(evaluated: &[(usize, ClipEvaluation)]) -> Result<()> {
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    let rows = evaluated.iter().map(|(length, done)| {
        let clips = output::bytes(done.clips);
        [length.to_string(), clips, percent(done.accuracy)]
    });
    output::line(output::table(["length", "clips", "accuracy"], rows))?;
    for (length, done) in evaluated {
        let rows = done.classes.classes().iter().map(|class| {
            [
                class.name.clone(),
                class.clips.to_string(),
                class.correct.to_string(),
                class.accuracy.map_or("-".into(), percent),
            ]
        });
        let title = format!("class, in clips of {length}");
        let header = [title.as_str(), "clips", "right", "accuracy"];
        output::line(output::table(header, rows))?;
    }
    Ok(())
}
