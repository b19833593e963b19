//! Images of models for the flash partitions of boards: what is in them ([`toeplite::image`]), and the files that flashing
//! programs take.

mod boards;
mod hex;
mod make;
mod uf2;

pub use boards::{BOARDS, Board, Flasher, board};
pub use hex::intel_hex;
pub use make::{Beside, Image, ImageError, Partition, features};
pub use uf2::{RP2040, RP2350_ARM_S, SECTOR, uf2};

use std::path::Path;

/// A kind of file that a flashing program takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// The bytes alone; where they go is said when they are flashed.
    Bin,
    /// Intel HEX, with addresses.
    Hex,
    /// UF2, with addresses, for boards that show a drive.
    Uf2,
}

impl Format {
    /// What the file's name says, if it says anything.
    pub fn of_name(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Some(match extension.as_str() {
            "bin" => Self::Bin,
            "hex" | "ihex" => Self::Hex,
            "uf2" => Self::Uf2,
            _ => return None,
        })
    }

    /// The extension, and what probe-rs calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bin => "bin",
            Self::Hex => "hex",
            Self::Uf2 => "uf2",
        }
    }
}
