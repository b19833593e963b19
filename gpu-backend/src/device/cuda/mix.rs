//! The gated Toeplitz unit on CUDA: [`MixPlan`] chooses how, [`Mix`] holds what it needs on the
//! device; the kernels are those of `gpu-backend/kernels/mix*`, compiled for one plan.

mod plan;

pub use plan::{Limits, MixGrid, MixPlan};

use super::machine::{Address, Argument, Element};
use super::memory::Buffer;
use super::ops::arguments;
use super::{Act, Cuda, F32};
use crate::device::{MixShape, Result};

/// Spectra and workspace of the Toeplitz products of one shape.
///
/// The spectrum is that of the last forward or backward pass: layers that share one `Mix` compute it
/// again in the backward pass (2% to 10% of the product's time).
pub struct Mix {
    plan: MixPlan,
    /// End of the kernels' names: those of another plan are other kernels.
    suffix: String,
    spectrum: Buffer,
    partial: Buffer,
    sums: Buffer,
    scratch: Buffer,
}

/// The operands of the backward pass besides the bias.
pub(super) struct Backward<'a> {
    pub kernel: &'a F32,
    pub uv: &'a Act,
    pub y: &'a Act,
    pub dg: &'a Act,
    pub duv: &'a mut Act,
    pub d_kernel: &'a mut F32,
    pub d_bias: Address,
}

impl Cuda {
    pub(super) fn plan_mix(&self, shape: MixShape) -> Result<Mix> {
        let bf16 = self.element == Element::Bf16;
        let plan = MixPlan::new(shape, bf16, self.machine().limits())?;
        let mut options = plan.options();
        let suffix = format!("_{:016x}", super::cache::hash(options.join(" ").as_bytes()));
        for entry in [
            plan.spectrum(),
            plan.forward(),
            plan.backward(),
            plan.d_kernel(),
        ] {
            options.push(format!("-D{0}={0}{suffix}", entry.entry));
        }
        let compiled = self.machine().compile("mix.cu", plan.source(), &options);
        compiled.map_err(|fault| self.failed("mix", fault))?;
        let new = |elements: usize| self.memory.allocate(4 * elements);
        Ok(Mix {
            spectrum: new(plan.spectrum_len())?,
            partial: new(plan.partial_len())?,
            sums: new(plan.sums_len())?,
            scratch: new(plan.scratch_len())?,
            plan,
            suffix,
        })
    }

    fn launch_mix(&self, mix: &Mix, grid: MixGrid, arguments: &[Argument]) -> Result<()> {
        let [x, y] = grid.grid.map(|blocks| blocks as usize);
        let kernel = format!("{}{}", grid.entry, mix.suffix);
        let block = (grid.threads as usize, grid.shared as usize);
        self.launch("mix", &kernel, [x, y, 1], block, arguments)
    }

    /// The spectrum of `kernel` `[E, lags]`, which both passes read.
    fn mix_spectrum(&self, mix: &Mix, kernel: &F32) -> Result<()> {
        let plan = &mix.plan;
        let lags = plan.lags();
        super::expect(
            "kernel",
            kernel.len(),
            plan.shape().channels * lags as usize,
        );
        let (kernel, spectrum) = (kernel.address(0), mix.spectrum.address());
        let shape = numbers(plan, plan.forward());
        self.launch_mix(
            mix,
            plan.spectrum(),
            arguments![kernel, lags, spectrum, shape],
        )
    }

    pub(super) fn mix_forward(
        &self,
        mix: &mut Mix,
        kernel: &F32,
        bias: Address,
        uv: &Act,
        y: &mut Act,
        g: &mut Act,
    ) -> Result<()> {
        let len = mix.plan.shape().channels * mix.plan.shape().tokens();
        let halves = mix.plan.shape().halves();
        super::expect("uv", uv.len(), halves * len);
        super::expect("y", y.len(), len);
        super::expect("g", g.len(), (halves - 1) * len);
        self.mix_spectrum(mix, kernel)?;
        let grid = mix.plan.forward();
        let (uv, y, g) = (uv.address(0), y.address(0), g.address(0));
        let spectrum = mix.spectrum.address();
        let shape = numbers(&mix.plan, grid);
        self.launch_mix(mix, grid, arguments![uv, bias, spectrum, y, g, shape])
    }

    pub(super) fn mix_gradients(
        &self,
        mix: &mut Mix,
        bias: Address,
        operands: Backward<'_>,
    ) -> Result<()> {
        let plan = &mix.plan;
        let len = plan.shape().channels * plan.shape().tokens();
        let kernel_len = plan.shape().channels * plan.lags() as usize;
        let halves = plan.shape().halves();
        super::expect("uv", operands.uv.len(), halves * len);
        super::expect("y", operands.y.len(), (halves - 1) * len);
        super::expect("dg", operands.dg.len(), len);
        super::expect("duv", operands.duv.len(), halves * len);
        super::expect("d_kernel", operands.d_kernel.len(), kernel_len);
        self.mix_spectrum(mix, operands.kernel)?;
        let grid = plan.backward();
        let (uv, y, dg) = (
            operands.uv.address(0),
            operands.y.address(0),
            operands.dg.address(0),
        );
        let duv = operands.duv.address(0);
        let (spectrum, partial) = (mix.spectrum.address(), mix.partial.address());
        let (sums, scratch) = (mix.sums.address(), mix.scratch.address());
        let shape = numbers(plan, grid);
        let first = arguments![
            uv,
            bias,
            spectrum,
            y,
            dg,
            duv,
            partial,
            sums,
            scratch,
            shape.clone()
        ];
        self.launch_mix(mix, grid, first)?;
        let (parts, lags) = (grid.grid[1] as i32, plan.lags());
        let (d_kernel, d_bias) = (operands.d_kernel.address(0), operands.d_bias);
        let second = arguments![partial, sums, parts, d_kernel, lags, d_bias, shape];
        self.launch_mix(mix, plan.d_kernel(), second)
    }
}

/// The kernels' argument `MixArgs`.
fn numbers(plan: &MixPlan, grid: MixGrid) -> Argument {
    Argument::Struct(plan.arguments(grid).map(|value| value as u32).to_vec())
}
