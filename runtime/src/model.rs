//! A checked view of a model blob.

use crate::block::Longest;
use crate::error::{MemoryError, ModelError, StepError};
use crate::format::{
    self, ENTRY_BYTES, ElementType, GLOBALS, Global, HEADER_BYTES, LANES, PER_LAYER, Packing,
    PerLayer, WeightOrder, offset,
};
use crate::layer::{Counts, Layer, RecurrenceSections};
use crate::matrix::Matrix;
use crate::session::{Session, Token};
use bytemuck::AnyBitPattern;

pub(crate) mod check;

/// Norms. The discriminant is the byte in the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Norm {
    /// No norm.
    None = 0,
    /// `x / (|x| / sqrt(d) + 1e-8)`.
    SimpleRms = 1,
    /// SimpleRMSNorm times a scale an element.
    Rms = 2,
    /// RMSNorm times `sigmoid(gate * x)`.
    GatedRms = 3,
    /// `scale * x / sqrt(mean(x^2) + 1e-5)`, one scale for all.
    Scale = 4,
    /// LayerNorm, eps 1e-5, with weight and bias.
    Layer = 5,
}

impl Norm {
    /// The norm that a byte of the blob names.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::SimpleRms,
            2 => Self::Rms,
            3 => Self::GatedRms,
            4 => Self::Scale,
            5 => Self::Layer,
            _ => return None,
        })
    }

    /// Parameters of this norm over `width` numbers.
    pub const fn parameters(self, width: usize) -> usize {
        match self {
            Self::None | Self::SimpleRms => 0,
            Self::Rms => width,
            Self::GatedRms | Self::Layer => 2 * width,
            Self::Scale => 1,
        }
    }
}

/// Where a layer's norms stand. The discriminant is the byte in the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum NormPosition {
    /// `x + f(norm(x))`.
    Pre = 0,
    /// `x + norm(f(x))`.
    PostBranch = 1,
    /// `norm(x + f(x))`.
    PostResidual = 2,
}

impl NormPosition {
    /// The position that a byte of the blob names.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::Pre,
            1 => Self::PostBranch,
            2 => Self::PostResidual,
            _ => return None,
        })
    }
}

/// Activations. The discriminant is the byte in the blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Activation {
    /// `x`.
    None = 0,
    /// `x * sigmoid(x)`.
    Silu = 1,
    /// `max(x, 0)`.
    Relu = 2,
    /// `x * Phi(x)`; needs the feature `gelu`.
    Gelu = 3,
    /// `x` above zero, `exp(x) - 1` below.
    Elu = 4,
    /// `1 / (1 + exp(-x))`.
    Sigmoid = 5,
    /// `exp(x)`.
    Exp = 6,
    /// `x` above zero, `0.01 x` below.
    LeakyRelu = 7,
    /// `1 + elu(x)`.
    OnePlusElu = 8,
    /// `2 + elu(x)`.
    TwoPlusElu = 9,
}

impl Activation {
    /// The activation that a byte of the blob names.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            0 => Self::None,
            1 => Self::Silu,
            2 => Self::Relu,
            3 => Self::Gelu,
            4 => Self::Elu,
            5 => Self::Sigmoid,
            6 => Self::Exp,
            7 => Self::LeakyRelu,
            8 => Self::OnePlusElu,
            9 => Self::TwoPlusElu,
            _ => return None,
        })
    }
}

/// What the header says, apart from sizes that the section table repeats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens, rows of the embedding; 0 where the input is frames.
    pub vocabulary: usize,
    /// Logits, rows of the head: tokens, or classes.
    pub outputs: usize,
    /// Numbers of a frame; 0 where the input is tokens.
    pub frame_dim: usize,
    /// Width of the residual stream.
    pub dim: usize,
    /// Channels of a layer's Toeplitz operator.
    pub channels: usize,
    /// Hidden width of the GLU.
    pub glu_dim: usize,
    /// Number of layers.
    pub layers: usize,
    /// Norm of the layers.
    pub norm: Norm,
    /// Where it stands.
    pub norm_position: NormPosition,
    /// Norm before the head.
    pub final_norm: Norm,
    /// Norm inside the GTU.
    pub gtu_norm: Norm,
    /// Activation of the GTU.
    pub gtu_act: Activation,
    /// Activation of the GLU's gate.
    pub glu_act: Activation,
    /// Activation of the GLU's output.
    pub glu_final_act: Activation,
    /// Whether the head is the embedding's matrix.
    pub tied: bool,
    /// Factor on the embedding.
    pub embed_scale: f32,
    /// Sequence length of training.
    pub train_len: usize,
    /// How integer matrices lie in the blob.
    pub weight_order: WeightOrder,
    /// Most tokens of a window; 0 for models that stream.
    pub window: usize,
}

impl Shape {
    /// Blocks of four channels, the last of which may have fewer.
    pub fn blocks(&self) -> usize {
        self.channels.div_ceil(LANES)
    }

    /// Words of the largest of a layer's intermediate results: u, v and y of the GTU; both halves of
    /// the GLU.
    pub(crate) fn layer_words(&self) -> usize {
        (3 * self.channels).max(2 * self.glu_dim)
    }

