//! The memory map is esp-hal's. Where the flash has the model, partitions.csv says.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-changed=partitions.csv");
    for script in ["-Tdefmt.x", "-Tlinkall.x"] {
        println!("cargo:rustc-link-arg-bins={script}");
    }
    let table = fs::read_to_string("partitions.csv").expect("partitions.csv of the board is read");
    let (offset, bytes) =
        model(&table).expect("partitions.csv has a row `model, data, undefined, 0x..., 0x...`");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("set by cargo"));
    let source = format!(
        "/// Where the model is, in the flash.\npub const OFFSET: u32 = {offset:#x};\n\
         /// Bytes of its partition.\npub const BYTES: usize = {bytes:#x};\n"
    );
    fs::write(out.join("partition.rs"), source).expect("the folder of outputs can be written");
}

/// Offset and size in the row of the model.
fn model(table: &str) -> Option<(u32, u32)> {
    let rows = table.lines().map(|line| line.split(',').map(str::trim));
    let row: Vec<_> = rows
        .map(Iterator::collect::<Vec<_>>)
        .find(|row| row[0] == "model")?;
    let number = |text: &str| u32::from_str_radix(text.strip_prefix("0x")?, 16).ok();
    Some((number(row.get(3)?)?, number(row.get(4)?)?))
}
