//! A checked view of a model blob of the contract `fixed`.
//!
//! Header and section table are those of [`format`](crate::format), with contract 2. The header's factor on the
//! embedding is a number of 32 bits instead: the places after the point of the residual stream,
//! at most 30. Sections hold integers:
//!
//! | section | contents |
//! | --- | --- |
//! | all matrices | i8 or four bits, as [`Packing::Rows`] or [`Packing::Groups`] |
//! | their scales | u16, a multiplier a row |
//! | their biases; of the head [`FinalNorm`](Global::FinalNorm) | i32: `low`, `places`, then a bias below 2^30 a row |
//! | [`Recurrence`](PerLayer::Recurrence) | five u32: taps M, real modes, complex modes, 0, places after the point of `y` less those of its input |
//! | [`Taps`](PerLayer::Taps) | i16 `[M, channels]`, of `[M + 1, channels]` if there are modes: the last is the real part of the residues' sum |
//! | [`Poles`](PerLayer::Poles) | eight i16 a mode, see [`Mode`]: real and imaginary part, `low`, `down`, `input`, `rest`, low and high half of `high` |
//! | [`Residues`](PerLayer::Residues) | i32 `[modes, channels]`, times the pole: a number of 16 bits; of a complex mode two, the real part in the low half |
//! | [`FramesBias`](crate::format::Classifier::FramesBias) of a classifier of frames | that of the map of frames, `[dim, frame_dim]`, which lies where the embedding does |
//! | all others | empty |
//!
//! The table's element type says of each matrix what its weights are. There is always a matrix for the head, and the field for tied embeddings is 0: the parameters of norms
//! are in the matrices after them.

use super::check;
use super::quantize::Mean;
use super::session::Session;
use crate::block::Longest;
use crate::error::{MemoryError, ModelError};
use crate::format::{
    ElementType, GLOBALS, Global, PER_LAYER, Packing, PerLayer, TASK_CAUSAL_LM, offset,
};
use crate::kernel::dense::{self, int4};
use crate::layer::Counts;
use crate::model::{Entry, Shape, known_answer, read_u32, section};
use bytemuck::AnyBitPattern;

/// A model in flash (or any memory), checked once, read in place.
///
/// A `Model` is a view: copying it copies no weights.
#[derive(Clone, Copy, Debug)]
pub struct Model<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) shape: Shape,
    pub(super) means: [Mean; 2],
    sizes: StateSizes,
}

/// Numbers of all layers' state.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StateSizes {
    /// i32 of modes.
    pub modes: usize,
    /// i16 of rings.
    pub ring: usize,
}

