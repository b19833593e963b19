//! Counting, in QEMU.

use super::{Counts, Kernel, LARGE, LARGE_TARGET, SMALL, Size, TARGETS, Token, compiler, qemu};
use crate::boards::{Board, F32, FIXED};
use crate::firmware::{self, Firmware};
use crate::host::Facts;
use crate::model::{Files, Model, named};
use crate::report::Report;
use crate::{elf, paths};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use toeplite::bench::{Buffers, Case, Contract, FEW_CHANNELS, MOST_WORDS, Meter, state_words};
use toeplite::model::Shape;
use toeplite::profile::Stage;

/// Of one run of the firmware, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(300);

/// The board that stands for a target.
///
/// # Errors
/// There is no such target.
pub fn board(target: &str) -> Result<Board> {
    let found = TARGETS.into_iter().find(|(name, _)| *name == target);
    let names = TARGETS.map(|(name, _)| name).join(", ");
    let (_, board) = found.with_context(|| format!("no target `{target}`; targets: {names}"))?;
    Board::named(board)
}

/// Counts without rows, by the tools that are here.
///
/// # Errors
/// A tool is missing.
pub fn nothing() -> Result<Counts> {
    Ok(Counts {
        compiler: compiler()?,
        qemu: qemu()?,
        kernels: Vec::new(),
        tokens: Vec::new(),
        sizes: Vec::new(),
    })
}

/// Counts the kernels and a token of the bundled models on every one of `targets`. `blob` says
/// where the checkpoint of a name is, converted for a target to a numeric contract.
///
/// # Errors
/// A build or a run fails; a kernel computes something else than on the host.
pub fn bundled(
    targets: &[&str],
    blob: impl Fn(&str, &str, &str) -> Result<PathBuf>,
) -> Result<Counts> {
    let mut counts = nothing()?;
    for target in targets {
        counts.kernels.extend(kernels(target)?);
        let mut models = vec![(SMALL, F32)];
        if board(target)?.contract() == FIXED {
            models.push((SMALL, FIXED));
        }
        if *target == LARGE_TARGET {
            models.push((LARGE, F32));
        }
        for (name, contract) in models {
            let blob = blob(target, name, contract)?;
            counts.tokens.push(token(target, name, &blob)?);
        }
    }
    Ok(counts)
}

/// Counts every kernel, and checks that each computes what it does on the host.
///
/// # Errors
/// The build or the run fails; a result is not the host's.
pub fn kernels(target: &str) -> Result<Vec<Kernel>> {
    let board = board(target)?;
    let contract = match board.contract() {
        FIXED => Contract::Fixed,
        _ => Contract::F32,
    };
    let report = run(&firmware::kernels(&board)?, "")?;
    kernel_rows(target, contract, &report).with_context(|| format!("kernels on {target}"))
}

fn kernel_rows(target: &str, contract: Contract, report: &Report) -> Result<Vec<Kernel>> {
    let mut rows = Vec::new();
    for (case, hash) in host_cases(contract) {
        let lines: BTreeMap<_, _> = report.starting_with("kernel ").collect();
        let Some(line) = lines.get(case.name) else {
            ensure!(
                has_two_sizes(case.name),
                "the firmware did not run `{}`",
                case.name
            );
            continue;
        };
        let numbers: Vec<u64> = line.split(' ').filter_map(|n| n.parse().ok()).collect();
        let [instructions, macs, found] = numbers[..] else {
            anyhow::bail!("`kernel {}: {line}` is not three numbers", case.name);
        };
        ensure!(
            found == hash,
            "`{}` computes something else than on the host ({found:016x}, not {hash:016x})",
            case.name
        );
        rows.push(Kernel {
            target: target.into(),
            case: case.name.into(),
            contract: case.contract.name().into(),
            instructions,
            macs,
        });
    }
    let recurrences = rows.iter().filter(|row| has_two_sizes(&row.case));
    ensure!(recurrences.count() == 1, "the firmware ran no recurrence");
    Ok(rows)
}

/// Whether `case` is the large recurrence, of which a board takes the size that fits.
fn has_two_sizes(case: &str) -> bool {
    case.starts_with("recurrence ") && case.ends_with("x4+8")
}

/// All cases of a core that computes by `contract`, and the hashes of their results.
fn host_cases(contract: Contract) -> Vec<(Case, u64)> {
    struct Hashes(Vec<(Case, u64)>);
    impl Meter for Hashes {
        fn count(&mut self, _: Case, work: impl FnOnce()) {
            work();
        }
        fn result(&mut self, case: Case, hash: u64) {
            if !self.0.contains(&(case, hash)) {
                self.0.push((case, hash));
            }
        }
    }
    let mut hashes = Hashes(Vec::new());
    Buffers::<MOST_WORDS>::new().run(contract, &mut hashes);
    Buffers::<{ state_words(FEW_CHANNELS) }>::new().run(contract, &mut hashes);
    hashes.0
}

