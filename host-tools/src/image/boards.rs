//! The boards that firmware-examples has, and where their models go.

use super::{Format, Partition};

/// How a board is flashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flasher {
    /// `probe-rs`, by the chip's name.
    ProbeRs {
        /// As `probe-rs chip list` has it.
        chip: &'static str,
    },
    /// A drive that takes UF2, or `probe-rs`.
    Drive {
        /// The family in its UF2 files.
        family: u32,
        /// As `probe-rs chip list` has it.
        chip: &'static str,
    },
    /// `espflash`, with addresses of the flash, not of memory.
    Espflash,
    /// QEMU's `-device loader`.
    Qemu,
}

/// A board, its partition, and what its firmware computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// As `--board` takes it: the folder's name in firmware-examples.
    pub name: &'static str,
    /// The core, as people call it.
    pub core: &'static str,
    /// The core, as `toeplite convert --target` calls it.
    pub target: &'static str,
    /// Whether the core has instructions for the weights' order of Cortex-M4, M7 and M33.
    pub dsp: bool,
    /// The numeric contract of its firmware.
    pub contract: &'static str,
    /// Where a model goes.
    pub partition: Partition,
    /// How it gets there.
    pub flasher: Flasher,
}

impl Board {
    /// The kind of file that is easiest to flash.
    pub fn format(&self) -> Format {
        match self.flasher {
            Flasher::ProbeRs { .. } => Format::Hex,
            Flasher::Drive { .. } => Format::Uf2,
            Flasher::Espflash | Flasher::Qemu => Format::Bin,
        }
    }

    /// The family of its UF2 files, if it takes any.
    pub fn family(&self) -> Option<u32> {
        match self.flasher {
            Flasher::Drive { family, .. } => Some(family),
            _ => None,
        }
    }

    /// What to type to flash `file`.
    pub fn command(&self, format: Format, file: &str) -> String {
        let address = self.partition.address;
        match (self.flasher, format) {
            (Flasher::Drive { .. }, Format::Uf2) => format!(
                "picotool load {file} && picotool reboot    (or hold BOOTSEL, plug in, copy {file} to the drive)"
            ),
            (Flasher::ProbeRs { chip } | Flasher::Drive { chip, .. }, _) => {
                let base = match format {
                    Format::Bin => format!(" --base-address {address:#x}"),
                    _ => String::new(),
                };
                let format = format.name();
                format!(
                    "probe-rs download --chip {chip} --binary-format {format}{base} {file} && probe-rs reset --chip {chip}"
                )
            }
            (Flasher::Espflash, _) => format!("espflash write-bin {address:#x} {file}"),
            (Flasher::Qemu, _) => {
                format!("qemu ... -device loader,file={file},addr={address:#x},force-raw=on")
            }
        }
    }
}

const fn probe(
    name: &'static str,
    core: &'static str,
    chip: &'static str,
    address: u32,
    size: u32,
) -> Board {
    Board {
        name,
        core,
        target: "m4",
        dsp: true,
        contract: "f32",
        partition: Partition { address, size },
        flasher: Flasher::ProbeRs { chip },
    }
}

const fn emulated(
    name: &'static str,
    [core, target, contract]: [&'static str; 3],
    dsp: bool,
    address: u32,
    size: u32,
) -> Board {
    Board {
        name,
        core,
        target,
        dsp,
        contract,
        partition: Partition { address, size },
        flasher: Flasher::Qemu,
    }
}

const KB: u32 = 1 << 10;
const MB: u32 = 1 << 20;

/// All boards: real ones, then those that QEMU emulates. Their `memory.x` have the same partitions.
pub const BOARDS: [Board; 12] = [
    probe(
        "nrf52840-dk",
        "Cortex-M4F",
        "nRF52840_xxAA",
        0x0008_0000,
        512 * KB,
    ),
    probe(
        "nucleo-l4r5zi",
        "Cortex-M4F",
        "STM32L4R5ZITx",
        0x0810_0000,
        MB,
    ),
    probe(
        "nucleo-f446re",
        "Cortex-M4F",
        "STM32F446RETx",
        0x0804_0000,
        256 * KB,
    ),
    Board {
        name: "pico",
        core: "Cortex-M0+",
        target: "m0",
        dsp: false,
        contract: "fixed",
        partition: Partition {
            address: 0x1010_0000,
            size: MB,
        },
        flasher: Flasher::Drive {
            family: super::RP2040,
            chip: "RP2040",
        },
    },
    Board {
        name: "pico-2",
        core: "Cortex-M33",
        target: "m33",
        dsp: true,
        contract: "f32",
        partition: Partition {
            address: 0x1020_0000,
            size: 2 * MB,
        },
        flasher: Flasher::Drive {
            family: super::RP2350_ARM_S,
            chip: "RP235x",
        },
    },
    Board {
        name: "esp32-c3",
        core: "RV32IMC",
        target: "rv32",
        dsp: false,
        contract: "fixed",
        partition: Partition {
            address: 0x0021_0000,
            size: 128 * KB,
        },
        flasher: Flasher::Espflash,
    },
    emulated(
        "mps2-an386",
        ["Cortex-M4F", "m4", "f32"],
        true,
        0x2100_0000,
        MB,
    ),
    emulated(
        "mps2-an500",
        ["Cortex-M7", "m7", "f32"],
        true,
        0x6000_0000,
        MB,
    ),
    emulated(
        "mps3-an547",
        ["Cortex-M55", "m55", "f32"],
        false,
        0x1100_0000,
        MB,
    ),
    emulated(
        "lm3s6965evb",
        ["Cortex-M3", "m3", "fixed"],
        false,
        0x0003_0000,
        64 * KB,
    ),
    emulated(
        "microbit",
        ["Cortex-M0", "m0", "fixed"],
        false,
        0x0003_0000,
        64 * KB,
    ),
    emulated(
        "virt-rv32",
        ["RV32IMAC", "rv32", "fixed"],
        false,
        0x8100_0000,
        MB,
    ),
];

/// The board of that name.
pub fn board(name: &str) -> Option<&'static Board> {
    BOARDS.iter().find(|board| board.name == name)
}
