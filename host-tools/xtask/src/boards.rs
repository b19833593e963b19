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

/// Cores of the boards of [`NAMES`], as `toeplite convert --target` calls them.
const CORES: [&str; NAMES.len()] = ["m4", "m7", "m55", "m3", "m0", "rv32"];
/// Names of the numeric contracts.
pub const F32: &str = "f32";
/// Integers only.
pub const FIXED: &str = "fixed";

/// A board and how cargo builds for it and runs on it.
#[derive(Clone, Debug)]
pub struct Board {
    /// Its folder and feature.
    pub name: String,
    /// Its core, as `toeplite convert --target` calls it.
    pub core: &'static str,
    /// Rust target.
    pub target: String,
    /// QEMU and all its arguments up to the binary's path.
    pub runner: Vec<String>,
    /// Cargo configuration.
    pub config: PathBuf,
    /// Bytes of flash.
    pub flash: u64,
    /// Bytes of RAM.
    pub ram: u64,
    /// Where models go that are written apart from the firmware.
    pub partition: Partition,
}

/// A region of flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partition {
    /// Where it begins.
    pub address: u32,
    /// Bytes.
    pub size: u32,
}

impl Board {
    /// The numeric contract for its core: `fixed` without an FPU.
    pub fn contract(&self) -> &'static str {
        if self.target.ends_with("hf") {
            F32
        } else {
            FIXED
        }
    }

    /// Reads a board's configuration.
    ///
    /// # Errors
    /// No such board, its `config.toml` lacks the target or the runner, or its `memory.x` a length.
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
        let map = config.with_file_name("memory.x");
        let text = fs::read_to_string(&map).with_context(|| map.display().to_string())?;
        let bytes = |region| {
            length(&text, region)
                .with_context(|| format!("{} has no length of {region}", map.display()))
        };
        Ok(Self {
            flash: bytes("FLASH")?,
            ram: bytes("RAM")?,
            partition: partition(&text)
                .with_context(|| format!("{} has no region MODEL", map.display()))?,
            name: name.into(),
            core: core(name),
            target: target.into(),
            runner: runner.split(' ').map(String::from).collect(),
            config,
        })
    }
}

fn core(board: &str) -> &'static str {
    let cores = NAMES.into_iter().zip(CORES);
    cores
        .filter(|(name, _)| *name == board)
        .map(|(_, core)| core)
        .next()
        .unwrap_or("portable")
}

/// The region `MODEL` of a linker script.
fn partition(script: &str) -> Option<Partition> {
    let address = u32::try_from(origin(script, "MODEL")?).ok()?;
    let size = u32::try_from(length(script, "MODEL")?).ok()?;
    Some(Partition { address, size })
}

/// What stands behind the name of a region of a linker script: `NAME : ORIGIN = 0x0, LENGTH = 256K`.
fn region<'s>(script: &'s str, region: &str) -> Option<&'s str> {
    let mut lines = script.lines().filter_map(|line| line.split_once(':'));
    let (_, line) = lines.find(|(name, _)| name.trim() == region)?;
    Some(line)
}

/// Where a region begins.
fn origin(script: &str, name: &str) -> Option<u64> {
    let (_, origin) = region(script, name)?.split_once("ORIGIN = 0x")?;
    let (digits, _) = origin.split_once(',')?;
    u64::from_str_radix(digits.trim(), 16).ok()
}

/// Bytes of a region.
fn length(script: &str, name: &str) -> Option<u64> {
    let (_, length) = region(script, name)?.split_once("LENGTH = ")?;
    let length = length.trim();
    let digits = length.trim_end_matches(['K', 'M']);
    let unit = match &length[digits.len()..] {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_are_those_of_the_linker_script() {
        let sizes = |name| Board::named(name).map(|b| (b.flash, b.ram)).unwrap();
        assert_eq!(sizes("microbit"), (192 << 10, 16 << 10));
        assert_eq!(sizes("virt-rv32"), (8 << 20, 8 << 20));
        assert_eq!(
            length("FLASH : ORIGIN = 0, LENGTH = 1000", "FLASH"),
            Some(1000)
        );
        assert_eq!(length("FLASH : ORIGIN = 0, LENGTH = 1G", "FLASH"), None);
        assert_eq!(length("FLASH : ORIGIN = 0, LENGTH = 1K", "RAM"), None);
    }

    #[test]
    fn cores_without_fpu_get_integers() {
        let contract = |name| Board::named(name).unwrap().contract();
        let found = NAMES.map(contract);
        assert_eq!(found, [F32, F32, F32, FIXED, FIXED, FIXED]);
    }

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
