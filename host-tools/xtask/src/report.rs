//! The `key: value` lines that firmware writes.

use anyhow::{Context, Result};
use std::collections::BTreeMap;

/// What stands between streamed text and the lines.
const SEPARATOR: &str = "\n---\n";

/// Text and figures of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// What came before the figures, if anything: prompt and generated text.
    pub text: Vec<u8>,
    lines: BTreeMap<String, String>,
}

impl Report {
    /// Splits the output of a run.
    pub fn parse(output: &[u8]) -> Self {
        let separator = SEPARATOR.as_bytes();
        let at = output
            .windows(separator.len())
            .rposition(|window| window == separator);
        let (text, lines) = match at {
            Some(at) => (&output[..at], &output[at + separator.len()..]),
            None => (&output[..0], output),
        };
        let lines = String::from_utf8_lossy(lines);
        let pairs = lines.lines().filter_map(|line| line.split_once(": "));
        let lines = pairs
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        Self {
            text: text.into(),
            lines,
        }
    }

    /// The value of a line.
    ///
    /// # Errors
    /// There is no such line.
    pub fn get(&self, key: &str) -> Result<&str> {
        let value = self.lines.get(key);
        Ok(value.with_context(|| format!("the firmware printed no line `{key}: ...`"))?)
    }

    /// Keys and values of the lines whose key starts with `prefix`, without it.
    pub fn starting_with<'a>(
        &'a self,
        prefix: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lines = self.lines.iter();
        lines.filter_map(move |(key, value)| Some((key.strip_prefix(prefix)?, value.as_str())))
    }

    /// The value of a line, a decimal number.
    ///
    /// # Errors
    /// There is no such line, or it is no number.
    pub fn number(&self, key: &str) -> Result<u64> {
        let value = self.get(key)?;
        value
            .parse()
            .with_context(|| format!("`{key}: {value}` is not a number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_looks_like_figures_is_text() {
        let report = Report::parse(b"hash: 1\n---\nROMEO: O!\n---\nhash: 2\nn: 7\nn of x: 3\n");
        assert_eq!(report.text, b"hash: 1\n---\nROMEO: O!");
        assert_eq!(report.get("hash").unwrap(), "2");
        assert_eq!(report.number("n").unwrap(), 7);
        assert!(report.number("ROMEO").is_err());
        let found: Vec<_> = report.starting_with("n of ").collect();
        assert_eq!(found, [("x", "3")]);
    }
}
