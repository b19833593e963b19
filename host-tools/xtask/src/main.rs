//! `cargo xtask`: the one door for chores.

mod bench;
mod demo;
mod listen;
mod msrv;
mod sense;
mod size;
mod test;

use anyhow::Result;
use clap::Parser;

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", about)]
enum Chore {
    /// Makes QEMU and the toolchain for bare-metal targets available, saying what it installs.
    Setup {
        /// Also Chromium, NVRTC, and what the firmware of real boards depends on, which only the tests need.
        #[arg(long)]
        tests: bool,
    },
    /// Converts a bundled checkpoint, builds the firmware, and streams text from an emulated device.
    Demo(demo::Demo),
    /// Spots keywords in wav files on emulated devices, and checks that the host hears the same.
    Listen(listen::Listen),
    /// Tells activities apart in a sensor's recordings on an emulated device, and checks that the host does the same.
    Sense(sense::Sense),
    /// Checks everything: format, lints, documentation, all tests, firmware on all boards.
    Test,
    /// Shows what the firmware takes of flash and RAM on every board.
    Size,
    /// Counts the instructions of kernels and of whole tokens on every core.
    Bench(bench::Bench),
}

fn main() -> Result<()> {
    match Chore::parse() {
        Chore::Setup { tests } => {
            xtask::setup::everything()?;
            if tests {
                xtask::setup::browser()?;
                xtask::nvrtc::setup()?;
                xtask::hardware::fetch()?;
            }
            Ok(())
        }
        Chore::Demo(demo) => demo.run(),
        Chore::Listen(listen) => listen.run(),
        Chore::Sense(sense) => sense.run(),
        Chore::Test => test::run(),
        Chore::Size => size::run(),
        Chore::Bench(bench) => bench.run(),
    }
}
