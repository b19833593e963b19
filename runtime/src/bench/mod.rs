//! The kernels, each with data to run on, for `cargo xtask bench` (feature `bench`). No part of the
//! stable interface.
//!
//! The same cases run on the host and on a device: the results must be the same to the bit, and
//! only the device's instructions are counted. Inputs go through [`black_box`], so that nothing is
//! computed at compile time and no shape is known to the compiler.
//!
//! [`black_box`]: core::hint::black_box

#[cfg(feature = "fft")]
mod convolution;
pub(crate) mod data;
mod f32;
mod products;
#[cfg(test)]
mod tests;
mod two;

use crate::format::Packing;
use crate::hash::LogitsHash;
use crate::kernel::dense::BEST_ORDER;
use crate::layer::Counts;
use data::floats;

/// Most channels of a case.
pub const CHANNELS: usize = 384;
/// Channels of the recurrence where there is no RAM for more.
pub const FEW_CHANNELS: usize = 96;
const TAPS: usize = 4;
const STATES: usize = 8;
/// Longest input or result.
const LONGEST: usize = 512;
/// Words of the longest quantized vector.
const QUANTIZED: usize = INT4.quantized_words(1100);
/// How int8 and int4 matrices lie for the kernels that are the fastest here.
pub(crate) const INT8: Packing = BEST_ORDER.int8();
pub(crate) const INT4: Packing = BEST_ORDER.int4();
/// Steps before the one that is counted: all taps and states have numbers in them.
pub(crate) const WARM_UP: usize = 6;

/// Whole products with int8 weights: rows and columns.
pub(crate) const INT8_SHAPES: [(&str, [usize; 2]); 4] = [
    ("int8 256x256", [256, 256]),
    ("int8 64x256", [64, 256]),
    ("int8 128x512", [128, 512]),
    ("int8 64x64", [64, 64]),
];

/// A layer's Toeplitz operator, its poles shared by all channels.
pub(crate) struct Operator {
    pub name: &'static str,
    pub channels: usize,
    pub taps: usize,
    /// Modes with a real pole.
    pub real: usize,
    /// Modes with a complex one.
    pub complex: usize,
}

/// For what is rare: a last block of fewer than four channels, few or many taps, none, real modes,
/// complex ones in odd and even number.
const RARE_OPERATORS: [Operator; 4] = [
    operator("recurrence 13x3+5", 13, [3, 1, 2]),
    operator("recurrence 10x7+2", 10, [7, 2, 0]),
    operator("recurrence 8x0+8", 8, [0, 2, 3]),
    operator("recurrence 4x4+0", 4, [4, 0, 0]),
];

const fn operator(
    name: &'static str,
    channels: usize,
    [taps, real, complex]: [usize; 3],
) -> Operator {
    Operator {
        name,
        channels,
        taps,
        real,
        complex,
    }
}

/// Words of state of the recurrence over so many channels.
pub const fn state_words(channels: usize) -> usize {
    channels * (TAPS + STATES)
}

/// Words of state that are enough for every case.
pub const MOST_WORDS: usize = {
    #[cfg(feature = "fft")]
    let convolutions = convolution::words();
    #[cfg(not(feature = "fft"))]
    let convolutions = 0;
    match convolutions > state_words(CHANNELS) {
        true => convolutions,
        false => state_words(CHANNELS),
    }
};

/// Whose numbers a case computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contract {
    /// Floats.
    F32,
    /// Integers only.
    Fixed,
    /// The contracts have it in common.
    Both,
}

impl Contract {
    /// As it is printed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Fixed => "fixed",
            Self::Both => "both",
        }
    }
}

/// A kernel and a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Kernel and shape; matrices as rows x columns.
    pub name: &'static str,
    /// Whose numbers these are.
    pub contract: Contract,
    /// Multiplications that are summed; 0 where that is not what the kernel does.
    pub macs: u32,
}

impl Case {
    pub(crate) fn new(name: &'static str, contract: Contract, macs: usize) -> Self {
        Self {
            name,
            contract,
            macs: macs as u32,
        }
    }
}

/// Counts the cases.
pub trait Meter {
    /// Runs `work` once, and counts what it takes.
    fn count(&mut self, case: Case, work: impl FnOnce());

