//! `toeplite eval` of classifiers.

use super::{Asked, ClipArgs, FoundFrontEnd, by_model, by_network};
use crate::blob::AnyModel;
use crate::checkpoint::AnyFrontEnd;
use crate::classify::{Chosen, Classifier, ClipEvaluation, evaluate_clips};
use crate::cli::output;
use crate::reference::mix::Padded;
use crate::reference::{Network, Real};
use anyhow::Result;
use serde_json::{Value, json};
use toeplite_clips::{Class, Classes};

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
    answers: &dyn Answers,
    (wanted, front_end): (Asked, Option<&AnyFrontEnd>),
    lengths: &[usize],
) -> Result<Vec<(usize, ClipEvaluation)>> {
    let at = |length: &usize| {
        let set = args.open((wanted, front_end), *length)?;
        let chosen = Chosen::new(&set, args.limit());
        Ok((*length, answers.evaluate(&chosen, *length)?))
    };
    lengths.iter().map(at).collect()
}

/// Prints it for programs.
pub fn print_json(
    evaluated: &[(usize, ClipEvaluation)],
    front_end: Option<&FoundFrontEnd>,
) -> Result<()> {
    let row = |(length, done): &(usize, ClipEvaluation)| {
        let mut row = json!({ "length": length, "clips": done.clips, "accuracy": done.accuracy });
        let classes = serde_json::to_value(&done.classes)?;
        let speakers = done
            .speakers
            .as_ref()
            .map(|speakers| json!({ "speakers": speakers }));
        for more in [Some(classes), speakers].into_iter().flatten() {
            let fields = more.as_object().into_iter().flatten();
            fields.for_each(|(key, value)| row[key] = value.clone());
        }
        Ok(row)
    };
    let rows = evaluated.iter().map(row).collect::<Result<Vec<Value>>>()?;
    let mut all = json!({ "lengths": rows });
    if let Some(found) = front_end {
        all["front_end"] = json!(found.path);
    }
    output::json(&all)
}

/// Prints it for people.
pub fn print_table(
    evaluated: &[(usize, ClipEvaluation)],
    front_end: Option<&FoundFrontEnd>,
) -> Result<()> {
    if let Some(found) = front_end {
        output::line(format!("features by {}", found.path.display()))?;
    }
    let words = |done: &ClipEvaluation| done.classes.words().and_then(|words| words.accuracy);
    let mut header = ["length", "clips", "accuracy"].map(String::from).to_vec();
    if evaluated.iter().any(|(_, done)| words(done).is_some()) {
        header.push("of words alone".into());
    }
    let rows = evaluated.iter().map(|(length, done)| {
        let clips = output::bytes(done.clips);
        let row = [length.to_string(), clips, percent(done.accuracy)];
        row.into_iter().chain(words(done).map(percent)).collect()
    });
    output::line(output::table_of(header, rows))?;
    for (length, done) in evaluated {
        let title = format!("class, in clips of {length}");
        print_classes(&title, &done.classes)?;
        if let Some(speakers) = &done.speakers {
            let title = format!("speaker, in clips of {length}");
            let header = [&title, "clips", "right", "accuracy"];
            output::line(output::table(header, speakers.iter().map(row)))?;
        }
    }
    Ok(())
}

/// A table of classes, with what they were taken for where that fits.
fn print_classes(title: &str, classes: &Classes) -> Result<()> {
    let all = classes.classes();
    let header = [title, "clips", "right", "accuracy"];
    let confusion = classes.confusion().filter(|_| all.len() <= SHOWN);
    let names = all.iter().map(|class| format!("as {}", class.name));
    let header = header.into_iter().map(String::from);
    let header: Vec<_> = header
        .chain(names.filter(|_| confusion.is_some()))
        .collect();
    let rows = all.iter().enumerate().map(|(label, class)| {
        let taken = confusion.as_ref().map_or(&[][..], |rows| rows[label]);
        let taken = taken.iter().map(u64::to_string);
        row(class).into_iter().chain(taken).collect()
    });
    Ok(output::line(output::table_of(header, rows))?)
}

/// Classes up to which the table shows what they were taken for.
const SHOWN: usize = 16;

fn row(class: &Class) -> [String; 4] {
    [
        class.name.clone(),
        class.clips.to_string(),
        class.correct.to_string(),
        class.accuracy.map_or("-".into(), percent),
    ]
}

fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}
