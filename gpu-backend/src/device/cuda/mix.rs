//! The gated Toeplitz unit on CUDA: [`MixPlan`] chooses how, [`Mix`] holds what it needs on the
//! device and launches the kernels of `gpu-backend/kernels/mix*`.

mod plan;

pub use plan::{Limits, MixGrid, MixPlan};

use cudarc::driver::sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
use cudarc::driver::{
    CudaFunction, CudaModule, CudaSlice, CudaStream, DevicePtr, DevicePtrMut, DriverError,
    LaunchConfig, PushKernelArg,
};
use std::sync::Arc;

/// An address on the device. Activations must be aligned for two of their elements.
pub type Address = u64;

/// The operands of [`Mix::backward`].
#[derive(Clone, Copy, Debug)]
pub struct MixBackward {
    /// Bias `[2E]` in f32, or 0.
    pub bias: Address,
    /// `[2E, tokens]`, as in the forward pass.
    pub uv: Address,
    /// `[E, tokens]`, of the forward pass.
    pub y: Address,
    /// Gradient of `g`, `[E, tokens]`.
    pub dg: Address,
    /// Gradient of `uv`, written.
    pub duv: Address,
    /// Gradient of the kernel `[E, lags]` in f32, written.
    pub d_kernel: Address,
    /// Gradient of the bias `[2E]` in f32, added to, or 0.
    pub d_bias: Address,
}

/// Kernels, spectra and workspace of the Toeplitz products of one shape.
///
/// The spectrum is that of the last [`Mix::spectrum`]: where several layers share one `Mix`, it must
/// be computed again before [`Mix::backward`] (that is 2% to 10% of the product's time).
///
/// To record the launches in a graph, turn cudarc's event tracking off first: buffers of this type
/// are cudarc's, and wait for each other by events otherwise.
#[derive(Debug)]
pub struct Mix {
    plan: MixPlan,
    stream: Arc<CudaStream>,
    functions: [CudaFunction; 4],
    spectrum: CudaSlice<f32>,
    partial: CudaSlice<f32>,
    sums: CudaSlice<f32>,
    scratch: CudaSlice<f32>,
}

impl Mix {
    /// Takes the kernels from `module`, which is [`MixPlan::source`] compiled with
    /// [`MixPlan::options`].
    ///
    /// # Errors
    /// What the driver says: no memory, or not the plan's module.
    pub fn new(
        stream: &Arc<CudaStream>,
        module: &Arc<CudaModule>,
        plan: MixPlan,
    ) -> Result<Self, DriverError> {
        let load = |grid: MixGrid| {
            let function = module.load_function(grid.entry)?;
            let bytes = grid.shared as i32;
            function.set_attribute(CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes)?;
            Ok(function)
        };
        Ok(Self {
            functions: [
                load(plan.spectrum())?,
                load(plan.forward())?,
                load(plan.backward())?,
                load(plan.d_kernel())?,
            ],
            spectrum: stream.alloc_zeros(plan.spectrum_len())?,
            partial: stream.alloc_zeros(plan.partial_len())?,
            sums: stream.alloc_zeros(plan.sums_len())?,
            // At least one: the driver allocates no empty piece.
            scratch: stream.alloc_zeros(plan.scratch_len().max(1))?,
            stream: Arc::clone(stream),
            plan,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &MixPlan {
        &self.plan
    }

    /// Computes the spectrum of `kernel` `[E, lags]` (f32), which the other two read.
    ///
    /// # Safety
    /// `kernel` must be the address of that many elements on the stream's device, which nothing
    /// writes meanwhile.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn spectrum(&mut self, kernel: Address) -> Result<(), DriverError> {
        let (lags, arguments) = (self.plan.lags(), self.plan.arguments(self.plan.forward()));
        let (spectrum, _recorded) = self.spectrum.device_ptr_mut(&self.stream);
        let mut launch = self.stream.launch_builder(&self.functions[0]);
        launch
            .arg(&kernel)
            .arg(&lags)
            .arg(&spectrum)
            .arg(&arguments);
        // SAFETY: types and order are those of `toeplite_mix_spectrum`; the spectrum has the plan's
        // length, the caller answers for `kernel`.
        unsafe { launch.launch(config(self.plan.spectrum())) }.map(drop)
    }

    /// `y = kernel * act(v + bias)` and `g = act(u + bias) . y`; `bias` `[2E]` (f32) may be 0.
    ///
    /// # Safety
    /// The others must be addresses, on the stream's device, of as many elements as
    /// [`Device::mix`](crate::device::Device::mix) says, of the plan's type; `y` and `g` written by
    /// nothing else meanwhile.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn forward(
        &self,
        bias: Address,
        uv: Address,
        y: Address,
        g: Address,
    ) -> Result<(), DriverError> {
        let grid = self.plan.forward();
        let arguments = self.plan.arguments(grid);
        let (spectrum, _recorded) = self.spectrum.device_ptr(&self.stream);
        let mut launch = self.stream.launch_builder(&self.functions[1]);
        launch.arg(&uv).arg(&bias).arg(&spectrum).arg(&y).arg(&g);
        launch.arg(&arguments);
        // SAFETY: types and order are those of `toeplite_mix_forward`; the spectrum has the plan's
        // length, the caller answers for the other addresses.
        unsafe { launch.launch(config(grid)) }.map(drop)
    }

    /// Gradients of [`Mix::forward`].
    ///
    /// # Safety
    /// The operands must be addresses, on the stream's device, of as many elements as
    /// [`Device::mix_backward`](crate::device::Device::mix_backward) says, of the plan's type or
    /// f32; those written to are used by nothing else meanwhile.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn backward(&mut self, o: MixBackward) -> Result<(), DriverError> {
        let grid = self.plan.backward();
        let (parts, lags) = (grid.grid[1] as i32, self.plan.lags());
        let arguments = self.plan.arguments(grid);
        let (spectrum, _recorded) = self.spectrum.device_ptr(&self.stream);
        let (partial, _recorded) = self.partial.device_ptr_mut(&self.stream);
        let (sums, _recorded) = self.sums.device_ptr_mut(&self.stream);
        let (scratch, _recorded) = self.scratch.device_ptr_mut(&self.stream);
        let mut launch = self.stream.launch_builder(&self.functions[2]);
        launch.arg(&o.uv).arg(&o.bias).arg(&spectrum).arg(&o.y);
        launch.arg(&o.dg).arg(&o.duv).arg(&partial).arg(&sums);
        launch.arg(&scratch).arg(&arguments);
        // SAFETY: types and order are those of `toeplite_mix_backward`; the workspace has the plan's
        // lengths, the caller answers for the operands.
        unsafe { launch.launch(config(grid)) }?;
        let mut launch = self.stream.launch_builder(&self.functions[3]);
        launch.arg(&partial).arg(&sums).arg(&parts).arg(&o.d_kernel);
        launch.arg(&lags).arg(&o.d_bias).arg(&arguments);
        // SAFETY: as above, for `toeplite_mix_d_kernel`, which runs after the first on one stream.
        unsafe { launch.launch(config(self.plan.d_kernel())) }.map(drop)
    }
}

fn config(grid: MixGrid) -> LaunchConfig {
    LaunchConfig {
        grid_dim: (grid.grid[0], grid.grid[1], 1),
        block_dim: (grid.threads, 1, 1),
        shared_mem_bytes: grid.shared,
    }
}
