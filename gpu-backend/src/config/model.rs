//! The `[model]` table: a preset and the keys that differ from it.

use super::{ConfigError, Preset};
use std::path::Path;
use toeplite_checkpoint::Config;
use toml::{Table, Value};

/// Replaces the `model` table by a complete one: the preset's values under those given.
pub(super) fn expand(path: &Path, run: &mut Table) -> Result<(), ConfigError> {
    let wrong = |key: &str, message: String| ConfigError::Key {
        path: path.to_owned(),
        key: key.to_owned(),
        message,
    };
    let mut given = match run.remove("model") {
        None => Table::new(),
        Some(Value::Table(table)) => table,
        Some(other) => {
            let message = format!("a table is expected, found {}", other.type_str());
            return Err(wrong("model", message));
        }
    };
    let preset = match given.remove("preset") {
        None => Preset::Shakespeare128x4,
        Some(Value::String(name)) => Preset::named(&name).ok_or_else(|| {
            let names = Preset::ALL.map(Preset::name).join(", ");
            wrong(
                "model.preset",
                format!("there is no {name:?}; {names} are known"),
            )
        })?,
        Some(other) => {
            let message = format!("a name is expected, found {}", other.type_str());
            return Err(wrong("model.preset", message));
        }
    };
    let mut model = table(&preset.config());
    // Widths belong together: the GLU is as wide as the network unless told otherwise.
    if let (Some(dim), None) = (given.get("dim"), given.get("glu_dim")) {
        model.insert("glu_dim".to_owned(), dim.clone());
    }
    // A masked network sees both sides unless told otherwise.
    if given.get("task").and_then(Value::as_str) == Some("masked-lm") {
        model.insert("causal".to_owned(), Value::Boolean(false));
    }
    if let Some(length) = run.get("train").and_then(|t| t.get("length")) {
        model.insert("train_len".to_owned(), length.clone());
    }
    overlay(&mut model, given);
    run.insert("model".to_owned(), Value::Table(model));
    Ok(())
}

fn table(config: &Config) -> Table {
    Table::try_from(config).expect("plain structs of numbers and names serialize")
}

fn overlay(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => overlay(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}
