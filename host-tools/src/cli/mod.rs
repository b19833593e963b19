//! The subcommands of `toeplite`, one a file.

pub mod reference;
