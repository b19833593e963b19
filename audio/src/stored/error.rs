//! What can be wrong with a stored front end.

use crate::config::ConfigError;
use core::fmt;

/// Why a stored front end is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredError {
    /// Made by a newer `toeplite image`.
    Version {
        /// The format version found.
        found: u16,
    },
    /// Neither floats nor integers.
    Arithmetic,
    /// Settings that cannot be computed.
    Config(ConfigError),
    /// Another length than that of the settings.
    Length,
    /// Numbers do not lie at a multiple of 4.
    Misaligned,
    /// A table with a number out of range.
    Table {
        /// Which one.
        what: &'static str,
    },
    /// It is for the other arithmetic.
    OtherArithmetic {
        /// Whether the stored one is that of integers.
        integers: bool,
    },
}

impl StoredError {
    /// What is wrong, without numbers: for devices that do without `core::fmt`.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Version { .. } => {
                "the front end is of another version of the format: update the firmware, or make the image by its version of toeplite"
            }
            Self::Arithmetic => "the front end has an arithmetic that is not known",
            Self::Config(error) => error.message(),
            Self::Length => "the front end has another length than its settings ask for",
            Self::Misaligned => "the front end does not lie at a multiple of 4",
            Self::Table { .. } => "a table of the front end has numbers out of range",
            Self::OtherArithmetic { integers: true } => {
                "the front end computes in integers, the firmware in floats: make the image again, by `toeplite image --board` of this version"
            }
            Self::OtherArithmetic { integers: false } => {
                "the front end computes in floats, the firmware in integers: make the image again, by `toeplite image --board` of this version"
            }
        }
    }
}

impl From<ConfigError> for StoredError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl fmt::Display for StoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())?;
        match self {
            Self::Version { found } => write!(f, " (version {found})"),
            Self::Table { what } => write!(f, ": {what}"),
            _ => Ok(()),
        }
    }
}

impl core::error::Error for StoredError {}
