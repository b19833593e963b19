//! CUDA devices: activations in bf16 or f32, parameters in f32, own kernels and cuBLASLt.

mod cache;
mod collective;
mod hardware;
pub mod machine;
mod memory;
pub mod mix;
mod nccl;
pub mod nvrtc;
mod ops;
mod products;
pub mod sources;

pub use collective::Membership;
pub use hardware::Hardware;
pub use memory::{Act, F32, Ids};
pub use mix::Mix;

use super::{
    Activation, AdamW, Device, DeviceError, Gemm, HeadGradient, MixShape, NormShape, Result,
    RpeShape, SkiOffsets, SkiShape,
};
use crate::data::Shard;
use half::bf16;
use machine::{Address, Element, Fault, Machine, Recorded};
use memory::{Memory, Scratch};
use ops::expect;
use std::cell::Cell;
use std::ops::Range;
use std::rc::Rc;

/// Type of the activations, and how their products are computed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// bf16, products summed in f32.
    #[default]
    Bf16,
    /// f32.
    F32,
}

/// Bytes of logits that are there at a time: large enough that the gradient of the head's weight is
/// not read and written often, small beside everything else.
const LOGITS: usize = 320 << 20;

/// A CUDA device.
pub struct Cuda {
    name: String,
    shard: Shard,
    element: Element,
    scratch: Scratch,
    logits_bytes: usize,
    recording: Cell<bool>,
    recorded: Cell<bool>,
    memory: Rc<Memory>,
}

/// A recorded sequence of operations.
pub struct Graph(Box<dyn Recorded>);

impl Cuda {
    /// Device number `index` of this machine.
    ///
    /// # Errors
    /// [`DeviceError::Unavailable`], naming what is missing: the driver, the device, NVRTC or
    /// cuBLASLt.
    pub fn open(index: usize, precision: Precision) -> Result<Self> {
        Self::open_member(index, precision, None)
    }

    /// How many CUDA devices this machine has.
    ///
    /// # Errors
    /// Why none can be used.
    pub fn count() -> Result<usize, String> {
        Hardware::count()
    }

    /// [`Cuda::open`] for one of the processes that train together; returns when all have joined.
    ///
    /// # Errors
    /// As [`Cuda::open`]; NCCL is missing too, or fails.
    pub fn open_member(
        index: usize,
        precision: Precision,
        member: Option<Membership>,
    ) -> Result<Self> {
        let unavailable = |reason| DeviceError::Unavailable {
            device: format!("cuda:{index}"),
            reason,
        };
        let hardware = Hardware::open(index);
        let mut hardware = hardware.map_err(unavailable)?;
        if let Some(member) = member {
            hardware.join(member).map_err(unavailable)?;
        }
        let shard = member.map_or(Shard::WHOLE, |member| member.shard);
        Ok(Self {
            shard,
            ..Self::on(Box::new(hardware), precision)
        })
    }

    /// The same operations on another machine.
    pub fn on(machine: Box<dyn Machine>, precision: Precision) -> Self {
        let (element, precision) = match precision {
            Precision::Bf16 => (Element::Bf16, "bf16"),
            Precision::F32 => (Element::F32, "f32"),
        };
        Self {
            name: format!("{} ({precision})", machine.name()),
            shard: Shard::WHOLE,
            element,
            scratch: Scratch::default(),
            logits_bytes: LOGITS,
            recording: Cell::new(false),
            recorded: Cell::new(false),
            memory: Memory::new(machine),
        }
    }

    /// Lets at most about so many bytes of logits exist at a time.
    pub fn limit_logits(&mut self, bytes: usize) {
        self.logits_bytes = bytes;
    }

    fn machine(&self) -> &dyn Machine {
        &*self.memory.machine
    }

    fn failed(&self, operation: &'static str, fault: Fault) -> DeviceError {
        let reason = match fault {
            Fault::OutOfMemory => "out of memory".to_string(),
            Fault::Other(reason) => reason,
        };
        DeviceError::Failed {
            operation,
            device: self.name.clone(),
            reason,
        }
    }

    /// Memory that the operation at hand may use until it ends; there is one such piece.
    fn scratch(&self, bytes: usize) -> Result<Address> {
        let (recorded, recording) = (self.recorded.get(), self.recording.get());
        self.scratch
            .at_least(&self.memory, bytes, recorded, recording)
    }