/// Counts a token of the model in the file `blob`, under `name`.
///
/// # Errors
/// The file is no model, or the model does not fit; the build or the run fails.
pub fn token(target: &str, name: &str, blob: &Path) -> Result<Token> {
    let board = board(target)?;
    let facts = Facts::of(blob)?;
    let fits = facts.blob_bytes < board.flash && facts.memory_bytes < board.ram;
    ensure!(
        fits,
        "{name} is too big for {target}: its {} bytes must fit into {} bytes of flash, and {} bytes of \
         session memory into {} bytes of RAM",
        facts.blob_bytes,
        board.flash,
        facts.memory_bytes,
        board.ram
    );
    let full_name = named(name, facts.contract);
    let files = files(&full_name, blob, &facts)?;
    let report = run(&firmware::token(&board, &full_name, &files)?, "")?;
    let mut stages = BTreeMap::new();
    for stage in Stage::ALL {
        let key = match stage {
            Stage::Sampling => "sampling".into(),
            _ => format!("stage {}", stage.name()),
        };
        stages.insert(stage.name().into(), report.number(&key)?);
    }
    Ok(Token {
        target: target.into(),
        model: name.into(),
        contract: facts.contract.into(),
        weights: facts.weights.into(),
        instructions: report.number("step")? + report.number("sampling")?,
        prefill: report.number("prefill")? / report.number("prefilled")?,
        macs: macs(&facts.shape),
        stages,
    })
}

/// What the text example takes with `model` in flash.
///
/// # Errors
/// The model does not fit; the build or the run fails.
pub fn size(target: &str, model: &Model) -> Result<Size> {
    let firmware = firmware::text(&board(target)?, model, &[])?;
    let sizes = elf::sizes(&firmware.elf)?;
    let functions = elf::functions(&firmware.elf)?;
    let runtime = functions.iter().filter(|function| function.is_runtime());
    let report = run(&firmware, "generate tokens=4")?;
    Ok(Size {
        target: target.into(),
        contract: Facts::of(&model.files.blob)?.contract.into(),
        text: sizes.code,
        rodata: sizes.constants.saturating_sub(model.blob_bytes()?),
        ram: sizes.ram,
        stack: report.number("stack_peak_bytes")?,
        runtime: runtime.map(|function| function.bytes).sum(),
        functions,
    })
}

pub(super) fn run(firmware: &Firmware, arguments: &str) -> Result<Report> {
    let output = crate::qemu::run(firmware, arguments, LIMIT, |_| ())?.success()?;
    Ok(Report::parse(&output.stdout))
}

/// The blob, and the constants that the firmware needs beside it, written for it.
fn files(name: &str, blob: &Path, facts: &Facts) -> Result<Files> {
    let folder = paths::output().join("bench").join(name);
    fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    let meta = folder.join("model_meta.rs");
    let text = format!(
        "/// Bytes of session memory.\npub const MEMORY_BYTES: usize = {};\n\
         /// Bytes of a workspace for two tokens.\npub const PREFILL_BYTES: usize = {};\n",
        facts.memory_bytes, facts.prefill_bytes
    );
    // Cargo goes by the time of the file: written only if it says something new.
    if fs::read_to_string(&meta).ok().as_deref() != Some(&text) {
        fs::write(&meta, text).with_context(|| format!("writing {}", meta.display()))?;
    }
    let blob = blob
        .canonicalize()
        .with_context(|| format!("finding {}", blob.display()))?;
    Ok(Files { blob, meta })
}

fn macs(shape: &Shape) -> u64 {
    let layer = 3 * shape.channels * shape.dim + 3 * shape.glu_dim * shape.dim;
    (shape.layers * layer + shape.vocabulary * shape.dim) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use toeplite::bench::CHANNELS;

    /// What a device would print that computes as the host does.
    fn lines(channels: usize) -> String {
        let cases = host_cases(Contract::F32).into_iter();
        let other = if channels == CHANNELS { "96x" } else { "384x" };
        let cases = cases.filter(|(case, _)| !case.name.contains(&format!("recurrence {other}")));
        cases
            .map(|(case, hash)| format!("kernel {}: 1000 {} {hash}\n", case.name, case.macs))
            .collect()
    }

    fn rows(lines: &str) -> Result<Vec<Kernel>> {
        kernel_rows("m4", Contract::F32, &Report::parse(lines.as_bytes()))
    }

    #[test]
    fn rows_are_read_in_the_order_of_the_cases() {
        let rows = rows(&lines(CHANNELS)).unwrap();
        assert_eq!(rows[0].case, host_cases(Contract::F32)[0].0.name);
        let product = rows.iter().find(|row| row.case == "int8 256x256").unwrap();
        assert_eq!((product.macs, product.instructions), (65536, 1000));
        assert_eq!(product.contract, F32);
    }

    #[test]
    fn other_results_and_missing_cases_are_refused() {
        for channels in [CHANNELS, FEW_CHANNELS] {
            let good = lines(channels);
            assert!(rows(&good).is_ok());
            let line = |part: &str| good.lines().find(|line| line.contains(part)).unwrap();
            for (changed, says) in [
                ("kernel int8 64x64: 1000 4096 7".into(), "something else"),
                (
                    line("kernel int8 64x64").replace("1000 ", ""),
                    "three numbers",
                ),
                (String::new(), "did not run `int8 64x64`"),
            ] {
                let bad = good.replace(line("kernel int8 64x64"), &changed);
                let refusal = rows(&bad).unwrap_err().to_string();
                assert!(refusal.contains(says), "{refusal}");
            }
            let without = good.replace(line("x4+8"), "");
            let refusal = rows(&without).unwrap_err().to_string();
            assert!(refusal.contains("no recurrence"), "{refusal}");
        }
    }

    #[test]
    fn targets_have_boards_and_others_are_named() {
        for (target, name) in TARGETS {
            assert_eq!(board(target).unwrap().name, name);
        }
        let refusal = board("m5").unwrap_err().to_string();
        assert!(refusal.contains("m4, m55, m0, m3, rv32"), "{refusal}");
    }
}
