//! `cargo xtask size`: what the text example takes of flash and RAM.

use anyhow::{Result, bail};
use std::fs;
use xtask::boards::{Board, NAMES};
use xtask::model::{Storage, convert, named, toeplite};
use xtask::{elf, firmware, paths, setup};

/// Prints a line for every board and model that fits it; fails if anything linked can panic.
pub fn run() -> Result<()> {
    setup::everything()?;
    let row = |cells: [&str; 9]| {
        let [board, model, rest @ ..] = cells;
        let rest: String = rest.iter().map(|cell| format!("{cell:>10}")).collect();
        println!("{board:<13}{model:<23}{rest}");
    };
    println!("\nBytes. RAM is all variables, the session memory among them; the stack is extra.");
    row([
        "board",
        "model",
        "code",
        "constants",
        "blob",
        "flash",
        "session",
        "RAM",
        "panics",
    ]);
    let mut panicking = Vec::new();
    for (checkpoint, boards) in [
        ("shakespeare-32x2", &NAMES[..]),
        ("shakespeare-64x9", &NAMES[..3]),
    ] {
        for board in boards {
            let built_for = Board::named(board)?;
            let storage = Storage::int8(built_for.contract(), built_for.core);
            let into = paths::output()
                .join(built_for.core)
                .join(named(checkpoint, storage.contract));
            let model = convert(&toeplite()?, &paths::checkpoint(checkpoint), storage, &into)?;
            let blob = fs::metadata(&model.files.blob)?.len();
            let built = firmware::text(&built_for, &model, &[])?;
            let sizes = elf::sizes(&built.elf)?;
            let panics = elf::panicking_functions(&built.elf)?;
            let numbers = [
                sizes.code,
                sizes.constants.saturating_sub(blob),
                blob,
                sizes.flash(),
                model.memory_bytes()?,
                sizes.ram,
                panics.len() as u64,
            ];
            let cells = numbers.map(|number| number.to_string());
            let [a, b, c, d, e, f, g] = cells.each_ref().map(String::as_str);
            row([board, &model.name, a, b, c, d, e, f, g]);
            panicking.extend(panics.iter().map(|name| format!("{board}: {name}")));
        }
    }
    if !panicking.is_empty() {
        bail!(
            "functions that panic were linked:\n{}",
            panicking.join("\n")
        );
    }
    Ok(())
}
