//! `cargo xtask bench`: instructions of kernels and tokens on every core.

use anyhow::{Context, Result};
use clap::Parser;
use std::path::{Path, PathBuf};
use xtask::counts::{Counts, SMALL, TARGETS, classifier, measure, record, table};
use xtask::model::{Model, Storage, convert, named, toeplite};
use xtask::{paths, setup};

/// Counts instructions of the runtime's kernels and of whole tokens, in QEMU.
///
/// Instructions are not cycles: QEMU has no pipeline, no caches and no flash that waits.
#[derive(Parser)]
pub struct Bench {
    /// Cores, separated by commas; default: all.
    #[arg(long, value_delimiter = ',', value_parser = TARGETS.map(|(name, _)| name))]
    target: Vec<String>,
    /// Counts a token of this model alone, a file that `toeplite convert` wrote; of a classifier a frame, an answer and a clip.
    #[arg(long, conflicts_with = "record")]
    model: Option<PathBuf>,
    /// Prints JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Writes the counts to firmware-examples/bench/counts.json, which `cargo xtask test` holds
    /// later counts against.
    #[arg(long, conflicts_with = "target")]
    record: bool,
}

impl Bench {
    /// Counts, prints, and records if asked to.
    pub fn run(&self) -> Result<()> {
        setup::quietly()?;
        let mut targets: Vec<_> = self.target.iter().map(String::as_str).collect();
        if targets.is_empty() {
            targets = TARGETS.map(|(name, _)| name).into();
        }
        if let Some(blob) = &self.model
            && classifier::is_classifier(blob)?
        {
            return self.classifier(&targets, blob);
        }
        let counts = match &self.model {
            Some(blob) => of_model(&targets, blob)?,
            None => of_bundled(&targets)?,
        };
        if self.record {
            record::write(&counts)?;
            eprintln!("recorded in {}", record::path().display());
        }
        if self.json {
            let json = serde_json::to_string_pretty(&counts).context("counts as JSON")?;
            println!("{json}");
        } else {
            print!("{}", table::markdown(&counts));
        }
        Ok(())
    }
}

impl Bench {
    fn classifier(&self, targets: &[&str], blob: &Path) -> Result<()> {
        let rows = targets.iter().map(|target| classifier::count(target, blob));
        let rows = rows.collect::<Result<Vec<_>>>()?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&rows)?);
        } else {
            print!("{}", classifier::markdown(&rows)?);
        }
        Ok(())
    }
}

fn of_model(targets: &[&str], blob: &Path) -> Result<Counts> {
    let name = blob.file_stem().context("--model names no file")?;
    let mut counts = measure::nothing()?;
    for target in targets {
        let row = measure::token(target, &name.to_string_lossy(), blob)?;
        counts.tokens.push(row);
    }
    Ok(counts)
}

fn of_bundled(targets: &[&str]) -> Result<Counts> {
    let toeplite = toeplite()?;
    let convert = |target: &str, name: &str, contract: &str| {
        let into = paths::output().join(target).join(named(name, contract));
        convert(
            &toeplite,
            &paths::checkpoint(name),
            Storage::int8(contract, target),
            &into,
        )
    };
    let blob =
        |target: &str, name: &str, contract: &str| Ok(convert(target, name, contract)?.files.blob);
    let mut counts = measure::bundled(targets, blob)?;
    for target in targets {
        let contract = measure::board(target)?.contract();
        let small: Model = convert(target, SMALL, contract)?;
        counts.sizes.push(measure::size(target, &small)?);
    }
    Ok(counts)
}
