//! Results of an evaluation as a table.

use crate::train::evaluate::Evaluation;
use crate::train::{Class, Classes};
use std::io;
use toeplite_terminal::line;

/// Classes up to which the table shows what they were taken for.
const SHOWN: usize = 16;

/// The first two lines of a table, for language models or for classifiers.
pub(super) fn header(classifier: bool) -> io::Result<()> {
    if classifier {
        line("| length | clips | loss | accuracy |")?;
        return line("| ---: | ---: | ---: | ---: |");
    }
    line("| length | targets | loss | perplexity | bits/byte | accuracy |")?;
    line("| ---: | ---: | ---: | ---: | ---: | ---: |")
}

/// A result's line.
pub(super) fn row(done: &Evaluation) -> io::Result<()> {
    let (length, targets, loss) = (done.length, done.tokens, done.loss);
    if done.classes.is_some() {
        let accuracy = done.accuracy;
        return line(format!(
            "| {length} | {targets} | {loss:.5} | {accuracy:.5} |"
        ));
    }
    let bits = done
        .bits_per_byte
        .map_or("-".to_owned(), |b| format!("{b:.5}"));
    line(format!(
        "| {length} | {targets} | {loss:.5} | {:.4} | {bits} | {:.5} |",
        done.perplexity, done.accuracy
    ))
}

/// A table of the classes of an evaluation at `length`, with what they were taken for where that fits, and of the words alone
/// where some classes are none.
pub(super) fn classes(length: usize, classes: &Classes) -> io::Result<()> {
    let name = |text: &str| text.replace('|', "\\|");
    let all = classes.classes();
    let confusion = classes.confusion().filter(|_| all.len() <= SHOWN);
    let mut head = format!("| class at length {length} | clips | accuracy |");
    let mut rule = "| --- | ---: | ---: |".to_owned();
    if confusion.is_some() {
        for class in all {
            head.push_str(&format!(" as {} |", name(&class.name)));
            rule.push_str(" ---: |");
        }
    }
    line(format!("\n{head}\n{rule}"))?;
    for (label, class) in all.iter().enumerate() {
        let accuracy = class.accuracy.map_or("-".to_owned(), |a| format!("{a:.5}"));
        let mut text = format!("| {} | {} | {accuracy} |", name(&class.name), class.clips);
        for count in confusion.as_ref().map_or(&[][..], |rows| rows[label]) {
            text.push_str(&format!(" {count} |"));
        }
        line(text)?;
    }
    if let Some(words) = classes.words() {
        let accuracy = words.accuracy.map_or("-".to_owned(), |a| format!("{a:.5}"));
        let empty = " |".repeat(confusion.map_or(0, |rows| rows.len()));
        line(format!(
            "| words alone | {} | {accuracy} |{empty}",
            words.clips
        ))?;
    }
    Ok(())
}

/// A table of the speakers of an evaluation at `length`.
pub(super) fn speakers(length: usize, speakers: &[Class]) -> io::Result<()> {
    line(format!(
        "\n| speaker at length {length} | clips | accuracy |\n| --- | ---: | ---: |"
    ))?;
    for speaker in speakers {
        let accuracy = speaker
            .accuracy
            .map_or("-".to_owned(), |a| format!("{a:.5}"));
        let name = speaker.name.replace('|', "\\|");
        line(format!("| {name} | {} | {accuracy} |", speaker.clips))?;
    }
    Ok(())
}
