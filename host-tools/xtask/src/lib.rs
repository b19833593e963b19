//! What the chores and the end-to-end tests share: converting checkpoints, building firmware,
//! running it in QEMU, and looking at what came out.

pub mod boards;
pub mod command;
pub mod elf;
pub mod firmware;
pub mod host;
pub mod model;
pub mod paths;
pub mod qemu;
pub mod report;
pub mod setup;
