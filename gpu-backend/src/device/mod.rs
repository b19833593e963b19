//! The operations that training needs, and the devices that compute them.
//!
//! A [`Device`] owns memory and runs one list of fused operations, forward and backward. There are
//! two: [`Cpu`](cpu::Cpu) in f32 (the default without a GPU, and what the tests of the other are
//! judged by) and `Cuda` (f32 parameters; activations in bf16 or f32). Networks are written once,
//! over this trait; the backward pass is written by hand, there is no tape.
//!
//! # Layouts
//! `tokens = batch * length`, position innermost: token `t` is position `t % length` of sequence
//! `t / length`. All matrices are row-major.
//! - *Token-major* `[tokens, width]`: the residual stream, norms, the input of the head.
//! - *Channel-major* `[channels, tokens]`: everything inside a GTU or a GLU, so that the sequence
//!   of one channel is contiguous, and no transpose pass exists: matrix products read one layout
//!   and write the other.
//!
//! # Parameters
//! All parameters of a network lie in one [`F32`](Device::F32) buffer, their gradients in another
//! of the same order; operations take an offset ("`_at`", in elements). Matrix products read a copy
//! in the type of the activations. Gradients are added to (`+=`), so that several micro-batches
//! accumulate; they are zeroed with [`Device::zero`].
//!
//! Every operation is deterministic: the same inputs give the same bits on the same device.

pub mod checks;
pub mod cpu;
pub mod cuda;
mod error;
pub mod random;
mod shapes;

pub use error::DeviceError;
pub use shapes::{
    Activation, Gemm, MixShape, Norm, NormShape, Optimiser, Outputs, RpeInput, RpeShape,
    SkiOffsets, SkiShape, decayed_support,
};

use crate::data::Shard;
use std::ops::Range;

/// What operations return.
pub type Result<T, E = DeviceError> = std::result::Result<T, E>;

/// Memory and operations of one device.
pub trait Device: Sized {
    /// A buffer of activations: f32, or bf16 where the device computes in it.
    type Act;
    /// A buffer of f32: parameters, gradients, statistics, kernels.
    type F32;
    /// Token identities, and their positions sorted by identity (for the embedding's gradient).
    type Ids;
    /// What a Toeplitz product of one [`MixShape`] needs besides its operands: plans, spectra.
    type Mix;
    /// A recorded sequence of operations.
    type Graph;

    /// Name for reports, for example `NVIDIA H100 80GB HBM3 (bf16)`.
    fn name(&self) -> String;

    /// Bytes of one activation.
    fn act_bytes(&self) -> usize;

    /// Bytes allocated at present and at most so far.
    fn memory(&self) -> (usize, usize);

    /// Waits for everything that was started.
    fn synchronize(&self) -> Result<()>;

    // ---- buffers -------------------------------------------------------------------------------

    /// A buffer of `len` zeros.
    fn new_act(&self, len: usize) -> Result<Self::Act>;
    /// A buffer of `len` zeros.
    fn new_f32(&self, len: usize) -> Result<Self::F32>;
    /// Room for `len` token identities below `vocabulary`, all 0.
    fn new_ids(&self, len: usize, vocabulary: usize) -> Result<Self::Ids>;
    /// The same for targets, which [`Device::embed_backward`] does not take.
    fn new_targets(&self, len: usize, classes: usize) -> Result<Self::Ids> {
        self.new_ids(len, classes)
    }
    /// Plans the Toeplitz products of one shape.
    fn new_mix(&self, shape: MixShape) -> Result<Self::Mix>;
    /// Replaces all identities; those of 0 ..= vocabulary - 1 and [`IGNORE`] (in targets) alone are
    /// valid, others are an error.
    fn write_ids(&self, ids: &mut Self::Ids, values: &[u32]) -> Result<()>;
    /// Writes `values` from element `at` on.
    fn write_f32(&self, to: &mut Self::F32, at: usize, values: &[f32]) -> Result<()>;
    /// The elements of `range`; waits for what was started.
    fn read_f32(&self, from: &Self::F32, range: Range<usize>) -> Result<Vec<f32>>;
    /// Writes `values`, rounded to the type of activations, from element `at` on.
    fn write_act(&self, to: &mut Self::Act, at: usize, values: &[f32]) -> Result<()>;
    /// The elements of `range`; waits for what was started.
    fn read_act(&self, from: &Self::Act, range: Range<usize>) -> Result<Vec<f32>>;
    /// Zeroes the elements of `range`.
    fn zero(&self, buffer: &mut Self::F32, range: Range<usize>) -> Result<()>;
    /// `to = from`, for activations of the same length.
    fn copy(&self, from: &Self::Act, to: &mut Self::Act) -> Result<()>;
    /// `to[i] = from[i]` rounded to the type of activations, for the elements of `range`.
    fn cast(&self, from: &Self::F32, to: &mut Self::Act, range: Range<usize>) -> Result<()>;

