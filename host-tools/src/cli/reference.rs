//! `toeplite reference`: the reference modules against a case of known outputs.

use super::output;
use crate::reference::case::{self, Case, Comparison, Module};
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use std::process::ExitCode;

/// Run the reference Toeplitz operator, GTU or layer on a case file and compare every output.
///
/// Prints the relative error (largest difference over largest reference value) of the kernel
/// coefficients `a` (or the `kernel` of an operator that is given by its frequency response), and of the output `y` with the Toeplitz product taken by FFT and term by
/// term. Exits 1 where an error is above the tolerance.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  toeplite reference --case case.safetensors --index index.json --precision f32")]
pub struct Cmd {
    /// The case: a safetensors file with `param.*`, `x`, `y`, and `a` and `lags` or `kernel`
    #[arg(long, value_name = "FILE")]
    case: PathBuf,
    /// The index that names the case's module and constructor arguments
    #[arg(long, value_name = "FILE")]
    index: PathBuf,
    /// Largest relative error that passes
    #[arg(long, value_name = "T", default_value_t = 2e-6, value_parser = tolerance, allow_negative_numbers = true)]
    tolerance: f64,
    /// Floating-point type that everything is computed in
    #[arg(long, value_enum, default_value_t = Precision::F64)]
    precision: Precision,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

/// Floating-point types of the reference.
#[derive(Clone, Copy, Debug, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits, as in training.
    F32,
    /// 64 bits.
    F64,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    case: String,
    module: Module,
    precision: Precision,
    tolerance: f64,
    outputs: Vec<Comparison>,
    passed: bool,
}

impl Cmd {
    /// Compares and prints.
    ///
    /// # Errors
    /// A file cannot be read, the case is not in the index, or a tensor is missing or misshapen.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let report = self.compare()?;
        if self.json {
            output::json(&report)?;
        } else {
            print_table(&report)?;
        }
        Ok(ExitCode::from(u8::from(!report.passed)))
    }

    fn compare(&self) -> anyhow::Result<Report> {
        let case = Case::open(&self.case, &self.index)?;
        let outputs = match self.precision {
            Precision::F32 => case::check::<f32>(&case)?,
            Precision::F64 => case::check::<f64>(&case)?,
        };
        Ok(Report {
            module: case.module(),
            precision: self.precision,
            tolerance: self.tolerance,
            passed: outputs.iter().all(|o| o.relative_error <= self.tolerance),
            case: case.name,
            outputs,
        })
    }
}

fn tolerance(text: &str) -> Result<f64, String> {
    let tolerance: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if tolerance >= 0.0 {
        Ok(tolerance)
    } else {
        Err("a tolerance is zero or above".into())
    }
}

fn print_table(report: &Report) -> anyhow::Result<()> {
    let rows = report.outputs.iter().map(|output| {
        let passed = output.relative_error <= report.tolerance;
        let verdict = if passed { "ok" } else { "ABOVE TOLERANCE" };
        [
            output.output.to_string(),
            format!("{:.2e}", output.relative_error),
            verdict.into(),
        ]
    });
    let Report {
        case,
        module,
        tolerance,
        precision,
        ..
    } = report;
    output::line(format!(
        "{case} ({module:?}, {precision:?}, tolerance {tolerance:.1e})"
    ))?;
    output::line(output::table(["output", "relative error", ""], rows))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        cmd: Cmd,
    }

    fn cmd(extra: &[&str]) -> Cmd {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tno/");
        let case = format!("{folder}tno_bidir_n7_h2_nodecay_l1_silu.safetensors");
        let index = format!("{folder}index.json");
        let fixed = ["reference", "--case", &case, "--index", &index];
        Cli::try_parse_from(fixed.iter().chain(extra)).unwrap().cmd
    }

    #[test]
    fn tolerance_decides() {
        let report = cmd(&[]).compare().unwrap();
        let outputs: Vec<_> = report.outputs.iter().map(|o| o.output).collect();
        assert_eq!(outputs, ["a", "y (fft)", "y (dense)"]);
        assert!(report.passed);
        assert!(!cmd(&["--tolerance", "1e-12"]).compare().unwrap().passed);
        let f32 = cmd(&["--precision", "f32"]).compare().unwrap();
        assert!(f32.passed && f32.outputs != report.outputs);
    }

    #[test]
    fn a_case_outside_the_index_is_an_error() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/etsc/");
        let mut cmd = cmd(&[]);
        cmd.case = format!("{folder}etsc_n8_d3_g90.safetensors").into();
        let error = cmd.compare().err().unwrap().to_string();
        assert!(error.ends_with("has no case with the file etsc_n8_d3_g90.safetensors"));
    }
}