    fn identities(&self, len: usize, vocabulary: usize, ordered: bool) -> Result<Ids> {
        let words = if ordered { 2 * len } else { len };
        let mut ids = Ids {
            buffer: self.memory.allocate(4 * words)?,
            len,
            vocabulary,
            ordered,
        };
        self.write_ids(&mut ids, &vec![0; len])?;
        Ok(ids)
    }

    /// The type of activations as bytes.
    fn encode(&self, values: &[f32]) -> Vec<u8> {
        match self.element {
            Element::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Element::Bf16 => values
                .iter()
                .flat_map(|&v| bf16::from_f32(v).to_le_bytes())
                .collect(),
        }
    }

    fn read(&self, operation: &'static str, from: Address, bytes: usize) -> Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        // SAFETY: the callers take the address from a buffer that holds so many bytes from there.
        unsafe { self.machine().read(from, &mut read) }
            .map_err(|fault| self.failed(operation, fault))?;
        Ok(read)
    }
}

fn words(bytes: &[u8]) -> Vec<f32> {
    let words = bytes.as_chunks::<4>().0;
    words.iter().map(|&word| f32::from_le_bytes(word)).collect()
}

impl Device for Cuda {
    type Act = Act;
    type F32 = F32;
    type Ids = Ids;
    type Mix = Mix;
    type Graph = Graph;

    fn name(&self) -> String {
        self.name.clone()
    }

    fn act_bytes(&self) -> usize {
        self.element.bytes()
    }

    fn memory(&self) -> (usize, usize) {
        self.memory.counts()
    }

    fn synchronize(&self) -> Result<()> {
        let outcome = self.machine().synchronize();
        outcome.map_err(|fault| self.failed("synchronize", fault))
    }

    fn new_act(&self, len: usize) -> Result<Act> {
        Ok(Act {
            buffer: self.memory.allocate(len * self.element.bytes())?,
            element: self.element,
            len,
        })
    }

    fn new_f32(&self, len: usize) -> Result<F32> {
        Ok(F32 {
            buffer: self.memory.allocate(len * 4)?,
            len,
        })
    }

    fn new_ids(&self, len: usize, vocabulary: usize) -> Result<Ids> {
        self.identities(len, vocabulary, true)
    }

    fn new_targets(&self, len: usize, classes: usize) -> Result<Ids> {
        self.identities(len, classes, false)
    }

    fn new_mix(&self, shape: MixShape) -> Result<Mix> {
        self.plan_mix(shape)
    }

    fn write_ids(&self, ids: &mut Ids, values: &[u32]) -> Result<()> {
        self.run_write_ids(ids, values)
    }

    fn write_f32(&self, to: &mut F32, at: usize, values: &[f32]) -> Result<()> {
        expect("the buffer", to.len(), at + values.len());
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        // SAFETY: the buffer is long enough.
        unsafe { self.machine().write(to.address(at), &bytes) }
            .map_err(|fault| self.failed("write_f32", fault))
    }

    fn read_f32(&self, from: &F32, range: Range<usize>) -> Result<Vec<f32>> {
        expect("the buffer", from.len(), range.end);
        let bytes = self.read("read_f32", from.address(range.start), range.len() * 4)?;
        Ok(words(&bytes))
    }

    fn write_act(&self, to: &mut Act, at: usize, values: &[f32]) -> Result<()> {
        expect("the buffer", to.len(), at + values.len());
        let bytes = self.encode(values);
        // SAFETY: the buffer is long enough.
        unsafe { self.machine().write(to.address(at), &bytes) }
            .map_err(|fault| self.failed("write_act", fault))
    }

    fn read_act(&self, from: &Act, range: Range<usize>) -> Result<Vec<f32>> {
        expect("the buffer", from.len(), range.end);
        let length = range.len() * self.element.bytes();
        let bytes = self.read("read_act", from.address(range.start), length)?;
        Ok(match self.element {
            Element::F32 => words(&bytes),
            Element::Bf16 => {
                let halves = bytes.as_chunks::<2>().0;
                let wide = |&half| bf16::from_le_bytes(half).to_f32();
                halves.iter().map(wide).collect()
            }
        })
    }

    fn zero(&self, buffer: &mut F32, range: Range<usize>) -> Result<()> {
        expect("the buffer", buffer.len(), range.end);
        // SAFETY: the buffer is long enough.
        unsafe {
            self.machine()
                .zero(buffer.address(range.start), range.len() * 4)
        }
        .map_err(|fault| self.failed("zero", fault))
    }

