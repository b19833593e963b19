//! Products of a matrix of small integers with a vector of them: nearly all the work of a token.
//!
//! A product is split in three. [`quantize`](super::quantize) makes integers of the activations, in
//! the form that the kernel reads. [`product`] sums: `sums[r] = sum over c of w[r, c] * q[c]`, exact
//! in i32, so that whatever order a kernel adds in, the bits are the same. The contract's arithmetic
//! comes after that, in [`Matrix`](crate::matrix::Matrix).
//!
//! What the blob's [`WeightOrder`] says is how the weights lie, and with them the activations:
//!
//! | order | weights | activations | kernels |
//! | --- | --- | --- | --- |
//! | portable | row-major bytes | bytes | [`rows`], plain Rust; MVE; Armv6-M; Armv7-M; RV32 |
//! | dual | two rows a 16-bit lane | 16 bits each, zeros up to a multiple of 8 | [`dual`], plain Rust; Armv7E-M DSP |
//!
//! Kernels of single cores are chosen when the crate is compiled (`build.rs`). All `unsafe` of the
//! crate is in their files.

use crate::format::WeightOrder;

pub mod dual;
pub mod rows;
mod scale;

pub(crate) use scale::scale;

// Kernels for single cores.
#[cfg(toeplite_dsp)]
mod dsp;
#[cfg(toeplite_mve)]
mod mve;
#[cfg(toeplite_mve_float)]
pub(crate) mod mve_float;
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

/// The target that weights are to be packed for to be the fastest here, as `toeplite convert` names
/// it.
pub const TARGET: &str = if cfg!(toeplite_dsp) {
    "m4"
} else if cfg!(toeplite_mve) {
    "m55"
} else if cfg!(toeplite_thumb1) {
    "m0"
} else if cfg!(all(target_arch = "arm", target_os = "none")) {
    "m3"
} else if cfg!(target_arch = "riscv32") {
    "rv32"
} else {
    "portable"
};

/// `sums[r] = sum over c of w[r, c] * q[c]`: the exact sums of all rows, as many as there are `sums`.
///
/// `weights` are a matrix of so many rows and `columns` in `order`, `q` are activations as
/// [`quantize`](super::quantize) stores them for that order, all in -127..=127. Does nothing if the
/// slices are too short for that.
pub(crate) fn product(
    order: WeightOrder,
    weights: &[i8],
    columns: usize,
    q: &[u32],
    sums: &mut [i32],
) {
    match order {
        WeightOrder::Portable => {
            let q = bytemuck::try_cast_slice(q).unwrap_or(&[]);
            if let Some(q) = q.get(..columns) {
                portable(weights, q, sums);
            }
        }
        WeightOrder::Dual => {
            let weights = bytemuck::try_cast_slice(weights).unwrap_or(&[]);
            if let Some(q) = q.get(..order.quantized_words(columns)) {
                #[cfg(toeplite_dsp)]
                dsp::product(weights, q, sums);
                #[cfg(not(toeplite_dsp))]
                dual::product(weights, q, sums);
            }
        }
    }
}
