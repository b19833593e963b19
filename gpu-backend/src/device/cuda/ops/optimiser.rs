//! Sum of squares and AdamW.

use super::{arguments, expect};
use crate::device::cuda::Cuda;
use crate::device::cuda::memory::F32;
use crate::device::{AdamW, Optimiser, Result};
use std::ops::Range;

/// Threads of a block.
const THREADS: usize = 256;
/// Partial sums of squares, at most.
const PARTS: usize = 1024;

impl Cuda {
    pub(in crate::device::cuda) fn run_sum_squares(
        &self,
        x: &F32,
        range: Range<usize>,
        sums: &mut F32,
        at: usize,
    ) -> Result<()> {
        expect("x", x.len(), range.end);
        expect("sums", sums.len(), at + 1);
        let fits = range.start.is_multiple_of(4) && range.len().is_multiple_of(4);
        let (kernel, vector) = match fits {
            true => ("sum_squares_v", 4),
            false => ("sum_squares_s", 1),
        };
        let parts = range.len().div_ceil(THREADS * vector).min(PARTS);
        let partials = self.scratch(PARTS * 4)?;
        self.launch(
            "sum_squares",
            kernel,
            [parts, 1, 1],
            (THREADS, 0),
            arguments![x.address(range.start), partials, range.len()],
        )?;
        self.launch(
            "sum_squares",
            "reduce_all",
            [1, 1, 1],
            (THREADS, 0),
            arguments![partials, sums.address(at), parts as i32],
        )
    }

    pub(in crate::device::cuda) fn run_adamw(
        &self,
        state: AdamW<'_, Self>,
        range: Range<usize>,
        decay: bool,
    ) -> Result<()> {
        expect("hyper", state.hyper.len(), Optimiser::LEN);
        expect("copy", state.copy.len(), range.end);
        for buffer in [
            &*state.parameters,
            state.gradients,
            &*state.first,
            &*state.second,
        ] {
            expect("the optimiser's buffers", buffer.len(), range.end);
        }
        let (variant, vector) = self.flat_variant(&range);
        self.launch(
            "adamw",
            &format!("adamw_{variant}"),
            [range.len().div_ceil(THREADS * vector), 1, 1],
            (THREADS, 0),
            arguments![
                state.parameters.address(range.start),
                state.copy.address(range.start),
                state.gradients.address(range.start),
                state.first.address(range.start),
                state.second.address(range.start),
                state.hyper.address(0),
                range.len(),
                i32::from(decay)
            ],
        )
    }
}
