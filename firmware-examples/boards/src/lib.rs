//! What an application needs from a board in QEMU: start-up, a console, an exact count of
//! instructions, memory figures and an exit status.
//!
//! A board is a cargo feature of this crate and a folder of the same name with two files: `memory.x`
//! (memory map for the linker) and `config.toml` (target and runner for cargo). Nothing in this crate
//! panics, allocates or formats with `core::fmt` outside of the panic handler, so that a binary
//! without any panic path can be made with it.
#![no_std]

mod board;
mod command_line;
mod console;
mod file;
pub mod footprint;
pub mod instructions;
mod panic;
pub mod report;
mod semihosting;

pub use board::{BOARD, Board};
pub use command_line::{Arguments, Escaped, command_line, decimal, integer, number, share};
pub use console::{Console, exit};
pub use file::File;

#[cfg(target_arch = "arm")]
pub use cortex_m_rt::entry;
#[cfg(target_arch = "riscv32")]
pub use riscv_rt::entry;

#[cfg(target_arch = "arm")]
use cortex_m as _; // the critical section
#[cfg(all(feature = "defmt", target_arch = "arm"))]
use defmt_semihosting as _;
#[cfg(target_arch = "riscv32")]
use riscv as _; // the critical section

#[cfg(all(feature = "defmt", not(target_arch = "arm")))]
compile_error!("defmt-semihosting supports Cortex-M only: drop the feature `defmt` on this board");