    /// The hash of what the work that was just counted has computed.
    fn result(&mut self, case: Case, hash: u64);
}

/// What the cases write to.
#[derive(Clone, Copy, Debug)]
pub struct Buffers<const STATE_WORDS: usize> {
    x: [f32; LONGEST],
    y: [f32; LONGEST],
    quantized: [u32; QUANTIZED],
    state: [f32; STATE_WORDS],
}

impl<const STATE_WORDS: usize> Buffers<STATE_WORDS> {
    /// Zeros.
    pub const fn new() -> Self {
        Self {
            x: [0.0; LONGEST],
            y: [0.0; LONGEST],
            quantized: [0; QUANTIZED],
            state: [0.0; STATE_WORDS],
        }
    }

    /// Runs all cases of `contract`; the recurrence over [`CHANNELS`] channels if [`state_words`] of
    /// them are there, else over [`FEW_CHANNELS`]; long FIR heads (feature `fft`) if there are [`MOST_WORDS`].
    ///
    /// Beside those of `Fixed` come those that only `F32` has, weights that are not quantized: a core without
    /// an FPU runs such models in floats.
    pub fn run(&mut self, contract: Contract, meter: &mut impl Meter) {
        let mut bench = Bench {
            meter,
            x: &mut self.x,
            y: &mut self.y,
            quantized: &mut self.quantized,
            state: &mut self.state,
        };
        bench.products();
        if contract == Contract::Fixed {
            bench.fixed();
        } else {
            bench.f32();
        }
        bench.only_f32();
        bench.two();
    }
}

impl<const STATE_WORDS: usize> Default for Buffers<STATE_WORDS> {
    fn default() -> Self {
        Self::new()
    }
}

/// The buffers, as cases of both contracts take them: those of `Fixed` put integers into them.
pub(crate) struct Bench<'m, M> {
    pub(crate) meter: &'m mut M,
    pub(crate) x: &'m mut [f32; LONGEST],
    pub(crate) y: &'m mut [f32; LONGEST],
    pub(crate) quantized: &'m mut [u32; QUANTIZED],
    pub(crate) state: &'m mut [f32],
}

impl<M: Meter> Bench<'_, M> {
    /// The operators of the recurrence cases: first the one that is measured.
    pub(crate) fn operators(&self) -> impl Iterator<Item = Operator> + use<M> {
        let measured = if self.state.len() >= state_words(CHANNELS) {
            operator("recurrence 384x4+8", CHANNELS, [TAPS, 0, STATES / 2])
        } else {
            operator("recurrence 96x4+8", FEW_CHANNELS, [TAPS, 0, STATES / 2])
        };
        [measured].into_iter().chain(RARE_OPERATORS)
    }

    /// The result of `case`: the first `length` of `y`.
    pub(crate) fn finish_y(&mut self, case: Case, length: usize) {
        let hash = hash(self.y.get(..length).unwrap_or_default());
        self.meter.result(case, hash);
    }

    /// The result of `case`: some numbers.
    pub(crate) fn finish(&mut self, case: Case, numbers: &[f32]) {
        self.meter.result(case, hash(numbers));
    }
}

impl Operator {
    /// Taps and modes.
    pub(crate) fn counts(&self) -> Counts {
        Counts {
            taps: self.taps,
            real: self.real,
            complex: self.complex,
            has_channel_decay: false,
        }
    }

    /// The case of its step.
    pub(crate) fn case(&self, contract: Contract) -> Case {
        let macs = self.taps + 2 * self.real + 5 * self.complex;
        Case::new(self.name, contract, self.channels * macs)
    }
}

/// The first `length` of `buffer`, with numbers in them.
fn filled(buffer: &mut [f32], length: usize) -> &mut [f32] {
    let buffer = buffer.get_mut(..length).unwrap_or_default();
    buffer.copy_from_slice(floats(buffer.len(), 1800));
    core::hint::black_box(buffer)
}

fn hash(numbers: &[f32]) -> u64 {
    let mut hash = LogitsHash::new();
    hash.update(numbers);
    hash.finish()
}

/// Floats as integers of the same bits, to put integers there.
pub(crate) fn bits(numbers: &mut [f32]) -> &mut [i32] {
    bytemuck::try_cast_slice_mut(numbers).unwrap_or_default()
}