    fn shard(&self) -> Shard {
        self.shard
    }

    fn reduce_start(&self, buffer: &mut F32, range: Range<usize>) -> Result<()> {
        expect("the buffer", buffer.len(), range.end);
        // SAFETY: the buffer is long enough; a network waits for its sums before it is dropped.
        unsafe {
            self.machine()
                .reduce_start(buffer.address(range.start), range.len())
        }
        .map_err(|fault| self.failed("the sum over processes", fault))
    }

    fn reduce_finish(&self) -> Result<()> {
        let finished = self.machine().reduce_finish();
        finished.map_err(|fault| self.failed("the sum over processes", fault))
    }

    fn copy(&self, from: &Act, to: &mut Act) -> Result<()> {
        expect("to", to.len(), from.len());
        let bytes = from.len() * self.element.bytes();
        // SAFETY: both buffers are long enough, and they are two.
        unsafe { self.machine().copy(from.address(0), to.address(0), bytes) }
            .map_err(|fault| self.failed("copy", fault))
    }

    fn cast(&self, from: &F32, to: &mut Act, range: Range<usize>) -> Result<()> {
        self.run_cast(from, to, range)
    }

    fn begin_record(&self) -> Result<bool> {
        let begun = self.machine().begin_record();
        let begun = begun.map_err(|fault| self.failed("begin_record", fault))?;
        self.recording.set(begun);
        self.recorded.set(self.recorded.get() || begun);
        Ok(begun)
    }

    fn end_record(&self) -> Result<Graph> {
        self.recording.set(false);
        let recorded = self.machine().end_record();
        Ok(Graph(
            recorded.map_err(|fault| self.failed("end_record", fault))?,
        ))
    }

    fn replay(&self, graph: &Graph) -> Result<()> {
        // SAFETY: the contract of `Device`: the buffers that were recorded are kept by the caller;
        // scratch is kept by `self`.
        unsafe { graph.0.replay() }.map_err(|fault| self.failed("replay", fault))
    }

    fn gemm(
        &self,
        shape: Gemm,
        a: (&Act, usize),
        b: (&Act, usize),
        bias: Option<(&Act, usize)>,
        c: &mut Act,
    ) -> Result<()> {
        self.act_product(shape, [a, b], bias, None, c)
    }

    fn gemm_add(
        &self,
        shape: Gemm,
        a: (&Act, usize),
        b: (&Act, usize),
        bias: Option<(&Act, usize)>,
        addend: &Act,
        c: &mut Act,
    ) -> Result<()> {
        let accumulate = true;
        let shape = Gemm {
            accumulate,
            ..shape
        };
        self.act_product(shape, [a, b], bias, Some(addend), c)
    }

    fn gemm_gradient(
        &self,
        shape: Gemm,
        a: (&Act, usize),
        b: (&Act, usize),
        c: &mut F32,
        c_at: usize,
    ) -> Result<()> {
        self.gradient_product(shape, [a, b], c, c_at)
    }

    fn column_sums(&self, x: &Act, width: usize, sums: &mut F32, sums_at: usize) -> Result<()> {
        self.run_column_sums(x, width, sums, sums_at)
    }

    fn embed(
        &self,
        ids: &Ids,
        table: &Act,
        table_at: usize,
        scale: f32,
        x: &mut Act,
    ) -> Result<()> {
        self.run_embed(ids, table, table_at, scale, x)
    }

    fn embed_backward(
        &self,
        ids: &Ids,
        dx: &Act,
        scale: f32,
        gradients: &mut F32,
        table_at: usize,
    ) -> Result<()> {
        self.run_embed_backward(ids, dx, scale, gradients, table_at)
    }

    fn norm(&self, shape: NormShape, parameters: &F32, x: &Act, y: &mut Act) -> Result<()> {
        self.run_norm(shape, parameters, x, y)
    }

    fn norm_backward(
        &self,
        shape: NormShape,
        parameters: &F32,
        x: &Act,
        dy: &Act,
        dx: &mut Act,
        gradients: &mut F32,
    ) -> Result<()> {
        self.run_norm_backward(shape, parameters, x, dy, dx, gradients)
    }

