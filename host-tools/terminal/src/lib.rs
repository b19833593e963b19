//! What the commands of Toeplite print: lines and JSON on standard output, errors and progress on the
//! error stream.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{self, Write};
use std::process::ExitCode;

/// Prints `text` and a newline. A closed pipe is an error that [`is_closed_pipe`] knows, not a panic.
///
/// # Errors
/// Standard output cannot be written.
pub fn line(text: impl std::fmt::Display) -> io::Result<()> {
    writeln!(io::stdout().lock(), "{text}")
}

/// Prints a line on the error stream. Nobody may read that any more (`2>&1 | head`): whoever works on
/// goes on.
pub fn tell(text: impl std::fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Prints `value` as JSON that is laid out for people.
///
/// # Errors
/// As [`line()`].
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string_pretty(value)?)?)
}

/// Prints `value` as JSON in one line, for commands that print several values.
///
/// # Errors
/// As [`line()`].
pub fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    Ok(line(serde_json::to_string(value)?)?)
}

/// A command's exit code. Its error is printed, but for one that only says that nobody reads the
/// output any more.
pub fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("error: {}", message(&error)));
            ExitCode::FAILURE
        }
    }
}

/// `error` and its causes in one line. Many errors repeat their cause in their own text: a cause
/// that the text before it already has is left out.
pub fn message(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            let separator = if text.is_empty() { "" } else { ": " };
            text.push_str(separator);
            text.push_str(&cause);
        }
    }
    text
}

/// Whether `error` only says that nobody reads the output any more.
pub fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

/// A progress bar on the error stream over `total` of `unit`; silent where that is no terminal.
pub fn progress(what: String, unit: &str, total: u64) -> ProgressBar {
    let template = format!("{{msg}} [{{bar:30}}] {{human_pos}}/{{human_len}} {unit}, {{eta}} left");
    let style = ProgressStyle::with_template(&template).expect("a valid template");
    ProgressBar::new(total)
        .with_style(style.progress_chars("=> "))
        .with_message(what)
}

/// A sign of life on the error stream for work of unknown length; silent where that is no terminal.
pub fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn causes_are_told_once() {
        let pipe = || io::Error::from(io::ErrorKind::BrokenPipe);
        let error = anyhow::Error::from(pipe()).context(format!("cannot write: {}", pipe()));
        assert_eq!(message(&error), format!("cannot write: {}", pipe()));
        let error = Err::<(), _>(pipe()).context("cannot write").unwrap_err();
        assert_eq!(message(&error), format!("cannot write: {}", pipe()));
        assert!(is_closed_pipe(&error));
        assert_eq!(finish(Err(error)), ExitCode::SUCCESS);
        assert_eq!(finish(Err(anyhow::anyhow!("x"))), ExitCode::FAILURE);
    }
}
