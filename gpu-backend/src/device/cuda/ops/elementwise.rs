//! Gates, dropout, pooling, casts.

use super::{NOWHERE, activation, arguments, expect};
use crate::device::cuda::Cuda;
use crate::device::cuda::memory::{Act, F32};
use crate::device::{Activation, HIDDEN, Result};
use std::ops::Range;

/// Threads of a block.
const THREADS: usize = 256;

impl Cuda {
    pub(in crate::device::cuda) fn run_gate(
        &self,
        act: Activation,
        parameters: &F32,
        bias_at: Option<usize>,
        tokens: usize,
        h: &Act,
        a: &mut Act,
    ) -> Result<()> {
        let channels = a.len() / tokens;
        expect("h", h.len(), 2 * channels * tokens);
        let bias = bias_at.map_or(NOWHERE, |at| {
            expect("parameters", parameters.len(), at + 2 * channels);
            parameters.address(at)
        });
        let (variant, vector) = self.variant(tokens, &[h.address(0), a.address(0)]);
        self.launch(
            "gate",
            &format!("gate_{variant}"),
            [tokens.div_ceil(THREADS * vector), channels, 1],
            (THREADS, 0),
            arguments![
                h.address(0),
                bias,
                a.address(0),
                channels as i32,
                tokens as i32,
                activation(act)
            ],
        )
    }

    #[allow(clippy::too_many_arguments, reason = "as the trait")]
    pub(in crate::device::cuda) fn run_gate_backward(
        &self,
        act: Activation,
        parameters: &F32,
        bias_at: Option<usize>,
        tokens: usize,
        h: &Act,
        da: &Act,
        dh: &mut Act,
        gradients: &mut F32,
    ) -> Result<()> {
        let channels = da.len() / tokens;
        expect("h", h.len(), 2 * channels * tokens);
        expect("dh", dh.len(), 2 * channels * tokens);
        let (bias, d_bias) = bias_at.map_or((NOWHERE, NOWHERE), |at| {
            expect("parameters", parameters.len(), at + 2 * channels);
            expect("gradients", gradients.len(), at + 2 * channels);
            (parameters.address(at), gradients.address(at))
        });
        let addresses = [h.address(0), da.address(0), dh.address(0)];
        let (variant, _) = self.variant(tokens, &addresses);
        self.launch(
            "gate_backward",
            &format!("gate_backward_{variant}"),
            [channels, 1, 1],
            (THREADS, 0),
            arguments![
                h.address(0),
                bias,
                da.address(0),
                dh.address(0),
                d_bias,
                channels as i32,
                tokens as i32,
                activation(act)
            ],
        )
    }

    pub(in crate::device::cuda) fn run_dropout(
        &self,
        x: &mut Act,
        p: f32,
        seed: &F32,
        stream: u32,
    ) -> Result<()> {
        expect("seed", seed.len(), 2);
        self.launch(
            "dropout",
            &format!("dropout_{}", self.type_name()),
            [x.len().div_ceil(THREADS), 1, 1],
            (THREADS, 0),
            arguments![x.address(0), seed.address(0), x.len() as i32, p, stream],
        )
    }

    pub(in crate::device::cuda) fn run_mean_pool(
        &self,
        x: &Act,
        counts: &F32,
        length: usize,
        y: &mut Act,
    ) -> Result<()> {
        let batch = counts.len();
        let width = x.len() / (batch * length);
        expect("y", y.len(), batch * width);
        self.launch(
            "mean_pool",
            &format!("mean_pool_{}", self.type_name()),
            [width.div_ceil(32), batch, 1],
            (256, 0),
            arguments![
                x.address(0),
                counts.address(0),
                y.address(0),
                length as i32,
                width as i32
            ],
        )
    }

    pub(in crate::device::cuda) fn run_mean_pool_backward(
        &self,
        dy: &Act,
        counts: &F32,
        length: usize,
        dx: &mut Act,
    ) -> Result<()> {
        let batch = counts.len();
        let width = dy.len() / batch;
        expect("dx", dx.len(), batch * length * width);
        self.launch(
            "mean_pool_backward",
            &format!("mean_pool_backward_{}", self.type_name()),
            [(batch * length * width).div_ceil(THREADS), 1, 1],
            (THREADS, 0),
            arguments![
                dy.address(0),
                counts.address(0),
                dx.address(0),
                length as i32,
                width as i32,
                (batch * length * width) as i32
            ],
        )
    }

    pub(in crate::device::cuda) fn run_hide_padding(
        &self,
        uv: &mut Act,
        counts: &F32,
        length: usize,
    ) -> Result<()> {
        let (batch, half) = (counts.len(), uv.len() / 2);
        self.launch(
            "hide_padding",
            &format!("hide_padding_{}", self.type_name()),
            [half / (batch * length), batch, 1],
            (THREADS, 0),
            arguments![uv.address(half), counts.address(0), length as i32, HIDDEN],
        )
    }

    pub(in crate::device::cuda) fn run_cast(
        &self,
        from: &F32,
        to: &mut Act,
        range: Range<usize>,
    ) -> Result<()> {
        expect("from", from.len(), range.end);
        expect("to", to.len(), range.end);
        let (variant, vector) = self.flat_variant(&range);
        self.launch(
            "cast",
            &format!("cast_{variant}"),
            [range.len().div_ceil(THREADS * vector), 1, 1],
            (THREADS, 0),
            arguments![
                from.address(range.start),
                to.address(range.start),
                range.len()
            ],
        )
    }

    /// As `variant`, for kernels that move four elements at once in f32 and beside it in the type
    /// of activations.
    pub(super) fn flat_variant(&self, range: &Range<usize>) -> (String, usize) {
        let fits = range.start.is_multiple_of(4) && range.len().is_multiple_of(4);
        let (end, vector) = if fits { ("v", 4) } else { ("s", 1) };
        (format!("{}_{end}", self.type_name()), vector)
    }
}
