//! What the chores and the end-to-end tests share: converting checkpoints, building firmware,
//! running it in QEMU, and looking at what came out; and the compiler that GPU kernels are tested by.

pub mod boards;
pub mod browser;
pub mod command;
pub mod counts;
pub mod elf;
pub mod firmware;
pub mod hardware;
pub mod host;
pub mod keyword;
pub mod model;
pub mod nvrtc;
pub mod paths;
pub mod qemu;
pub mod recordings;
pub mod report;
pub mod sensor;
pub mod setup;
