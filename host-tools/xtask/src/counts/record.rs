//! The committed counts, and what is held against them.

use super::{Counts, TARGETS, table};
use crate::paths;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// Percent that a count may rise.
const ALLOWED_RISE: u64 = 2;
/// How to commit new counts.
const HOW: &str = "`cargo xtask bench --record` records the counts anew";

/// What became of a comparison that found nothing wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All counts are there, and none rose by more than is allowed; so many were compared.
    Holds(usize),
    /// The compiler is another than the record's, so that nothing could be compared.
    OtherCompiler(String),
}

/// The file of the record.
pub fn path() -> PathBuf {
    paths::firmware().join("bench/counts.json")
}

/// Reads the record.
///
/// # Errors
/// There is none, or it is no record.
pub fn read() -> Result<Counts> {
    let path = path();
    let text =
        fs::read_to_string(&path).with_context(|| format!("reading {}; {HOW}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{}; {HOW}", path.display()))
}

/// Writes the record, and the same as tables.
///
/// # Errors
/// A target is missing in `counts`; the file cannot be written.
pub fn write(counts: &Counts) -> Result<()> {
    for (target, _) in TARGETS {
        if !counts.kernels.iter().any(|row| row.target == target) {
            bail!("a record has all targets, and {target} was not counted: leave --target out");
        }
    }
    let text = serde_json::to_string_pretty(counts).context("counts as JSON")? + "\n";
    let path = path();
    fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    let path = document();
    fs::write(&path, text_of(counts)).with_context(|| format!("writing {}", path.display()))
}

/// The record for people.
fn document() -> PathBuf {
    path().with_extension("md")
}

fn text_of(counts: &Counts) -> String {
    let tables = table::markdown(counts);
    format!(
        "# Counts\n\nWritten by `cargo xtask bench --record`; [what they mean](README.md).\n\n{tables}"
    )
}

/// Whether `found` is as good as `record`.
///
/// # Errors
/// By the same compiler, a count rose by more than 2%, or the two have not the same rows: all of
/// them are named.
pub fn compare(record: &Counts, found: &Counts) -> Result<Verdict> {
    if record.compiler != found.compiler {
        return Ok(Verdict::OtherCompiler(format!(
            "counts are not compared: the record is of {}, the firmware was compiled by {}; {HOW}",
            record.compiler, found.compiler
        )));
    }
    let (old, new) = (rows(record), rows(found));
    let mut problems = String::new();
    for (name, &before) in &old {
        match new.get(name) {
            None => writeln!(problems, "  {name}: is in the record, but was not counted")?,
            Some(&now) if now * 100 > before * (100 + ALLOWED_RISE) => writeln!(
                problems,
                "  {name}: {before} -> {now} instructions (+{:.1}%)",
                100.0 * (now as f64 / before as f64 - 1.0)
            )?,
            Some(_) => {}
        }
    }
    for name in new.keys().filter(|name| !old.contains_key(*name)) {
        writeln!(problems, "  {name}: is not in the record")?;
    }
    if !problems.is_empty() {
        bail!(
            "instructions rose by more than {ALLOWED_RISE}%, or rows changed, against {}:\n{problems}If that is \
             meant, {HOW}",
            path().display()
        );
    }
    Ok(Verdict::Holds(old.len()))
}

/// Every count and a name for it.
fn rows(counts: &Counts) -> BTreeMap<String, u64> {
    let kernels = counts.kernels.iter().map(|row| {
        (
            format!("{} {}, {}", row.target, row.case, row.contract),
            row.instructions,
        )
    });
    let tokens = counts.tokens.iter().flat_map(|row| {
        let model = format!("{}, {}, {}", row.model, row.contract, row.weights);
        [("token", row.instructions), ("prefill", row.prefill)]
            .map(|(what, count)| (format!("{} {what} of {model}", row.target), count))
    });
    kernels.chain(tokens).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boards::FIXED;
    use crate::counts::{Kernel, LARGE_TARGET, SMALL, Token, measure};

    fn counts(kernel: u64, token: u64) -> Counts {
        let (target, model) = ("m4".to_owned(), SMALL.to_owned());
        Counts {
            compiler: "rustc 1".into(),
            qemu: "QEMU 7".into(),
            kernels: vec![Kernel {
                target: target.clone(),
                case: "int8 64x64".into(),
                contract: "f32".into(),
                instructions: kernel,
                macs: 4096,
            }],
            tokens: vec![Token {
                target,
                model,
                contract: "f32".into(),
                weights: "int8".into(),
                instructions: token,
                prefill: token / 2,
                macs: 9,
                stages: BTreeMap::new(),
            }],
            sizes: Vec::new(),
        }
    }

    #[test]
    fn a_rise_of_more_than_two_percent_is_refused() {
        let record = counts(1000, 50_000);
        for (kernel, token) in [(1000, 50_000), (1020, 51_000), (1, 1)] {
            let verdict = compare(&record, &counts(kernel, token)).unwrap();
            assert_eq!(verdict, Verdict::Holds(3));
        }
        let refusal = |found: &Counts| compare(&record, found).unwrap_err().to_string();
        let kernel = refusal(&counts(1021, 50_000));
        assert!(
            kernel.contains("m4 int8 64x64, f32: 1000 -> 1021") && kernel.contains("+2.1%"),
            "{kernel}"
        );
        assert!(!kernel.contains("token of"), "{kernel}");
        let token = refusal(&counts(1000, 51_001));
        assert!(
            token.contains("m4 token of") && token.contains("--record"),
            "{token}"
        );
    }

    #[test]
    fn rows_that_come_or_go_are_refused() {
        let (full, mut less) = (counts(1000, 2000), counts(1000, 2000));
        less.tokens.clear();
        let gone = compare(&full, &less).unwrap_err().to_string();
        assert!(gone.contains("was not counted"), "{gone}");
        let new = compare(&less, &full).unwrap_err().to_string();
        assert!(new.contains("is not in the record"), "{new}");
    }

    #[test]
    fn another_compiler_is_named_and_nothing_is_compared() {
        let mut found = counts(9_999_999, 1);
        found.compiler = "rustc 2".into();
        let Verdict::OtherCompiler(message) = compare(&counts(1, 1), &found).unwrap() else {
            panic!("compared");
        };
        for part in ["rustc 1", "rustc 2", "--record"] {
            assert!(message.contains(part), "{message}");
        }
    }

    #[test]
    fn a_record_of_some_targets_is_refused() {
        let refusal = write(&counts(1, 1)).unwrap_err().to_string();
        assert!(refusal.contains("m55 was not counted"), "{refusal}");
    }

    #[test]
    fn the_committed_record_has_every_target() {
        let record = read().unwrap();
        for (target, _) in TARGETS {
            assert!(record.kernels.iter().any(|row| row.target == target));
            let tokens = record.tokens.iter().filter(|row| row.target == target);
            // beside the small model: the large one, or the small one in integers
            let integers = measure::board(target).unwrap().contract() == FIXED;
            let expected = 1 + usize::from(target == LARGE_TARGET) + usize::from(integers);
            assert_eq!(tokens.count(), expected, "{target}");
        }
        let tables = fs::read_to_string(document()).unwrap();
        assert_eq!(tables, text_of(&record), "{HOW}");
        assert!(matches!(compare(&record, &record), Ok(Verdict::Holds(n)) if n > 50));
    }
}
