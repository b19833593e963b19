//! `toeplite compare` of classifiers.

use super::{Asked, ClipArgs, by_model, by_network};
use crate::blob::AnyModel;
use crate::checkpoint::AnyFrontEnd;
use crate::classify::{Chosen, ClipComparison, Forms, compare_clips};
use crate::cli::output;
use crate::reference::Network;
use crate::reference::mix::Padded;
use crate::stream;
use anyhow::Result;
use serde_json::json;
use std::process::ExitCode;

/// Compares a classifier's model with its network on clips of each of `lengths`.
///
/// # Errors
/// The clips cannot be read, or a form fails on one.
pub fn compare(
    args: &ClipArgs,
    network: &Network<f32>,
    (model, wanted, front_end): (&AnyModel<'_>, Asked, Option<&AnyFrontEnd>),
    lengths: &[usize],
    as_json: bool,
) -> Result<ExitCode> {
    let recurrence = stream::mix(model)?;
    let recurrence = by_network(network, &*recurrence);
    let blob = by_model(model);
    let mut compared = Vec::new();
    let mut described = String::new();
    for &length in lengths {
        let set = args.open((wanted, front_end), length)?;
        let chosen = Chosen::new(&set, args.limit());
        let trained = Padded::new(network.trained_mix(), length);
        let forms = Forms {
            fft: &by_network(network, &trained),
            recurrence: &recurrence,
            blob: &blob,
        };
        let title = format!("clips of {length}");
        let bar = output::progress(title, "clips", chosen.len() as u64);
        let progress = |done: usize| bar.set_position(done as u64);
        compared.push(compare_clips(&chosen, &forms, length, progress)?);
        bar.finish_and_clear();
        described = set.describe();
    }
    let warnings: Vec<_> = compared.iter().filter_map(ClipComparison::doubt).collect();
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    if as_json {
        print_json(&compared, &described, &warnings)?;
    } else {
        print_table(&compared)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(compared: &[ClipComparison], clips: &str, warnings: &[String]) -> Result<()> {
    let largest =
        |error: fn(&ClipComparison) -> f64| compared.iter().map(error).fold(0.0, f64::max);
    output::json(&json!({
        "clips": clips,
        "lengths": compared,
        "max_logit_error": largest(|c| c.max_logit_error.blob),
        "max_logit_error_recurrence": largest(|c| c.max_logit_error.recurrence),
        "warnings": warnings,
    }))
}

fn print_table(compared: &[ClipComparison]) -> Result<()> {
    let percent = |share: f64| format!("{:.2}%", 100.0 * share);
    let rows = compared.iter().flat_map(|c| {
        let row = |form: &str, accuracy: f64, [agrees, largest, mean]: [String; 3]| {
            [
                form.into(),
                c.length.to_string(),
                output::bytes(c.clips),
                percent(accuracy),
                agrees,
                largest,
                mean,
            ]
        };
        let (agreement, max, mean) = (c.agreement, c.max_logit_error, c.mean_logit_error);
        let error = |error: f64| format!("{error:.5}");
        [
            row("fft", c.accuracy.fft, Default::default()),
            row(
                "recurrence",
                c.accuracy.recurrence,
                [
                    percent(agreement.recurrence),
                    error(max.recurrence),
                    error(mean.recurrence),
                ],
            ),
            row(
                "blob",
                c.accuracy.blob,
                [percent(agreement.blob), error(max.blob), error(mean.blob)],
            ),
        ]
    });
    let header = [
        "form",
        "length",
        "clips",
        "accuracy",
        "answers agree",
        "largest logit error",
        "mean logit error",
    ];
    Ok(output::line(output::table(header, rows))?)
}
