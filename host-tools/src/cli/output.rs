//! Printing: tables and numbers; the rest is that of every command of the project.

use comfy_table::{CellAlignment, Table, presets};
pub use toeplite_terminal::{finish, json, line, progress, spinner};

/// A table with a header, its first column to the left and the others to the right.
pub fn table<const N: usize>(
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> Table {
    table_of(
        header.map(String::from).to_vec(),
        rows.into_iter().map(Vec::from),
    )
}

/// The same, of as many columns as it turns out to have.
pub fn table_of(header: Vec<String>, rows: impl IntoIterator<Item = Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `count` in bytes, with its thousands apart.
pub fn bytes(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_apart() {
        assert_eq!(
            ["7", "1,000", "12,345,678"],
            [7, 1000, 12_345_678]
                .map(bytes)
                .each_ref()
                .map(String::as_str)
        );
    }
}
