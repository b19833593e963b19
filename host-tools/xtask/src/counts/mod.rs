//! Instructions of the runtime's kernels and of whole tokens on every core, and the record of them
//! that changes are held against.

pub mod classifier;
pub mod measure;
pub mod record;
pub mod table;
mod tool;

pub use tool::{compiler, qemu};

use crate::elf::Function;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Names of the cores, those of `toeplite convert --target`, and the boards that stand for them.
pub const TARGETS: [(&str, &str); 5] = [
    ("m4", "mps2-an386"),
    ("m55", "mps3-an547"),
    ("m0", "microbit"),
    ("m3", "lm3s6965evb"),
    ("rv32", "virt-rv32"),
];

/// The bundled checkpoint that fits every target.
pub const SMALL: &str = "shakespeare-32x2";
/// The bundled checkpoint that is counted on [`LARGE_TARGET`] beside.
pub const LARGE: &str = "shakespeare-64x9";
/// The target with room for [`LARGE`] whose counts matter most.
pub const LARGE_TARGET: &str = "m4";

/// All that was counted, and by what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// What compiled the firmware.
    pub compiler: String,
    /// What ran it.
    pub qemu: String,
    /// Kernels on their own.
    pub kernels: Vec<Kernel>,
    /// Whole tokens.
    pub tokens: Vec<Token>,
    /// What the text example takes, with [`SMALL`] in flash.
    pub sizes: Vec<Size>,
}

/// A call of a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// One of [`TARGETS`].
    pub target: String,
    /// Kernel and shape.
    pub case: String,
    /// Numeric contract: `f32`, `fixed`, or `both` where it is the same.
    pub contract: String,
    /// Instructions of the call.
    pub instructions: u64,
    /// Multiplications that are summed; 0 where the kernel does something else.
    pub macs: u64,
}

/// A token: a step of a session, and the choice of the next token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// One of [`TARGETS`].
    pub target: String,
    /// Name of the checkpoint or of the model's file.
    pub model: String,
    /// Numeric contract.
    pub contract: String,
    /// Type of the weights.
    pub weights: String,
    /// All instructions.
    pub instructions: u64,
    /// Instructions a token where eight are taken by `prefill_in_blocks`, with the head after the last.
    pub prefill: u64,
    /// Weights of the matrices that a token is multiplied with, the head's among them.
    pub macs: u64,
    /// Instructions of every stage.
    pub stages: BTreeMap<String, u64>,
}

/// Bytes that the text example takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Size {
    /// One of [`TARGETS`].
    pub target: String,
    /// Numeric contract.
    pub contract: String,
    /// Vectors and code.
    pub text: u64,
    /// Constants without the model.
    pub rodata: u64,
    /// All variables, the session's memory among them.
    pub ram: u64,
    /// Most of the stack that was in use.
    pub stack: u64,
    /// Of the code, functions of the runtime.
    pub runtime: u64,
    /// All functions, the largest first.
    pub functions: Vec<Function>,
}