    /// Words of the largest of a step's intermediate results: those of a layer, or the logits. A frame finds room there, too.
    pub(crate) fn work_words(&self) -> usize {
        self.layer_words().max(self.outputs).max(self.frame_dim)
    }

    /// Most columns of a matrix.
    pub(crate) fn longest_input(&self) -> usize {
        self.dim
            .max(self.channels)
            .max(self.glu_dim)
            .max(self.frame_dim)
    }

    /// The token's row of the embedding.
    pub(crate) fn row(&self, token: Token) -> Result<usize, StepError> {
        let (row, vocabulary) = (token.0 as usize, self.vocabulary);
        match row < vocabulary {
            true => Ok(row),
            false => Err(StepError::UnknownToken {
                token: token.0,
                vocabulary,
            }),
        }
    }

    /// The block of channels that the step after that of `block` visits.
    pub(crate) fn visited_after(&self, block: usize) -> usize {
        match block + 1 < self.blocks() {
            true => block + 1,
            false => 0,
        }
    }
}

/// A model in flash (or any memory), checked once, read in place.
///
/// A `Model` is a view: copying it copies no weights.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    bytes: &'a [u8],
    shape: Shape,
    state_words: usize,
}

impl<'a> Model<'a> {
    /// Checks `bytes` and makes a view of them. Nothing is copied.
    ///
    /// `bytes` must lie at a multiple of 16: embed them with
    /// [`include_aligned!`](crate::include_aligned). Every byte is read, for the checksum and to
    /// check every number. After this nothing can fail, whatever the bytes are.
    ///
    /// # Errors
    /// [`ModelError`] says what is wrong and where.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        Self::of_task(bytes, format::TASK_CAUSAL_LM)
    }

    /// [`from_bytes`](Self::from_bytes) for a task. Those of other tasks must not leave this crate as they are:
    /// their sessions give no logits of a next token.
    #[inline(never)]
    pub(crate) fn of_task(bytes: &'a [u8], task: u16) -> Result<Self, ModelError> {
        check::envelope(bytes, format::CONTRACT_F32)?;
        let shape = check::shape(bytes, task)?;
        let mut model = Self {
            bytes,
            shape,
            state_words: 0,
        };
        check::sections(&model, task)?;
        // the counts alone: whole layers would take stack
        model.state_words = (0..shape.layers)
            .map(|i| Counts::read(&model, &RecurrenceSections::forward(i)).states())
            .sum::<usize>()
            * LANES
            * shape.blocks();
        Ok(model)
    }

    /// Dimensions and options.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Number of tokens that the model knows.
    pub fn vocab_size(&self) -> usize {
        self.shape.vocabulary
    }

    /// Number of layers.
    pub fn layers(&self) -> usize {
        self.shape.layers
    }

    /// Bytes of the blob.
    pub fn blob_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// A number that tells models apart: the blob's CRC-32.
    pub fn identity(&self) -> u32 {
        read_u32(self.bytes, offset::CRC)
    }

    /// Bytes of memory that a session of this model needs: the state (a word a tap and state of
    /// each channel, channels rounded up to a multiple of four, and one more) and scratch space for one step.
    pub fn memory_needed(&self) -> usize {
        4 * (self.state_words + 1) + self.scratch_bytes()
    }

    /// Bytes of a workspace for [`prefill_in_blocks`](Session::prefill_in_blocks) that takes `tokens` at a time, at
    /// least two; the same on every target.
    pub fn prefill_memory_needed(&self, tokens: usize) -> usize {
        self.longest().workspace_bytes(&self.shape, tokens)
    }

    /// A session in `memory`, its state zero: the start of a sequence.
    ///
    /// # Errors
    /// [`MemoryError`] if `memory` is smaller than [`memory_needed`](Self::memory_needed) or not
    /// aligned; see [`Memory`](crate::Memory).
    pub fn session<'m>(&self, memory: &'m mut [u8]) -> Result<Session<'a, 'm>, MemoryError> {
        Session::new(*self, memory)
    }

    /// Words of recurrence state.
    pub(crate) fn state_words(&self) -> usize {
        self.state_words
    }

    /// Bytes of a session's memory that are in use within a call only.
    pub(crate) fn scratch_bytes(&self) -> usize {
        self.longest().scratch_bytes(&self.shape)
    }

    /// Words of the longest quantized vectors. None for f32 weights.
    pub(crate) fn longest(&self) -> Longest {
        let columns = self.shape.longest_input();
        let words = |words: fn(Packing, usize) -> usize| {
            let words = |element| match self.shape.weight_order.packing(element) {
                Some(packing) if self.has(element) => words(packing, columns),
                _ => 0,
            };
            words(ElementType::I8).max(words(ElementType::I4))
        };
        Longest {
            quantized: words(Packing::quantized_words),
            joined: words(Packing::joined_words),
        }
    }

    /// Whether any section is of this type.
    pub fn has(&self, element: ElementType) -> bool {
        (0..self.sections()).any(|i| self.entry(i).element == element as u8)
    }

    /// The embedding, `[vocabulary, dim]`.
    pub fn embedding(&self) -> Matrix<'a> {
        self.matrix(Global::Embedding as usize, None, self.shape.dim)
    }

    /// The map of frames, `[dim, frame_dim]`, with the biases of section `bias`.
    pub(crate) fn frames(&self, bias: usize) -> Matrix<'a> {
        let columns = self.shape.frame_dim;
        self.matrix(Global::Embedding as usize, Some(bias), columns)
    }

    /// The head, `[outputs, dim]`: the embedding's matrix when they are tied.
    pub fn head(&self) -> Matrix<'a> {
        let section = if self.shape.tied {
            Global::Embedding
        } else {
            Global::Head
        };
        self.matrix(section as usize, None, self.shape.dim)
    }

    /// Parameters of the norm before the head.
    pub fn final_norm(&self) -> &'a [f32] {
        self.section(Global::FinalNorm as usize)
    }

    /// Hash and tokens of the known-answer test.
    pub fn known_answer(&self) -> (u64, &'a [u32]) {
        known_answer(self.bytes)
    }

    /// Layer `index`, counted from 0. A layer past the last has empty matrices.
    pub fn layer(&self, index: usize) -> Layer<'a> {
        Layer::new(self, index)
    }

    /// Number of sections.
    pub(crate) fn sections(&self) -> usize {
        read_u32(self.bytes, offset::SECTIONS) as usize
    }

    /// Entry `index` of the section table.
    pub(crate) fn entry(&self, index: usize) -> Entry {
        Entry::read(self.bytes, index)
    }

    /// The section of `kind` of layer `layer`, as numbers. Empty if absent or of another type.
    pub(crate) fn layer_section<T: AnyBitPattern>(&self, layer: usize, kind: PerLayer) -> &'a [T] {
        self.section(GLOBALS + PER_LAYER * layer + kind as usize)
    }

    pub(crate) fn section<T: AnyBitPattern>(&self, index: usize) -> &'a [T] {
        section(self.bytes, index)
    }

    /// How the integers of section `index` lie, if it has any.
    pub(crate) fn packing(&self, index: usize) -> Option<Packing> {
        let element = ElementType::from_byte(self.entry(index).element)?;
        self.shape.weight_order.packing(element)
    }

    /// The matrix in section `index`, its scales in the next and its biases in `bias`.
    #[inline(never)]
    pub(crate) fn matrix(&self, index: usize, bias: Option<usize>, columns: usize) -> Matrix<'a> {
        let bias = bias.map_or(&[][..], |bias| self.section(bias));
        match self.packing(index) {
            Some(packing) => {
                let scales = self.section(index + 1);
                Matrix::new_integers(packing, self.section(index), scales, bias, columns)
            }
            None => Matrix::new_f32(self.section(index), bias, columns),
        }
    }
}

