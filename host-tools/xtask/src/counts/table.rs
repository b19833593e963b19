//! Counts as tables in Markdown.

use super::{Counts, Kernel, TARGETS, Token};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write;
use toeplite::profile::Stage;

/// Functions in the table of them.
const LARGEST: usize = 20;

/// All tables.
pub fn markdown(counts: &Counts) -> String {
    let mut text = format!("{}; {}.\n", counts.compiler, counts.qemu);
    // Writing to a string cannot fail.
    let _ = kernels(&mut text, counts)
        .and_then(|()| tokens(&mut text, counts))
        .and_then(|()| sizes(&mut text, counts))
        .and_then(|()| functions(&mut text, counts));
    text
}

/// A row a case and contract, a column a target: instructions, and how many of them a multiplication.
fn kernels(text: &mut String, counts: &Counts) -> std::fmt::Result {
    let present = |target: &&str| counts.kernels.iter().any(|row| row.target == *target);
    let targets: Vec<_> = TARGETS
        .map(|(name, _)| name)
        .into_iter()
        .filter(present)
        .collect();
    if targets.is_empty() {
        return Ok(());
    }
    header(text, &["kernel", "contract", "MACs"], &targets)?;
    let same = |a: &Kernel, b: &Kernel| a.case == b.case && a.contract == b.contract;
    let mut cases: Vec<&Kernel> = Vec::new();
    for row in &counts.kernels {
        if !cases.iter().any(|seen| same(seen, row)) {
            cases.push(row);
        }
    }
    for case in cases {
        let (name, contract) = (&case.case, &case.contract);
        write!(text, "| {name} | {contract} | {} |", some(case.macs))?;
        for target in &targets {
            let mut rows = counts.kernels.iter();
            let row = rows.find(|row| row.target == *target && same(row, case));
            let cell = row.map_or(String::new(), |row| per_mac(row.instructions, row.macs));
            write!(text, " {cell} |")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// A row a token: instructions, and the share of every stage.
fn tokens(text: &mut String, counts: &Counts) -> std::fmt::Result {
    if counts.tokens.is_empty() {
        return Ok(());
    }
    let stages = Stage::ALL.map(Stage::name);
    let first = ["token", "MACs", "instructions", "in a prefill"];
    header(text, &first, &stages)?;
    for row in &counts.tokens {
        let Token {
            target,
            model,
            contract,
            weights,
            ..
        } = row;
        write!(
            text,
            "| {target}, {model}, {contract}, {weights} | {} |",
            row.macs
        )?;
        for instructions in [row.instructions, row.prefill] {
            write!(text, " {} |", per_mac(instructions, row.macs))?;
        }
        for stage in stages {
            let count = row.stages.get(stage).copied().unwrap_or(0);
            let share = 100.0 * count as f64 / row.instructions.max(1) as f64;
            write!(text, " {count} ({share:.1}%) |")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn sizes(text: &mut String, counts: &Counts) -> std::fmt::Result {
    if counts.sizes.is_empty() {
        return Ok(());
    }
    header(
        text,
        &["bytes of the text example"],
        &["code", "runtime", "constants", "RAM", "stack"],
    )?;
    for row in &counts.sizes {
        let name = format!("{}, {}", row.target, row.contract);
        let numbers = [row.text, row.runtime, row.rodata, row.ram, row.stack];
        let [a, b, c, d, e] = numbers;
        writeln!(text, "| {name} | {a} | {b} | {c} | {d} | {e} |")?;
    }
    Ok(())
}

/// A row each of the runtime's largest functions, a column a target.
fn functions(text: &mut String, counts: &Counts) -> std::fmt::Result {
    if counts.sizes.is_empty() {
        return Ok(());
    }
    let targets: Vec<_> = counts.sizes.iter().map(|row| &*row.target).collect();
    header(text, &["bytes of a function"], &targets)?;
    let mut largest = BTreeMap::new();
    let functions = counts.sizes.iter().flat_map(|row| &row.functions);
    for function in functions.filter(|function| function.is_runtime()) {
        let bytes = largest.entry(&*function.name).or_insert(0);
        *bytes = function.bytes.max(*bytes);
    }
    let mut largest: Vec<_> = largest.into_iter().collect();
    largest.sort_by_key(|(_, bytes)| Reverse(*bytes));
    for (name, _) in largest.into_iter().take(LARGEST) {
        write!(text, "| `{name}` |")?;
        for row in &counts.sizes {
            let mut functions = row.functions.iter();
            let function = functions.find(|function| function.name == name);
            write!(
                text,
                " {} |",
                some(function.map_or(0, |function| function.bytes))
            )?;
        }
        writeln!(text)?;
    }
    Ok(())
}

/// Columns to the left aligned to the left.
fn header(text: &mut String, left: &[&str], right: &[&str]) -> std::fmt::Result {
    let names: Vec<_> = left.iter().chain(right).copied().collect();
    let rules = [vec!["---"; 1], vec!["---:"; names.len() - 1]].concat();
    writeln!(
        text,
        "\n| {} |\n| {} |",
        names.join(" | "),
        rules.join(" | ")
    )
}

/// `1234 (1.23)`: instructions, and how many a multiplication.
fn per_mac(instructions: u64, macs: u64) -> String {
    match macs {
        0 => instructions.to_string(),
        _ => format!("{instructions} ({:.2})", instructions as f64 / macs as f64),
    }
}

fn some(number: u64) -> String {
    match number {
        0 => String::new(),
        number => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Size;
    use crate::elf::Function;

    fn function(name: &str, bytes: u64) -> Function {
        let name = name.into();
        Function { name, bytes }
    }

    fn kernel(target: &str, contract: &str, [instructions, macs]: [u64; 2]) -> Kernel {
        Kernel {
            target: target.into(),
            case: "int8 2x2".into(),
            contract: contract.into(),
            instructions,
            macs,
        }
    }

    #[test]
    fn every_number_stands_in_its_row_and_column() {
        let counts = Counts {
            compiler: "rustc 1".into(),
            qemu: "QEMU 7".into(),
            kernels: vec![
                kernel("m4", "f32", [6, 4]),
                kernel("m55", "f32", [3, 4]),
                kernel("m0", "fixed", [20, 0]),
            ],
            tokens: vec![Token {
                target: "m4".into(),
                model: "tiny".into(),
                contract: "f32".into(),
                weights: "int8".into(),
                instructions: 200,
                prefill: 120,
                macs: 100,
                stages: [("dense".into(), 150), ("sampling".into(), 10)].into(),
            }],
            sizes: vec![Size {
                target: "m4".into(),
                contract: "f32".into(),
                text: 1,
                rodata: 2,
                ram: 3,
                stack: 4,
                runtime: 5,
                functions: vec![function("text::main", 9), function("toeplite::step", 5)],
            }],
        };
        let text = markdown(&counts);
        for line in [
            "rustc 1; QEMU 7.",
            "| kernel | contract | MACs | m4 | m55 | m0 |",
            "| int8 2x2 | f32 | 4 | 6 (1.50) | 3 (0.75) |  |",
            "| int8 2x2 | fixed |  |  |  | 20 |",
            "| m4, tiny, f32, int8 | 100 | 200 (2.00) | 120 (1.20) | 0 (0.0%) | 0 (0.0%) | 0 (0.0%) | 150 (75.0%) \
             | 0 (0.0%) | 0 (0.0%) | 0 (0.0%) | 10 (5.0%) |",
            "| m4, f32 | 1 | 5 | 2 | 3 | 4 |",
            "| bytes of a function | m4 |",
            "| `toeplite::step` | 5 |",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        assert!(!text.contains("text::main"), "{text}");
    }
}