    // ---- recording -----------------------------------------------------------------------------

    /// Starts recording operations instead of running them; `false` where the device cannot. While
    /// recording, nothing may be allocated, read or written from the host.
    fn begin_record(&self) -> Result<bool>;
    /// Ends recording.
    fn end_record(&self) -> Result<Self::Graph>;
    /// Runs what was recorded, on the same buffers.
    fn replay(&self, graph: &Self::Graph) -> Result<()>;

    // ---- several devices -----------------------------------------------------------------------

    /// This process among those that train together.
    fn shard(&self) -> Shard {
        Shard::WHOLE
    }

    /// Starts to sum `range` of `buffer` over all processes that train together, after what was
    /// started before and beside what is started next; nothing where there is one process.
    fn reduce_start(&self, _buffer: &mut Self::F32, _range: Range<usize>) -> Result<()> {
        Ok(())
    }

    /// What is started next waits for all sums that were started.
    fn reduce_finish(&self) -> Result<()> {
        Ok(())
    }

    // ---- linear maps ---------------------------------------------------------------------------

    /// `C = op(A) op(B) (+ C) (+ bias)`; operands are (buffer, offset). `bias` `[n]` is added to
    /// every row of C.
    fn gemm(
        &self,
        shape: Gemm,
        a: (&Self::Act, usize),
        b: (&Self::Act, usize),
        bias: Option<(&Self::Act, usize)>,
        c: &mut Self::Act,
    ) -> Result<()>;

    /// `C = op(A) op(B) + addend (+ bias)`: as [`Device::gemm`], onto another matrix of the shape of C.
    fn gemm_add(
        &self,
        shape: Gemm,
        a: (&Self::Act, usize),
        b: (&Self::Act, usize),
        bias: Option<(&Self::Act, usize)>,
        addend: &Self::Act,
        c: &mut Self::Act,
    ) -> Result<()> {
        self.copy(addend, c)?;
        let accumulate = true;
        self.gemm(
            Gemm {
                accumulate,
                ..shape
            },
            a,
            b,
            bias,
            c,
        )
    }

    /// `C += op(A) op(B)` into f32, from element `c_at` on: gradients of weights.
    fn gemm_gradient(
        &self,
        shape: Gemm,
        a: (&Self::Act, usize),
        b: (&Self::Act, usize),
        c: &mut Self::F32,
        c_at: usize,
    ) -> Result<()>;

    /// `sums[j] += sum_t x[t, j]` for token-major `x` `[tokens, width]`: gradients of biases.
    fn column_sums(
        &self,
        x: &Self::Act,
        width: usize,
        sums: &mut Self::F32,
        sums_at: usize,
    ) -> Result<()>;

    // ---- embedding -----------------------------------------------------------------------------

    /// `x[t] = scale * table[ids[t]]`, table `[vocabulary, width]` at `table_at`.
    fn embed(
        &self,
        ids: &Self::Ids,
        table: &Self::Act,
        table_at: usize,
        scale: f32,
        x: &mut Self::Act,
    ) -> Result<()>;

    /// `gradients[table_at + ids[t]] += scale * dx[t]`, summed in the order of t.
    fn embed_backward(
        &self,
        ids: &Self::Ids,
        dx: &Self::Act,
        scale: f32,
        gradients: &mut Self::F32,
        table_at: usize,
    ) -> Result<()>;

    // ---- norms ---------------------------------------------------------------------------------

    /// `y = norm(x)` of each token; `parameters` hold weight and bias where the norm has them.
    fn norm(
        &self,
        shape: NormShape,
        parameters: &Self::F32,
        x: &Self::Act,
        y: &mut Self::Act,
    ) -> Result<()>;

    /// `dx += (d norm / dx)^T dy`; gradients of weight and bias are added.
    fn norm_backward(
        &self,
        shape: NormShape,
        parameters: &Self::F32,
        x: &Self::Act,
        dy: &Self::Act,
        dx: &mut Self::Act,
        gradients: &mut Self::F32,
    ) -> Result<()>;

    // ---- token mixing --------------------------------------------------------------------------

    /// The kernel `[channels, lags]` of a Toeplitz operator: RPE, decay, activation, or the transform of
    /// a response ([`RpeShape`]). `lags` is the
    /// length for causal kernels; otherwise twice the length, in circular order (lags 0 ..
    /// length - 1, one zero, lags 1 - length .. -1). `hidden` keeps what the backward pass needs
    /// ([`RpeShape::hidden_len`] elements).
    fn rpe(
        &self,
        shape: &RpeShape,
        parameters: &Self::F32,
        hidden: &mut Self::F32,
        kernel: &mut Self::F32,
    ) -> Result<()>;

