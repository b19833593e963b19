//! What was heard, for people.

use super::Heard;

/// The first two lines of a table.
pub(crate) const HEADER: &str = "\
| threshold | words | missed | wrong | hours without | false accepts | an hour | delay | nine of ten |
| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";

/// A threshold's line.
pub(crate) fn row(heard: &Heard) -> String {
    let number =
        |x: Option<f64>, digits: usize| x.map_or("-".to_owned(), |x| format!("{x:.digits$}"));
    let missed = heard
        .missed
        .map_or("-".to_owned(), |m| format!("{:.1} %", 100.0 * m));
    format!(
        "| {} | {} | {missed} | {} | {:.2} | {} | {} | {} s | {} s |",
        heard.threshold,
        heard.words,
        heard.wrong,
        heard.hours,
        heard.false_accepts,
        number(heard.false_accepts_per_hour, 2),
        number(heard.delay, 2),
        number(heard.delay_90, 2)
    )
}