impl<'a> Model<'a> {
    /// Checks `bytes` and makes a view of them. Nothing is copied.
    ///
    /// `bytes` must lie at a multiple of 16: embed them with
    /// [`include_aligned!`](crate::include_aligned). Every byte is read, for the checksum and to
    /// prove that no number can overflow. After this nothing can fail, whatever the bytes are.
    ///
    /// # Errors
    /// [`ModelError`] says what is wrong and where.
    #[inline(never)] // its numbers are not to stay on the stack of who called it
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        Self::of_task(bytes, TASK_CAUSAL_LM)
    }

    /// [`from_bytes`](Self::from_bytes) of a model of another task. Inlined: the task is known where it is called, and what
    /// it has not is left out.
    #[inline(always)]
    pub(super) fn of_task(bytes: &'a [u8], task: u16) -> Result<Self, ModelError> {
        let shape = check::shape(bytes, task)?;
        let mut model = Self {
            bytes,
            shape,
            means: [Mean::over(shape.dim), Mean::over(shape.channels)],
            sizes: StateSizes::default(),
        };
        check::sections(&model, task)?;
        for layer in 0..shape.layers {
            let counts = model.counts(layer);
            model.sizes.modes += counts.order() * shape.channels;
            model.sizes.ring += counts.taps * shape.channels;
        }
        Ok(model)
    }

    /// Dimensions and options. The factor on the embedding is 1.
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

    /// Places after the point of the residual stream.
    pub fn fraction(&self) -> i32 {
        read_u32(self.bytes, offset::EMBED_SCALE) as i32
    }

    /// Bytes of memory that a session of this model needs: the state (four bytes a mode's state and two a
    /// tap of each channel, two words a layer) and scratch space for one step.
    pub fn memory_needed(&self) -> usize {
        let words = self.sizes.modes + self.ring_words() + 2 * self.shape.layers;
        4 * words + self.longest().scratch_bytes(&self.shape)
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

    pub(super) fn sizes(&self) -> StateSizes {
        self.sizes
    }

    /// Words that hold all rings.
    pub(super) fn ring_words(&self) -> usize {
        self.sizes.ring.div_ceil(2)
    }

    /// Words of the longest quantized vectors.
    pub(super) fn longest(&self) -> Longest {
        let columns = self.shape.longest_input();
        // groups take more than rows
        let packing = match self.has(ElementType::I4) {
            true => Packing::Groups,
            false => Packing::Rows,
        };
        Longest {
            quantized: packing.quantized_words(columns),
            joined: packing.joined_words(columns),
        }
    }

    /// Whether any section is of this type.
    pub fn has(&self, element: ElementType) -> bool {
        (0..self.sections()).any(|i| self.entry(i).element == element as u8)
    }

    /// `x = weight * multiplier`, of a row of the embedding.
    pub(super) fn embed(&self, row: usize, x: &mut [i32]) {
        let index = Global::Embedding as usize;
        let multipliers: &[u16] = self.section(Global::EmbeddingScale as usize);
        let multiplier = i32::from(multipliers.get(row).copied().unwrap_or(0));
        let weights = self.section(index);
        match self.packing(index) {
            Packing::Groups => {
                let weights = int4::row(Packing::Groups, weights, row, x.len());
                for (x, weight) in x.iter_mut().zip(weights) {
                    *x = weight * multiplier;
                }
            }
            _ => {
                let weights = weights.get(row * x.len()..).unwrap_or(&[]);
                for (x, weight) in x.iter_mut().zip(weights) {
                    *x = i32::from(*weight) * multiplier;
                }
            }
        }
    }

    /// The head, `[outputs, dim]`.
    pub fn head(&self) -> Matrix<'a> {
        let [weights, multipliers, bias] = [Global::Head, Global::HeadScale, Global::FinalNorm];
        self.matrix([weights as usize, multipliers as usize, bias as usize])
    }

    /// Hash and tokens of the known-answer test.
    pub fn known_answer(&self) -> (u64, &'a [u32]) {
        known_answer(self.bytes)
    }

    /// Layer `index`, counted from 0. A layer past the last has empty matrices.
    pub fn layer(&self, index: usize) -> Layer<'a> {
        let matrix = |kind: PerLayer| {
            let first = GLOBALS + PER_LAYER * index + kind as usize;
            self.matrix([first, first + 1, first + 2])
        };
        Layer {
            gtu_in: matrix(PerLayer::GtuIn),
            recurrence: Recurrence {
                counts: self.counts(index),
                fraction: self.recurrence_numbers(index)[4] as i32,
                taps: self.layer_section(index, PerLayer::Taps),
                modes: self
                    .layer_section::<i16>(index, PerLayer::Poles)
                    .as_chunks()
                    .0,
                residues: self.layer_section(index, PerLayer::Residues),
            },
            gtu_out: matrix(PerLayer::GtuOut),
            glu_in: matrix(PerLayer::GluIn),
            glu_out: matrix(PerLayer::GluOut),
        }
    }

    /// What layer `index`'s recurrence section says.
    pub(super) fn counts(&self, index: usize) -> Counts {
        let [taps, real, complex, ..] = self.recurrence_numbers(index);
        Counts {
            taps: taps as usize,
            real: real as usize,
            complex: complex as usize,
            has_channel_decay: false,
        }
    }

    /// Zeros for a layer past the last.
    fn recurrence_numbers(&self, index: usize) -> [u32; 5] {
        let numbers = self.layer_section::<u32>(index, PerLayer::Recurrence);
        numbers.first_chunk().copied().unwrap_or_default()
    }

    /// Number of sections.
    pub(super) fn sections(&self) -> usize {
        read_u32(self.bytes, offset::SECTIONS) as usize
    }

    pub(super) fn entry(&self, index: usize) -> Entry {
        Entry::read(self.bytes, index)
    }

    /// A section as numbers. Empty if absent.
    pub(super) fn section<T: AnyBitPattern>(&self, index: usize) -> &'a [T] {
        section(self.bytes, index)
    }

    fn layer_section<T: AnyBitPattern>(&self, layer: usize, kind: PerLayer) -> &'a [T] {
        self.section(GLOBALS + PER_LAYER * layer + kind as usize)
    }

    /// How the matrix in section `index` lies: in rows or, if this build has kernels for them, in groups. So
    /// nothing that another would need is linked.
    pub(super) fn packing(&self, index: usize) -> Packing {
        match self.entry(index).element == ElementType::I4 as u8 {
            true if dense::is_read(Packing::Groups) => Packing::Groups,
            _ => Packing::Rows,
        }
    }

    /// The matrix of the sections of weights, multipliers and biases.
    #[inline(never)]
    pub(super) fn matrix(&self, [weights, multipliers, bias]: [usize; 3]) -> Matrix<'a> {
        let (low, places, bias) = match self.section::<i32>(bias) {
            [low, places, bias @ ..] => (*low as u32, *places, bias),
            _ => (0, 0, &[][..]),
        };
        Matrix {
            packing: self.packing(weights),
            weights: self.section(weights),
            multipliers: self.section(multipliers),
            low,
            places,
            bias,
        }
    }
}