    fn rpe(
        &self,
        shape: &RpeShape,
        parameters: &F32,
        hidden: &mut F32,
        kernel: &mut F32,
    ) -> Result<()> {
        self.run_rpe(shape, parameters, hidden, kernel)
    }

    fn rpe_backward(
        &self,
        shape: &RpeShape,
        parameters: &F32,
        hidden: &mut F32,
        d_kernel: &mut F32,
        gradients: &mut F32,
    ) -> Result<()> {
        self.run_rpe_backward(shape, parameters, hidden, d_kernel, gradients)
    }

    fn mix(
        &self,
        mix: &mut Mix,
        kernel: &F32,
        parameters: &F32,
        bias_at: Option<usize>,
        uv: &Act,
        y: &mut Act,
        g: &mut Act,
    ) -> Result<()> {
        let bias = bias_at.map_or(0, |at| parameters.address(at));
        self.mix_forward(mix, kernel, bias, uv, y, g)
    }

    fn mix_backward(
        &self,
        mix: &mut Mix,
        kernel: &F32,
        parameters: &F32,
        bias_at: Option<usize>,
        uv: &Act,
        y: &Act,
        dg: &Act,
        duv: &mut Act,
        d_kernel: &mut F32,
        gradients: &mut F32,
    ) -> Result<()> {
        let bias = bias_at.map_or(0, |at| parameters.address(at));
        let d_bias = bias_at.map_or(0, |at| gradients.address(at));
        let operands = mix::Backward {
            kernel,
            uv,
            y,
            dg,
            duv,
            d_kernel,
            d_bias,
        };
        self.mix_gradients(mix, bias, operands)
    }

    fn ski(
        &self,
        shape: SkiShape,
        kernel: &F32,
        parameters: &F32,
        at: SkiOffsets,
        uv: &Act,
        y: &mut Act,
        g: &mut Act,
    ) -> Result<()> {
        self.run_ski(shape, kernel, parameters, at, uv, y, g)
    }

    fn ski_backward(
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
        self.run_ski_backward(
            shape, kernel, parameters, at, uv, y, dg, duv, d_kernel, gradients,
        )
    }

    fn gate(
        &self,
        act: Activation,
        parameters: &F32,
        bias_at: Option<usize>,
        tokens: usize,
        h: &Act,
        a: &mut Act,
    ) -> Result<()> {
        self.run_gate(act, parameters, bias_at, tokens, h, a)
    }

    fn gate_backward(
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
        self.run_gate_backward(act, parameters, bias_at, tokens, h, da, dh, gradients)
    }

    fn dropout(&self, x: &mut Act, p: f32, seed: &F32, stream: u32) -> Result<()> {
        self.run_dropout(x, p, seed, stream)
    }

    fn mean_pool(&self, x: &Act, counts: &F32, length: usize, y: &mut Act) -> Result<()> {
        self.run_mean_pool(x, counts, length, y)
    }

    fn mean_pool_backward(
        &self,
        dy: &Act,
        counts: &F32,
        length: usize,
        dx: &mut Act,
    ) -> Result<()> {
        self.run_mean_pool_backward(dy, counts, length, dx)
    }

    fn spread(&self, from: &F32, to: &mut F32) -> Result<()> {
        self.run_spread(from, to)
    }

    fn gather(&self, from: &F32, to: &mut F32) -> Result<()> {
        self.run_gather(from, to)
    }

    fn add(&self, from: &Act, to: &mut Act) -> Result<()> {
        self.run_add(from, to)
    }

    fn hide_padding(&self, uv: &mut Act, counts: &F32, length: usize) -> Result<()> {
        self.run_hide_padding(uv, counts, length)
    }

    fn head_loss(
        &self,
        weights: &Act,
        weight_at: usize,
        classes: usize,
        x: &Act,
        targets: &Ids,
        sums: &mut F32,
        backward: Option<HeadGradient<'_, Self>>,
    ) -> Result<()> {
        self.run_head_loss(weights, weight_at, classes, x, targets, sums, backward)
    }

    fn sum_squares(&self, x: &F32, range: Range<usize>, sums: &mut F32, at: usize) -> Result<()> {
        self.run_sum_squares(x, range, sums, at)
    }

    fn adamw(&self, state: AdamW<'_, Self>, range: Range<usize>, decay: bool) -> Result<()> {
        self.run_adamw(state, range, decay)
    }
}