    /// Gradients of the RPE's parameters from the kernel's, `d_kernel`, which is overwritten.
    fn rpe_backward(
        &self,
        shape: &RpeShape,
        parameters: &Self::F32,
        hidden: &mut Self::F32,
        d_kernel: &mut Self::F32,
        gradients: &mut Self::F32,
    ) -> Result<()>;

    /// The gated Toeplitz unit between its linear maps, channel-major: with `u = act(uv[..E] +
    /// bias[..E])` and `v = act(uv[E..] + bias[E..])`, `y = kernel * v` along each sequence and
    /// `g = u . y`. `bias_at` is the offset of `bias` `[2E]` in `parameters`, if there is one.
    #[allow(clippy::too_many_arguments)]
    fn mix(
        &self,
        mix: &mut Self::Mix,
        kernel: &Self::F32,
        parameters: &Self::F32,
        bias_at: Option<usize>,
        uv: &Self::Act,
        y: &mut Self::Act,
        g: &mut Self::Act,
    ) -> Result<()>;

    /// Gradients of [`Device::mix`]: `duv` is written, `d_kernel` is written (not added to), the
    /// bias's gradient is added at `bias_at` of `gradients`. `kernel` and `y` are those of the
    /// forward pass.
    #[allow(clippy::too_many_arguments)]
    fn mix_backward(
        &self,
        mix: &mut Self::Mix,
        kernel: &Self::F32,
        parameters: &Self::F32,
        bias_at: Option<usize>,
        uv: &Self::Act,
        y: &Self::Act,
        dg: &Self::Act,
        duv: &mut Self::Act,
        d_kernel: &mut Self::F32,
        gradients: &mut Self::F32,
    ) -> Result<()>;

    /// As [`Device::mix`] with the product of [`SkiShape`]: `kernel` is `[channels, 2 * rank]`, in
    /// circular order, `at` says where the other parameters lie.
    #[allow(clippy::too_many_arguments)]
    fn ski(
        &self,
        shape: SkiShape,
        kernel: &Self::F32,
        parameters: &Self::F32,
        at: SkiOffsets,
        uv: &Self::Act,
        y: &mut Self::Act,
        g: &mut Self::Act,
    ) -> Result<()>;

    /// Gradients of [`Device::ski`]: as those of [`Device::mix`]; those of the taps are added.
    #[allow(clippy::too_many_arguments)]
    fn ski_backward(
        &self,
        shape: SkiShape,
        kernel: &Self::F32,
        parameters: &Self::F32,
        at: SkiOffsets,
        uv: &Self::Act,
        y: &Self::Act,
        dg: &Self::Act,
        duv: &mut Self::Act,
        d_kernel: &mut Self::F32,
        gradients: &mut Self::F32,
    ) -> Result<()>;

    /// `to[step i] = from[i]`, zeros between, where `to` is `step` times as long as `from`: kernels of
    /// sequences one column of pixels long become those of the whole image, row by row, in circular
    /// order too.
    fn spread(&self, from: &Self::F32, to: &mut Self::F32) -> Result<()>;

    /// `to[i] = from[step i]`: the gradient of [`Device::spread`].
    fn gather(&self, from: &Self::F32, to: &mut Self::F32) -> Result<()>;

    /// `to += from`, for activations of the same length.
    fn add(&self, from: &Self::Act, to: &mut Self::Act) -> Result<()>;

    // ---- channel mixing ------------------------------------------------------------------------

    /// The gate of a GLU, channel-major: `a = act(h[..G] + bias[..G]) . (h[G..] + bias[G..])`, for
    /// `tokens` columns.
    fn gate(
        &self,
        act: Activation,
        parameters: &Self::F32,
        bias_at: Option<usize>,
        tokens: usize,
        h: &Self::Act,
        a: &mut Self::Act,
    ) -> Result<()>;

    /// Gradients of [`Device::gate`] for `tokens` columns: `dh` is written, the bias's gradient is
    /// added.
    #[allow(clippy::too_many_arguments)]
    fn gate_backward(
        &self,
        act: Activation,
        parameters: &Self::F32,
        bias_at: Option<usize>,
        tokens: usize,
        h: &Self::Act,
        da: &Self::Act,
        dh: &mut Self::Act,
        gradients: &mut Self::F32,
    ) -> Result<()>;

    // ---- regularisation, pooling ---------------------------------------------------------------

