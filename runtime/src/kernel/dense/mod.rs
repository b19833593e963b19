//! Products of a matrix of small integers with a vector of them: nearly all the work of a token.
//!
//! A product is split in three. [`quantize`](super::quantize) makes integers of the activations, in
//! the form that the kernel reads. `product` sums: `sums[r] = sum over c of w[r, c] * q[c]`, exact
//! in i32, so that whatever order a kernel adds in, the bits are the same. The contract's arithmetic
//! comes after that, in [`Matrix`](crate::matrix::Matrix).
//!
//! How the weights lie, and with them the activations, follows from the blob's [`WeightOrder`] and the
//! type of the weights:
//!
//! | order, type | weights | activations | kernels |
//! | --- | --- | --- | --- |
//! | portable, int8 | row-major bytes | bytes | [`rows`], plain Rust; MVE; Armv6-M; Armv7-M; RV32 |
//! | dual, int8 | two rows a 16-bit lane | 16 bits each, zeros up to a multiple of 8 | [`dual`], plain Rust; Armv7E-M DSP |
//! | portable, int4 | four rows of 32 columns, row by row | bytes or pairs | [`int4`], plain Rust; MVE |
//! | dual, int4 | four rows a 16-bit lane | 16 bits each | [`int4`], plain Rust; Armv7E-M DSP |
//!
//! Prefill takes two tokens at a time, by kernels of their own, in `two`.
//!
//! Kernels of single cores are chosen when the crate is compiled (`build.rs`). All `unsafe` of the
//! crate is in their files and in `kernel/vfp.rs`.

use crate::format::{Packing, WeightOrder};
use int4::Activations;

pub mod dual;
pub mod int4;
pub mod rows;
mod scale;
pub(crate) mod two;

pub(crate) use scale::scale;
pub(crate) use two::product as product_of_two;

/// What assembly with DSP instructions begins with: of Armv8-M it does not know by itself that the core
/// has them.
#[cfg(toeplite_dsp)]
macro_rules! dsp_core {
    () => {
        if_armv8m!(".cpu cortex-m33")
    };
}
#[cfg(all(toeplite_dsp, toeplite_armv8m))]
macro_rules! if_armv8m {
    ($directive:literal) => {
        $directive
    };
}
#[cfg(all(toeplite_dsp, not(toeplite_armv8m)))]
macro_rules! if_armv8m {
    ($directive:literal) => {
        ""
    };
}

// Kernels for single cores.
#[cfg(toeplite_dsp)]
mod dsp;
#[cfg(toeplite_dsp)]
mod dsp4;
#[cfg(all(toeplite_dsp, feature = "int4"))]
mod dsp4_two;
#[cfg(toeplite_dsp_float)]
pub(crate) mod dsp_float;
#[cfg(toeplite_dsp)]
mod dsp_two;
#[cfg(toeplite_mve)]
mod mve;
#[cfg(toeplite_mve)]
mod mve4;
#[cfg(all(toeplite_mve, feature = "int4"))]
mod mve4_two;
#[cfg(toeplite_mve_float)]
pub(crate) mod mve_float;
#[cfg(toeplite_mve)]
mod mve_two;
#[cfg(toeplite_rv32m)]
mod rv32;
#[cfg(any(toeplite_thumb1, toeplite_thumb2, toeplite_rv32m))]
mod scalar;
#[cfg(toeplite_thumb1)]
mod thumb1;
#[cfg(toeplite_thumb2)]
mod thumb2;

#[cfg(toeplite_mve)]
use mve::product as portable;
#[cfg(not(any(toeplite_mve, toeplite_thumb1, toeplite_thumb2, toeplite_rv32m)))]
use rows::by_one as portable;
#[cfg(any(toeplite_thumb1, toeplite_thumb2, toeplite_rv32m))]
use scalar::product as portable;

#[cfg(toeplite_dsp)]
pub(crate) use dsp::largest_of_eights;

/// The order whose kernels are the fastest on the target that the crate is compiled for.
pub const BEST_ORDER: WeightOrder = if cfg!(toeplite_dsp) {
    WeightOrder::Dual
} else {
    WeightOrder::Portable
};

/// Whether this build has a kernel for `order`. A host has one for each, to check what devices
/// compute; elsewhere the kernel of another core's order would be slower than the portable one.
pub const fn can_read(order: WeightOrder) -> bool {
    match order {
        WeightOrder::Portable => true,
        WeightOrder::Dual => cfg!(any(toeplite_dsp, not(target_os = "none"))),
    }
}

/// Whether this build has a kernel for `packing`. No checked model has another: asking again leaves
/// out the code for it.
pub(crate) const fn is_read(packing: Packing) -> bool {
    match packing {
        Packing::Rows => can_read(WeightOrder::Portable),
        Packing::Dual => can_read(WeightOrder::Dual),
        Packing::Groups => cfg!(feature = "int4") && can_read(WeightOrder::Portable),
        Packing::Quad => cfg!(feature = "int4") && can_read(WeightOrder::Dual),
    }
}

/// The target that weights are to be packed for to be the fastest here, as `toeplite convert` names
/// it.
pub const TARGET: &str = if cfg!(toeplite_dsp) {
    "m4"
} else if cfg!(toeplite_mve) {
    "m55"
} else if cfg!(toeplite_thumb1) {
    "m0"
} else if cfg!(toeplite_thumb2) {
    "m3"
} else if cfg!(target_arch = "riscv32") {
    "rv32"
} else {
    "portable"
};

/// How activations lie for int4 weights in the portable order.
#[cfg(any(toeplite_thumb1, toeplite_thumb2, toeplite_rv32m))]
pub(crate) type Groups = int4::Pairs;
/// How activations lie for int4 weights in the portable order.
#[cfg(not(any(toeplite_thumb1, toeplite_thumb2, toeplite_rv32m)))]
pub(crate) type Groups = int4::Bytes;

/// `sums[r] = sum over c of w[r, c] * q[c]`: the exact sums of all rows, as many as there are `sums`.
///
/// `weights` are a matrix of so many rows and `columns`, `q` are activations in -127..=127 as
/// [`quantize`](super::quantize) stores them for the same packing. Does nothing if the slices are too
/// short for that.
pub(crate) fn product(
    packing: Packing,
    weights: &[i8],
    columns: usize,
    q: &[u32],
    sums: &mut [i32],
) {
    let words = || bytemuck::try_cast_slice(weights).unwrap_or(&[]);
    let Some(q) = q.get(..packing.quantized_words(columns)) else {
        return;
    };
    match packing {
        _ if !is_read(packing) => {}
        Packing::Rows => {
            let q = bytemuck::try_cast_slice(q).unwrap_or(&[]);
            if let Some(q) = q.get(..columns) {
                portable(weights, q, sums);
            }
        }
        Packing::Dual => {
            #[cfg(toeplite_dsp)]
            dsp::product(words(), q, sums);
            #[cfg(not(toeplite_dsp))]
            dual::product(words(), q, sums);
        }
        Packing::Groups => {
            #[cfg(toeplite_mve)]
            mve4::product(words(), q, sums);
            #[cfg(not(toeplite_mve))]
            int4::product(words(), q, sums, Groups::add);
        }
        Packing::Quad => {
            #[cfg(toeplite_dsp)]
            dsp4::product(words(), q, sums);
            #[cfg(not(toeplite_dsp))]
            int4::product(words(), q, sums, int4::Lanes::add);
        }
    }
}
