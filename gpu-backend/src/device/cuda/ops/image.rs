//! Kernels along the columns of images, and the sum of two products: see image.cu.

use super::{arguments, expect};
use crate::device::Result;
use crate::device::cuda::Cuda;
use crate::device::cuda::memory::{Act, F32};

/// Threads of a block.
const THREADS: usize = 256;

impl Cuda {
    pub(in crate::device::cuda) fn run_spread(&self, from: &F32, to: &mut F32) -> Result<()> {
        let step = to.len() / from.len();
        expect("to", to.len(), step * from.len());
        self.strided("spread", from, to, step)
    }

    pub(in crate::device::cuda) fn run_gather(&self, from: &F32, to: &mut F32) -> Result<()> {
        let step = from.len() / to.len();
        expect("from", from.len(), step * to.len());
        self.strided("gather", from, to, step)
    }

    fn strided(
        &self,
        operation: &'static str,
        from: &F32,
        to: &mut F32,
        step: usize,
    ) -> Result<()> {
        self.launch(
            operation,
            operation,
            [to.len().div_ceil(THREADS), 1, 1],
            (THREADS, 0),
            arguments![from.address(0), to.address(0), step, to.len()],
        )
    }

    pub(in crate::device::cuda) fn run_add(&self, from: &Act, to: &mut Act) -> Result<()> {
        expect("to", to.len(), from.len());
        let (variant, vector) = self.flat_variant(&(0..to.len()));
        self.launch(
            "add",
            &format!("add_{variant}"),
            [to.len().div_ceil(THREADS * vector), 1, 1],
            (THREADS, 0),
            arguments![from.address(0), to.address(0), to.len()],
        )
    }
}