    /// Zeroes elements with probability `p`, multiplies the others by `1 / (1 - p)`. Which ones
    /// depends on `seed[0..2]` (two f32 that hold 24 bits each), on `stream` and on the element's
    /// index alone ([`random::Stream`]), so that the backward pass applies the same mask with the
    /// same call.
    fn dropout(&self, x: &mut Self::Act, p: f32, seed: &Self::F32, stream: u32) -> Result<()>;

    /// `y[b] = mean of x[b] over its first counts[b] positions`, zeros where there is none:
    /// `[batch, length, width]` to `[batch, width]`. `counts` holds whole numbers up to `length`.
    fn mean_pool(
        &self,
        x: &Self::Act,
        counts: &Self::F32,
        length: usize,
        y: &mut Self::Act,
    ) -> Result<()>;

    /// `dx[b, i] = dy[b] / counts[b]` for positions `i` below `counts[b]`, 0 for the others.
    fn mean_pool_backward(
        &self,
        dy: &Self::Act,
        counts: &Self::F32,
        length: usize,
        dx: &mut Self::Act,
    ) -> Result<()>;

    /// Writes [`HIDDEN`] into the positions from `counts[b]` on of each sequence `b`, in the second half
    /// of the rows of channel-major `uv`: there `v` and its derivative become 0 by every activation but
    /// [`Activation::None`], so that [`Device::mix`] and its gradients do not see padding.
    fn hide_padding(&self, uv: &mut Self::Act, counts: &Self::F32, length: usize) -> Result<()>;

    // ---- loss ----------------------------------------------------------------------------------

    /// Cross entropy of the head's logits `x W^T`, `x` `[tokens, width]`, `W` `[classes, width]` at
    /// `weight_at` of `weights`; tokens whose target is [`IGNORE`] do not count. Adds to `sums`: the
    /// loss in nats, the number of targets, how many had the largest logit (or one equal to it).
    ///
    /// With `backward`, also writes `dx` and adds the weight's gradient, of `loss * scale`. Logits
    /// are computed in chunks and never stored whole.
    #[allow(clippy::too_many_arguments)]
    fn head_loss(
        &self,
        weights: &Self::Act,
        weight_at: usize,
        classes: usize,
        x: &Self::Act,
        targets: &Self::Ids,
        sums: &mut Self::F32,
        backward: Option<HeadGradient<'_, Self>>,
    ) -> Result<()>;

    // ---- optimiser -----------------------------------------------------------------------------

    /// `sums[at] += sum of squares` of the elements of `range`.
    fn sum_squares(
        &self,
        x: &Self::F32,
        range: Range<usize>,
        sums: &mut Self::F32,
        at: usize,
    ) -> Result<()>;

    /// One AdamW step (Loshchilov and Hutter 2019) on the elements of `range`; `hyper` is a buffer
    /// laid out as [`Optimiser`] says, so that recorded steps read this step's values. Writes the
    /// new parameters, and their copy in the type of activations. Where the norm of all gradients,
    /// `gradient_scale * sqrt(sum of squares)`, is above the limit, they are multiplied by
    /// `max_norm / (norm + 1e-6)`, as PyTorch does. Where that norm is not finite, limit or not,
    /// nothing is written: parameters stay numbers, and the sum of squares says what happened.
    fn adamw(&self, state: AdamW<'_, Self>, range: Range<usize>, decay: bool) -> Result<()>;
}

/// Target that does not count in the loss; as an input of [`Device::embed`], a position of zeros.
pub const IGNORE: u32 = u32::MAX;

/// What an activation makes 0 of, with any bias of a trained network on top; exact in bf16.
pub const HIDDEN: f32 = -16_384.0;

/// Where [`Device::head_loss`] puts gradients.
pub struct HeadGradient<'a, D: Device> {
    /// Factor on the gradient (one over the number of targets of the whole batch).
    pub scale: f32,
    /// Gradient of `x`, written.
    pub dx: &'a mut D::Act,
    /// All gradients; the head's weight is added to at `weight_at`.
    pub gradients: &'a mut D::F32,
    /// Offset of the head's weight in `gradients`.
    pub weight_at: usize,
}

/// The buffers of [`Device::adamw`], all of the same length but `hyper`.
pub struct AdamW<'a, D: Device> {
    /// Parameters.
    pub parameters: &'a mut D::F32,
    /// Their copy in the type of activations.
    pub copy: &'a mut D::Act,
    /// Gradients.
    pub gradients: &'a D::F32,
    /// Running mean of the gradients.
    pub first: &'a mut D::F32,
    /// Running mean of their squares.
    pub second: &'a mut D::F32,
    /// Laid out as [`Optimiser`] says.
    pub hyper: &'a D::F32,
}