/// A matrix of integers with a multiplier and a bias a row.
#[derive(Clone, Copy, Debug)]
pub struct Matrix<'a> {
    pub(super) packing: Packing,
    pub(super) weights: &'a [i8],
    pub(super) multipliers: &'a [u16],
    pub(super) low: u32,
    pub(super) places: i32,
    pub(super) bias: &'a [i32],
}

impl<'a> Matrix<'a> {
    /// Multipliers and biases of the rows from `first` on.
    pub(super) fn rows(&self, first: usize) -> impl Iterator<Item = (&'a u16, &'a i32)> {
        let multipliers = self.multipliers.get(first..).unwrap_or(&[]);
        multipliers
            .iter()
            .zip(self.bias.get(first..).unwrap_or(&[]))
    }

    /// Bytes in the blob: weights, multipliers and biases.
    pub fn bytes(&self) -> usize {
        self.weights.len() + 2 * self.multipliers.len() + 4 * self.bias.len() + 8
    }
}

/// One layer.
#[derive(Clone, Copy, Debug)]
pub struct Layer<'a> {
    /// `[2 * channels, dim]`: u, then v.
    pub gtu_in: Matrix<'a>,
    /// The Toeplitz operator.
    pub recurrence: Recurrence<'a>,
    /// `[dim, channels]`.
    pub gtu_out: Matrix<'a>,
    /// `[2 * glu_dim, dim]`: the gate, then the value.
    pub glu_in: Matrix<'a>,
    /// `[dim, glu_dim]`.
    pub glu_out: Matrix<'a>,
}

/// A layer's Toeplitz operator: taps on the last inputs, and modes whose input is the one that
/// leaves the taps.
#[derive(Clone, Copy, Debug)]
pub struct Recurrence<'a> {
    /// Taps and modes.
    pub counts: Counts,
    /// Places after the point of the output less those of the input.
    pub fraction: i32,
    /// `[M or M + 1, channels]`.
    pub taps: &'a [i16],
    /// A record a mode, see [`mode`](Self::mode).
    pub(super) modes: &'a [[i16; 8]],
    /// A row of each mode; of a complex one, real parts in the low and imaginary parts in the high halves.
    pub residues: &'a [i32],
}

impl Recurrence<'_> {
    /// Mode `index`; the real ones come first.
    pub fn mode(&self, index: usize) -> Option<Mode> {
        self.modes.get(index).map(Mode::read)
    }
}

/// A mode that all channels share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode {
    /// Real part of the pole less 1, times `2^(low + down)`.
    pub re: i32,
    /// Imaginary part of the pole, times `2^(low + down)`; 0 of a real mode.
    pub im: i32,
    /// Places of the state that products with it leave out.
    pub low: u32,
    /// Places of those products that the state leaves out.
    pub down: u32,
    /// Places that the state has more than the input.
    pub input: u32,
    /// States below `2^rest` may come to rest.
    pub rest: u32,
    /// What no part of a state without its low places exceeds: checked once, for all channels.
    pub high: u32,
}

impl Mode {
    fn read([re, im, low, down, input, rest, high @ ..]: &[i16; 8]) -> Self {
        let [high_low, high_high] = high.map(|x| u32::from(x as u16));
        Self {
            re: (*re).into(),
            im: (*im).into(),
            low: *low as u16 as u32,
            down: *down as u16 as u32,
            input: *input as u16 as u32,
            rest: *rest as u16 as u32,
            high: high_low | high_high << 16,
        }
    }
}
