//! The gated Toeplitz unit with the product of SKI: see ski.cu.

use super::{NOWHERE, activation, arguments, expect};
use crate::device::cuda::Cuda;
use crate::device::cuda::machine::{Address, Argument, Element};
use crate::device::cuda::memory::{Act, F32};
use crate::device::{DeviceError, Result, SkiOffsets, SkiShape};

/// Threads of a block, and outputs a thread of a Toeplitz product: as in ski.cu.
const THREADS: usize = 256;
const OUTPUTS: usize = 5;
/// Positions of all sequences of a block in shared memory, and inducing points of all: what they take
/// together lets several blocks share a multiprocessor.
const TILE: usize = 4096;
const POINTS: usize = 1024;
/// Sequences of a block at most.
const SEQUENCES: usize = 8;
/// Widths of the short convolution that there are kernels for: taps on each side.
const REACHES: [usize; 2] = [4, 16];

/// A shape with how it is cut into blocks.
struct Plan {
    shape: SkiShape,
    /// Sequences of a block.
    sequences: usize,
    /// Positions of a sequence in shared memory at a time.
    tile: usize,
    /// Positions beside a tile that are there, too.
    reach: usize,
}

impl Plan {
    fn new(shape: SkiShape) -> Result<Self> {
        let unsupported = |reason| DeviceError::Unsupported {
            operation: "ski",
            reason,
        };
        let reach = REACHES.into_iter().find(|&reach| shape.taps / 2 <= reach);
        let reach = reach.ok_or_else(|| {
            unsupported(format!(
                "{} taps; at most {} are supported",
                shape.taps,
                2 * REACHES[1] + 1
            ))
        })?;
        // Places of positions between points are computed in whole numbers of 32 bits.
        let most = i32::MAX as usize / shape.length.max(1);
        if shape.rank > most.min(POINTS / 2) {
            return Err(unsupported(format!(
                "{} inducing points for {} positions; at most {} are supported",
                shape.rank,
                shape.length,
                most.min(POINTS / 2)
            )));
        }
        let tile = shape.length.next_multiple_of(4).min(TILE);
        let sequences = (TILE / tile).min(POINTS / shape.rank).min(SEQUENCES);
        Ok(Self {
            shape,
            sequences: sequences.clamp(1, shape.batch.max(1)),
            tile,
            reach,
        })
    }

    /// Blocks of a channel.
    fn parts(&self) -> usize {
        self.shape.batch.div_ceil(self.sequences)
    }

    /// Threads that sum an interval: few enough that each has four positions or more.
    fn lanes(&self) -> usize {
        let most = (self.shape.spacing() / 4.0).max(1.0) as usize;
        1 << most.ilog2().min(5)
    }

    /// The struct `Ski`.
    fn argument(&self) -> Argument {
        let shape = self.shape;
        let words = [
            shape.channels,
            shape.batch,
            shape.length,
            shape.rank,
            shape.taps,
            activation(shape.act) as usize,
            self.sequences,
            self.tile,
            self.lanes(),
        ];
        Argument::Struct(words.map(|word| word as u32).to_vec())
    }

    /// Bytes of shared memory for so many sums by inducing point, more floats and tiles.
    fn shared(&self, sums: usize, more: usize, tiles: usize) -> usize {
        let points = self.sequences * self.shape.rank;
        let floats = sums * points + 2 * self.shape.rank + 8 + more;
        4 * (floats.next_multiple_of(4) + tiles * self.tile_floats())
    }

    fn tile_floats(&self) -> usize {
        self.sequences * (self.tile + 2 * self.reach)
    }

    fn shared_forward(&self) -> usize {
        self.shared(3, 0, 1)
    }

    fn shared_backward(&self) -> usize {
        // The last tile's place holds the parts of the kernel's gradient, too.
        let short = (THREADS * OUTPUTS).saturating_sub(self.tile_floats());
        let padded = self.sequences * (3 * self.shape.rank + 4);
        self.shared(5, padded, 2) + 4 * short
    }