/// Section `index` of a blob, as numbers. Empty if absent or not of whole numbers.
pub(crate) fn section<T: AnyBitPattern>(bytes: &[u8], index: usize) -> &[T] {
    bytemuck::try_cast_slice(section_bytes(bytes, index)).unwrap_or(&[])
}

#[inline(never)] // a layer has many sections: once in flash is enough
fn section_bytes(bytes: &[u8], index: usize) -> &[u8] {
    let entry = Entry::read(bytes, index);
    let end = entry.offset.saturating_add(entry.length);
    bytes.get(entry.offset..end).unwrap_or(&[])
}

/// Hash and tokens of the known-answer test in a blob; no tokens if it has none.
pub(crate) fn known_answer(bytes: &[u8]) -> (u64, &[u32]) {
    match section::<u32>(bytes, Global::SelfTest as usize) {
        [low, high, tokens @ ..] => (u64::from(*low) | u64::from(*high) << 32, tokens),
        _ => (0, &[]),
    }
}

/// One entry of the section table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub offset: usize,
    pub length: usize,
    pub kind: u16,
    pub layer: u16,
    pub element: u8,
    pub zero: [u8; 3],
}

impl Entry {
    /// Entry `index`; an empty section if `bytes` end before it, or are not aligned.
    pub(crate) fn read(bytes: &[u8], index: usize) -> Self {
        let start = HEADER_BYTES + ENTRY_BYTES * index;
        let entry = bytes.get(start..start + ENTRY_BYTES).unwrap_or(&[]);
        let words: Option<&[u32; 4]> = bytemuck::try_from_bytes(entry).ok();
        let [offset, length, kind_layer, types] = *words.unwrap_or(&[0; 4]);
        let [element, zero @ ..] = types.to_le_bytes();
        Self {
            offset: offset as usize,
            length: length as usize,
            kind: kind_layer as u16,
            layer: (kind_layer >> 16) as u16,
            element,
            zero,
        }
    }
}

/// The u32 at `offset`, 0 past the end.
pub(crate) fn read_u32(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u32::from_le_bytes(*b))
}

pub(crate) fn read_u16(bytes: &[u8], offset: usize) -> u16 {
    bytes
        .get(offset..)
        .and_then(|b| b.first_chunk())
        .map_or(0, |b| u16::from_le_bytes(*b))
}
