//! The emulated boards. What cargo has to know of each stands in its folder's `config.toml`, and is
//! read from there.

use crate::paths;
use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

/// Names of the boards: their folders and features. The first is the default.
pub const NAMES: [&str; 6] = [
    "mps2-an386",
    "mps2-an500",
    "mps3-an547",
    "lm3s6965evb",
    "microbit",
    "virt-rv32",
];

/// A board and how cargo builds for it and runs on it.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its folder and feature.
    pub name: String,
    /// Rust target.
    pub target: String,
    /// QEMU and all its arguments up to the binary's path.
    pub runner: Vec<String>,
    /// Cargo configuration.
    pub config: PathBuf,
}

impl Board {
    /// Reads a board's configuration.
    ///
    /// # Errors
    /// No such board, or its `config.toml` lacks the target or the runner.
    pub fn named(name: &str) -> Result<Self> {
        let config = paths::firmware()
            .join("boards")
            .join(name)
            .join("config.toml");
        let text = fs::read_to_string(&config).with_context(|| {
            format!(
                "board `{name}` has no {}; boards: {}",
                config.display(),
                NAMES.join(", ")
            )
        })?;
        let table: toml::Table = text.parse().with_context(|| config.display().to_string())?;
        let string = |section: &str, keys: [&str; 2]| {
            let value = table.get(section)?.get(keys[0])?;
            if keys[1].is_empty() {
                value.as_str()
            } else {
                value.get(keys[1])?.as_str()
            }
        };
        let target = string("build", ["target", ""])
            .with_context(|| format!("{} has no build.target", config.display()))?;
        let runner = string("target", ["cfg(target_os = \"none\")", "runner"])
            .with_context(|| format!("{} has no runner", config.display()))?;
        Ok(Self {
            name: name.into(),
            target: target.into(),
            runner: runner.split(' ').map(String::from).collect(),
            config,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_board_has_a_target_and_runs_in_qemu() {
        for name in NAMES {
            let board = Board::named(name).unwrap();
            assert!(board.runner[0].starts_with("qemu-system-"), "{board:?}");
            assert_eq!(board.runner.last().unwrap(), "-kernel", "{board:?}");
            assert!(board.config.with_file_name("memory.x").is_file());
        }
    }

    #[test]
    fn the_default_configuration_is_the_first_boards() {
        let default = paths::firmware().join(".cargo/config.toml");
        let board = Board::named(NAMES[0]).unwrap();
        assert_eq!(fs::read(default).unwrap(), fs::read(board.config).unwrap());
    }
}
