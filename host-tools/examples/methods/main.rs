//! Converts the same kernels by every method that could be used for it, and prints what each reaches
//! at an equal number of taps and states a channel. What it shows is in `docs/methods.md`.
//!
//! ```sh
//! cargo run --release -p toeplite-tools --example methods -- CHECKPOINT... [--total 12] [--taps 4]
//! ```

mod adam;
mod bare;
mod era;
mod esprit;
mod etsc;
mod method;
mod ours;
mod per_channel;
mod problem;
mod score;
mod vector_fitting;

use anyhow::Result;
use clap::Parser;
use method::{Method, Size};
use problem::Problem;
use score::Row;
use std::path::PathBuf;

/// Compares methods of conversion on the layers of checkpoints and on a few bare kernels.
#[derive(Parser)]
struct Arguments {
    /// Folders of checkpoints.
    checkpoints: Vec<PathBuf>,
    /// Taps and states a channel, together.
    #[arg(long, default_value_t = 12)]
    total: usize,
    /// Taps of methods that are not tried with several.
    #[arg(long, default_value_t = 4)]
    taps: usize,
    /// Leaves out the bare kernels.
    #[arg(long)]
    no_bare: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    for path in &arguments.checkpoints {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let layers = problem::layers(path)?;
        let title = format!("{}, {} layers", name.display(), layers.len());
        compare(&title, &layers, &arguments)?;
    }
    if !arguments.no_bare {
        for (name, problem) in bare::all() {
            compare(name, &[problem], &arguments)?;
        }
    }
    Ok(())
}

/// The methods, each with its taps and states.
fn methods(arguments: &Arguments) -> Vec<(Method, Size)> {
    let split = |taps: usize| Size {
        taps,
        order: arguments.total.saturating_sub(taps),
    };
    let mut out: Vec<(Method, Size)> = [0, 1, 2, 4, 8]
        .map(|taps| (ours::LEVELLED, split(taps)))
        .into();
    let usual = [
        ours::BALANCED,
        ours::REFINED,
        era::METHOD,
        esprit::METHOD,
        vector_fitting::METHOD,
        adam::AFTER_OURS,
        adam::FROM_SCRATCH,
        per_channel::METHOD,
    ];
    out.extend(usual.map(|method| (method, split(arguments.taps))));
    out.push((etsc::METHOD, split(0)));
    out
}

/// Prints what every method makes of `problems`.
fn compare(title: &str, problems: &[Problem], arguments: &Arguments) -> Result<()> {
    let mut rows = Vec::new();
    for (method, size) in methods(arguments) {
        let scores = problems
            .iter()
            .map(|problem| score::of(&method, problem, size))
            .collect::<Result<Vec<_>>>()?;
        rows.push(Row::new(method.name, &scores));
        eprintln!("{title}: {}", method.name);
    }
    let reference = (rows.iter())
        .find(|row| row.is(ours::LEVELLED.name, arguments.taps))
        .map(|row| row.time);
    println!("\n### {title}\n\n{}", score::table(&rows, reference));
    Ok(())
}