    /// Floats that a block leaves of sums.
    fn partial(&self) -> usize {
        2 + self.shape.taps + self.shape.lags()
    }

    /// That `kernel`, `parameters` and `uv` are there; the addresses of biases and taps.
    fn check(&self, kernel: &F32, parameters: &F32, at: SkiOffsets, uv: &Act) -> [Address; 2] {
        let shape = self.shape;
        let (e, taps) = (shape.channels, shape.channels * shape.taps);
        expect("kernel", kernel.len(), e * shape.lags());
        expect("parameters", parameters.len(), at.taps + taps);
        expect("uv", uv.len(), 2 * e * shape.tokens());
        let bias = at.bias.map_or(NOWHERE, |at| {
            expect("parameters", parameters.len(), at + 2 * e);
            parameters.address(at)
        });
        [bias, parameters.address(at.taps)]
    }
}

impl Cuda {
    /// The name of a kernel of ski.cu.
    fn ski_kernel(&self, start: &str, plan: &Plan) -> String {
        // Four elements at a time where that divides sequences: rows then start at multiples, too.
        let kind = match self.element {
            Element::F32 => "f32",
            Element::Bf16 => "bf16",
        };
        let whole = plan.shape.length.is_multiple_of(4);
        let width = if whole { "v" } else { "s" };
        format!("{start}_{kind}_{width}_{}", plan.reach)
    }

    #[allow(clippy::too_many_arguments, reason = "as the trait")]
    pub(in crate::device::cuda) fn run_ski(
        &self,
        shape: SkiShape,
        kernel: &F32,
        parameters: &F32,
        at: SkiOffsets,
        uv: &Act,
        y: &mut Act,
        g: &mut Act,
    ) -> Result<()> {
        let plan = Plan::new(shape)?;
        let [bias, taps] = plan.check(kernel, parameters, at, uv);
        expect("y", y.len(), shape.channels * shape.tokens());
        expect("g", g.len(), shape.channels * shape.tokens());
        self.launch(
            "ski",
            &self.ski_kernel("ski", &plan),
            [shape.channels, plan.parts(), 1],
            (THREADS, plan.shared_forward()),
            arguments![
                plan.argument(),
                uv.address(0),
                bias,
                kernel.address(0),
                taps,
                y.address(0),
                g.address(0)
            ],
        )
    }

    #[allow(clippy::too_many_arguments, reason = "as the trait")]
    pub(in crate::device::cuda) fn run_ski_backward(
        &self,
        shape: SkiShape,
        kernel: &F32,
        parameters: &F32,
        at: SkiOffsets,
        uv: &Act,
        y: &Act,
        dg: &Act,
        duv: &mut Act,
        d_kernel: &mut F32,
        gradients: &mut F32,
    ) -> Result<()> {
        let plan = Plan::new(shape)?;
        let (e, elements) = (shape.channels, shape.channels * shape.tokens());
        let [bias, taps] = plan.check(kernel, parameters, at, uv);
        expect("y", y.len(), elements);
        expect("dg", dg.len(), elements);
        expect("duv", duv.len(), 2 * elements);
        expect("d_kernel", d_kernel.len(), e * shape.lags());
        expect("gradients", gradients.len(), parameters.len());
        let partials = self.scratch(plan.parts() * e * plan.partial() * 4)?;
        self.launch(
            "ski_backward",
            &self.ski_kernel("ski_backward", &plan),
            [e, plan.parts(), 1],
            (THREADS, plan.shared_backward()),
            arguments![
                plan.argument(),
                uv.address(0),
                bias,
                kernel.address(0),
                taps,
                y.address(0),
                dg.address(0),
                duv.address(0),
                partials
            ],
        )?;
        let d_bias = at.bias.map_or(NOWHERE, |at| gradients.address(at));
        self.launch(
            "ski_backward",
            "ski_sum",
            [e, 1, 1],
            (THREADS, 0),
            arguments![
                plan.argument(),
                partials,
                plan.parts() as i32,
                d_kernel.address(0),
                gradients.address(at.taps),
                d_bias
            ],
        )
    }
}
