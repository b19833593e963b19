//! The operations: which kernels with which grids.

mod elementwise;
mod embedding;
mod head;
mod image;
mod norm;
mod optimiser;
mod product;
mod rpe;
mod ski;

use super::Cuda;
use super::machine::{Address, Argument, Element, Launch};
use crate::device::{Activation, DeviceError, Result};

/// Arguments of a kernel, each converted.
macro_rules! arguments {
    ($($value:expr),* $(,)?) => { &[$($crate::device::cuda::machine::Argument::from($value)),*] };
}
pub(in crate::device::cuda) use arguments;

/// Address of what is not there.
pub(super) const NOWHERE: Address = 0;

/// Largest second dimension of a grid.
const MOST_ROWS: usize = 65_535;

/// The number by which kernels know an activation.
pub(super) fn activation(act: Activation) -> i32 {
    match act {
        Activation::None => 0,
        Activation::Silu => 1,
        Activation::Relu => 2,
        Activation::Gelu => 3,
    }
}

impl Cuda {
    /// Starts a kernel; the caller has checked that the arguments lead to enough memory.
    pub(in crate::device::cuda) fn launch(
        &self,
        operation: &'static str,
        kernel: &str,
        grid: [usize; 3],
        (block, shared): (usize, usize),
        arguments: &[Argument],
    ) -> Result<()> {
        if grid.contains(&0) {
            return Ok(());
        }
        if grid[1] > MOST_ROWS || grid[2] > MOST_ROWS {
            return Err(DeviceError::Unsupported {
                operation,
                reason: format!("{} rows; CUDA launches at most {MOST_ROWS}", grid[1]),
            });
        }
        let launch = Launch {
            kernel,
            grid: grid.map(|blocks| blocks as u32),
            block: block as u32,
            shared: shared as u32,
            arguments,
        };
        // SAFETY: arguments are made beside each kernel's name, in its order and types, from
        // buffers whose lengths `expect` has checked.
        unsafe { self.machine().launch(&launch) }.map_err(|fault| self.failed(operation, fault))
    }

    /// Elements that one thread moves at once.
    fn vector(&self) -> usize {
        16 / self.element.bytes()
    }

    /// The end of a kernel's name: the type of activations, and `_v` where vectors of 16 bytes fit
    /// (rows of `width` elements from `addresses` on), else `_s`; and the elements of a thread.
    fn variant(&self, width: usize, addresses: &[Address]) -> (&'static str, usize) {
        let vector = self.vector();
        let fits = width.is_multiple_of(vector) && addresses.iter().all(|at| at.is_multiple_of(16));
        match (self.element, fits) {
            (Element::F32, true) => ("f32_v", vector),
            (Element::F32, false) => ("f32_s", 1),
            (Element::Bf16, true) => ("bf16_v", vector),
            (Element::Bf16, false) => ("bf16_s", 1),
        }
    }

    /// The type of activations in kernels' names.
    fn type_name(&self) -> &'static str {
        match self.element {
            Element::F32 => "f32",
            Element::Bf16 => "bf16",
        }
    }
}

/// Panics unless a buffer has room for what an operation touches: the kernels do not check.
#[track_caller]
pub(super) fn expect(what: &str, len: usize, needed: usize) {
    assert!(
        len >= needed,
        "{what} has {len} elements, {needed} are needed"
    );
}
