//! The model blob (`.toep`), byte by byte.
//!
//! One file, position-independent, read in place. All numbers are little-endian.
//!
//! | offset | size | field |
//! | --- | --- | --- |
//! | 0 | 4 | magic, `TOEP` |
//! | 4 | 2 | format version, 2 |
//! | 6 | 2 | numeric contract, 1 = `f32`, 2 = `fixed` |
//! | 8 | 4 | length of the whole blob in bytes |
//! | 12 | 4 | CRC-32 (IEEE 802.3) of bytes 16 to the end |
//! | 16 | 2 | task, see [below](#tasks) |
//! | 18 | 2 | weight order ([`WeightOrder`]) |
//! | 20 | 4 | vocabulary, rows of the embedding; 0 where the input is frames |
//! | 24 | 4 | dim, width of the residual stream |
//! | 28 | 4 | channels of a layer's Toeplitz operator |
//! | 32 | 4 | hidden width of the GLU |
//! | 36 | 4 | layers |
//! | 40 | 1 | norm of the layers ([`Norm`](crate::model::Norm)) |
//! | 41 | 1 | where it stands ([`NormPosition`](crate::model::NormPosition)) |
//! | 42 | 1 | norm before the head |
//! | 43 | 1 | norm inside the GTU |
//! | 44 | 1 | activation of the GTU ([`Activation`](crate::model::Activation)) |
//! | 45 | 1 | activation of the GLU's gate |
//! | 46 | 1 | activation of the GLU's output |
//! | 47 | 1 | 1 if the head is the embedding's matrix, else 0; 0 in classifiers |
//! | 48 | 4 | factor on the embedding, f32 (contract `f32`); 1 where the input is frames |
//! | 52 | 4 | number of sections, `6 + 20 * layers`, and for windows `5 * layers`, for classifiers 2 more |
//! | 56 | 4 | sequence length of training (for information) |
//! | 60 | 4 | most tokens or frames of a window; 0 of models that stream |
//! | 64 | 16 each | section table: offset u32, length in bytes u32, kind u16, layer u16 (65535: none), element type u8, three zero bytes |
//!
//! Sections follow the table in the table's order: the global ones by [`Global`], then those of
//! each layer by [`PerLayer`], then, for windows, those of each layer by [`Backward`], then, for classifiers, the
//! global ones by [`Classifier`]. Each MUST begin at the first multiple of 16 after the previous
//! one, and the gaps MUST be zero. An absent section has length 0. The blob MUST lie at an
//! address that is a multiple of 16, and ends with its last section.
//!
//! # Tasks
//! | task | in | out | read by |
//! | --- | --- | --- | --- |
//! | 1 | tokens, one after the other | logits of the next token | [`Model`](crate::Model), [`fixed::Model`](crate::fixed::Model) |
//! | 2 | tokens of a window | logits at each of them | [`window::Model`](crate::window::Model) |
//! | 3 | tokens or frames, one after the other | logits of the classes of what was seen so far | [`classifier::Model`](crate::classifier::Model), [`fixed::classifier::Model`](crate::fixed::classifier::Model) |
//! | 4 | tokens or frames of a window | logits of the classes of all of it | [`classifier::window::Model`](crate::classifier::window::Model) |
//!
//! # Contents of sections
//! What follows is for the contract `f32`; see [`fixed::model`](crate::fixed::model) for the other.
//!
//! Numbers of channels lie four by four: `[blocks][rows][4]` is a block of four channels after the
//! other, rows of a block one after the other. `blocks` is a quarter of the channels, rounded up; where
//! the last block has more places than channels, they are zero.
//!
//! Matrices are `[rows, columns]`. An int8 matrix has a scale a row in the section after it:
//! `weight = scale[row] * integer`, integers in -127..=127. So has an int4 matrix; its integers are
//! those of -7..=7 times a scale a row and 32 columns, in 0..=255. Both lie as [`Packing`] says for the
//! blob's weight order; f32 matrices are row-major in all orders.

use crate::kernel::dense::{dual, int4};

/// First four bytes of a blob.
pub const MAGIC: [u8; 4] = *b"TOEP";
/// The format version written and read.
pub const VERSION: u16 = 2;
/// Numeric contract `f32`: see the [crate docs](crate#numbers).
pub const CONTRACT_F32: u16 = 1;
/// Numeric contract `fixed`: see [`fixed`](crate::fixed#numbers).
pub const CONTRACT_FIXED: u16 = 2;
/// Task: tokens in, logits of the next token out.
pub const TASK_CAUSAL_LM: u16 = 1;
/// Task: tokens of a window in, logits at each of them out; contract `f32` only. See [`window`](crate::window).
pub const TASK_WINDOW_LM: u16 = 2;
/// Task: tokens or frames in, logits of classes out. See [`classifier`](crate::classifier) and
/// [`fixed::classifier`](crate::fixed::classifier).
pub const TASK_CLASSIFIER: u16 = 3;
/// Task: tokens or frames of a window in, logits of classes out; contract `f32` only. See
/// [`classifier::window`](crate::classifier::window).
pub const TASK_WINDOW_CLASSIFIER: u16 = 4;
/// Bytes of the header before the section table.
pub const HEADER_BYTES: usize = 64;
/// Bytes of one entry of the section table.
pub const ENTRY_BYTES: usize = 16;
/// Channels of a block of the recurrence.
pub const LANES: usize = 4;
/// Alignment of the blob and of each section.
pub const ALIGNMENT: usize = 16;
/// The layer field of a global section's entry.
pub const NO_LAYER: u16 = u16::MAX;
/// Most columns of an int8 matrix: `127 * 127 * columns` must fit an i32.
pub const MAX_COLUMNS: usize = 131_072;
/// Most columns of an int4 matrix: `7 * 127 * 255 * columns` must fit an i32.
pub const MAX_COLUMNS_I4: usize = 8192;
/// Most rows or columns of anything.
pub const MAX_DIMENSION: usize = 1 << 24;
/// Most layers.
pub const MAX_LAYERS: usize = 4096;
/// Smallest magnitude, 2^-50, of a stored scale, bias, tap, residue or pole other than zero. With the
/// flush of states it keeps subnormal numbers out of the recurrence, where they would stay for long,
/// and out of matrix products, so that vectors which flush them give the same bits.
pub const SMALLEST: f32 = f32::from_bits((127 - 50) << 23);

/// Sections that are there once, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Global {
    /// `[vocabulary, dim]`; where the input is frames, the map of those, `[dim, numbers of a frame]`.
    Embedding = 0,
    /// Scales of its rows, f32; absent for f32 weights.
    EmbeddingScale = 1,
    /// Parameters of the norm before the head, f32.
    FinalNorm = 2,
    /// `[vocabulary, dim]`, of a classifier `[classes, dim]`; absent when tied.
    Head = 3,
    /// Scales of the head's rows, f32; absent for f32 weights or when tied.
    HeadScale = 4,
    /// Known-answer test, u32: low and high half of the hash, then the tokens. Where the input is frames, a
    /// number for each of them, which it follows from: see [`known_frame`].
    SelfTest = 5,
}

/// Number of [`Global`] sections.
pub const GLOBALS: usize = 6;

/// Sections of each layer, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum PerLayer {
    /// Four u32: taps M, real modes, complex modes, 1 if there is a decay a channel.
    Recurrence = 0,
    /// `[2 * channels, dim]`: the rows of `u_proj`, then those of `v_proj`.
    GtuIn = 1,
    /// Row scales, f32.
    GtuInScale = 2,
    /// Biases, f32.
    GtuInBias = 3,
    /// FIR head, f32 `[blocks][M][4]`.
    Taps = 4,
    /// Poles, f32: the real ones, then of each complex one the real part and the square of the
    /// imaginary part.
    Poles = 5,
    /// Residues, f32 `[blocks][order][4]`: a row for each number in `Poles`. Of a complex mode with the
    /// doubled residue `r` and the pole `a + ib`: `Re r`, then `-b Im r`.
    Residues = 6,
    /// Factor on every pole, f32 `[blocks][4]`; absent when poles are shared by all channels.
    ChannelDecay = 7,
    /// `[dim, channels]`.
    GtuOut = 8,
    /// Row scales, f32.
    GtuOutScale = 9,
    /// Biases, f32.
    GtuOutBias = 10,
    /// `[2 * glu_dim, dim]`: the rows of `l1`, then those of `l2`.
    GluIn = 11,
    /// Row scales, f32.
    GluInScale = 12,
    /// Biases, f32.
    GluInBias = 13,
    /// `[dim, glu_dim]`.
    GluOut = 14,
    /// Row scales, f32.
    GluOutScale = 15,
    /// Biases, f32.
    GluOutBias = 16,
    /// Parameters of the norm of the GTU's input or output, f32.
    TokenNorm = 17,
    /// Parameters of the norm of the GLU's input or output, f32.
    FeatureNorm = 18,
    /// Parameters of the norm inside the GTU, f32.
    GtuNorm = 19,
}

/// Number of [`PerLayer`] sections.
pub const PER_LAYER: usize = 20;

/// Sections of each layer's backward recurrence, in this order: as those of [`PerLayer`] with these names, which
/// are the forward one. It runs from a window's end to its start, over lags below zero: its tap 0 is lag -1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Backward {
    /// Counts of taps and modes.
    Recurrence = 20,
    /// FIR head.
    Taps = 21,
    /// Poles.
    Poles = 22,
    /// Residues.
    Residues = 23,
    /// Factor on every pole.
    ChannelDecay = 24,
}

/// Number of [`Backward`] sections.
pub const BACKWARD: usize = 5;

/// Sections of a classifier that are there once, in this order, after those of the layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Classifier {
    /// Four u32: classes, at most [`MAX_DIMENSION`]; the number of the
    /// [`Pooling`](crate::classifier::Pooling); numbers of a frame, at most [`MAX_COLUMNS`], 0 where the input is
    /// tokens; 0.
    Options = 25,
    /// Biases of the map of frames, f32 `[dim]`; absent where the input is tokens.
    FramesBias = 26,
}

/// Number of [`Classifier`] sections.
pub const CLASSIFIER: usize = 2;

/// Number of sections of a model with so many layers.
pub const fn sections(layers: usize, task: u16) -> usize {
    let backward = if is_window(task) { BACKWARD } else { 0 };
    let own = if is_classifier(task) { CLASSIFIER } else { 0 };
    GLOBALS + (PER_LAYER + backward) * layers + own
}

/// Whether models of this task run over a window, by a backward recurrence, too.
pub const fn is_window(task: u16) -> bool {
    matches!(task, TASK_WINDOW_LM | TASK_WINDOW_CLASSIFIER)
}

/// Whether models of this task give logits of classes.
pub const fn is_classifier(task: u16) -> bool {
    matches!(task, TASK_CLASSIFIER | TASK_WINDOW_CLASSIFIER)
}

/// Kind and layer of section `index` of a model with so many layers, as its entry has them.
pub const fn kind_and_layer(index: usize, layers: usize, task: u16) -> (u16, u16) {
    let forward = GLOBALS + PER_LAYER * layers;
    let own = sections(layers, task) - if is_classifier(task) { CLASSIFIER } else { 0 };
    let (kind, layer) = if index < GLOBALS {
        return (index as u16, NO_LAYER);
    } else if index >= own {
        return ((PER_LAYER + BACKWARD + index - own) as u16, NO_LAYER);
    } else if index < forward {
        let i = index - GLOBALS;
        (i % PER_LAYER, i / PER_LAYER)
    } else {
        let i = index - forward;
        (PER_LAYER + i % BACKWARD, i / BACKWARD)
    };
    (kind as u16, layer as u16)
}

/// Element types of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ElementType {
    /// IEEE 754 binary32.
    F32 = 1,
    /// Signed byte.
    I8 = 2,
    /// Unsigned 32-bit number.
    U32 = 3,
    /// Four bits, in [`Packing::Groups`] or [`Packing::Quad`].
    I4 = 4,
    /// Signed 16-bit number.
    I16 = 8,
    /// Unsigned 16-bit number.
    U16 = 9,
    /// Signed 32-bit number.
    I32 = 10,
}

impl ElementType {
    /// The type that a byte of the section table names.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::F32),
            2 => Some(Self::I8),
            3 => Some(Self::U32),
            4 => Some(Self::I4),
            8 => Some(Self::I16),
            9 => Some(Self::U16),
            10 => Some(Self::I32),
            _ => None,
        }
    }

    /// Bytes an element, or the unit that a section's length is a multiple of.
    pub const fn bytes(self) -> usize {
        match self {
            Self::F32 | Self::U32 | Self::I32 | Self::I4 => 4,
            Self::I16 | Self::U16 => 2,
            Self::I8 => 1,
        }
    }
}

/// How integers of a matrix lie in the blob: as the kernels of some cores read them. The discriminant
/// is the number in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum WeightOrder {
    /// Row-major. Every target reads it.
    Portable = 0,
    /// Two rows in the lanes of a word, see [`kernel::dense::dual`](crate::kernel::dense::dual): for
    /// Arm cores with DSP instructions, Cortex-M4, M7 and M33.
    Dual = 1,
}

impl WeightOrder {
    /// The order that the header's number names.
    pub const fn from_number(number: u16) -> Option<Self> {
        match number {
            0 => Some(Self::Portable),
            1 => Some(Self::Dual),
            _ => None,
        }
    }

    /// What the order is for.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Portable => "portable",
            Self::Dual => "Cortex-M4, M7, M33",
        }
    }

    /// How int8 matrices lie.
    pub const fn int8(self) -> Packing {
        match self {
            Self::Portable => Packing::Rows,
            Self::Dual => Packing::Dual,
        }
    }

    /// How int4 matrices lie.
    pub const fn int4(self) -> Packing {
        match self {
            Self::Portable => Packing::Groups,
            Self::Dual => Packing::Quad,
        }
    }

    /// How matrices of a type lie, if it is an integer one.
    pub const fn packing(self, element: ElementType) -> Option<Packing> {
        match element {
            ElementType::I8 => Some(self.int8()),
            ElementType::I4 => Some(self.int4()),
            _ => None,
        }
    }
}

/// How an integer matrix lies in the blob: of a type of weights, in an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// int8, portable: row-major bytes.
    Rows,
    /// int8 in order [`Dual`](WeightOrder::Dual), see [`kernel::dense::dual`](crate::kernel::dense::dual).
    Dual,
    /// int4, portable, see [`kernel::dense::int4`](crate::kernel::dense::int4).
    Groups,
    /// int4 in order [`Dual`](WeightOrder::Dual), see there.
    Quad,
}

impl Packing {
    /// Bytes of a matrix. Too large a number for a blob stands for all that are larger.
    pub const fn bytes(self, rows: usize, columns: usize) -> usize {
        match self {
            Self::Rows => rows.saturating_mul(columns),
            Self::Dual => {
                let columns = columns.next_multiple_of(dual::COLUMNS);
                rows.next_multiple_of(dual::ROWS).saturating_mul(columns)
            }
            Self::Groups | Self::Quad => {
                let chunks = rows.div_ceil(int4::ROWS) * 4 * int4::WORDS;
                chunks.saturating_mul(columns.div_ceil(int4::COLUMNS))
            }
        }
    }

    /// Words that hold a quantized vector of `length` elements.
    pub const fn quantized_words(self, length: usize) -> usize {
        match self {
            Self::Rows => length.div_ceil(4),
            Self::Dual => length.next_multiple_of(dual::COLUMNS) / 2,
            Self::Groups | Self::Quad => length.div_ceil(int4::COLUMNS) * int4::WORDS,
        }
    }

    /// Words that hold the quantized vectors of two tokens as kernels for two read them, on whatever core.
    pub(crate) const fn joined_words(self, length: usize) -> usize {
        match self {
            Self::Rows => length,
            _ => 2 * self.quantized_words(length),
        }
    }
}

/// Offsets of the header's fields.
pub mod offset {
    #![allow(missing_docs)]
    pub const MAGIC: usize = 0;
    pub const VERSION: usize = 4;
    pub const CONTRACT: usize = 6;
    pub const LENGTH: usize = 8;
    pub const CRC: usize = 12;
    pub const TASK: usize = 16;
    pub const ORDER: usize = 18;
    pub const VOCABULARY: usize = 20;
    pub const DIM: usize = 24;
    pub const CHANNELS: usize = 28;
    pub const GLU_DIM: usize = 32;
    pub const LAYERS: usize = 36;
    pub const NORM: usize = 40;
    pub const NORM_POSITION: usize = 41;
    pub const FINAL_NORM: usize = 42;
    pub const GTU_NORM: usize = 43;
    pub const GTU_ACT: usize = 44;
    pub const GLU_ACT: usize = 45;
    pub const GLU_FINAL_ACT: usize = 46;
    pub const TIED: usize = 47;
    pub const EMBED_SCALE: usize = 48;
    pub const SECTIONS: usize = 52;
    pub const TRAIN_LEN: usize = 56;
    pub const WINDOW: usize = 60;
}

/// Whether a pole with real part `a` and `square` of the imaginary part lies in the closed unit disc:
/// `a^2 + square <= 1`, in integers, so that no rounding decides and no double precision is needed. Digits
/// of `a` below 2^-31 and of `square` below 2^-62 are rounded up.
pub fn within_unit_disc(a: f32, square: f32) -> bool {
    // false for what is not a number, too
    let small = a.abs() <= 1.0 && (0.0..=1.0).contains(&square);
    let a = fixed(a.abs(), 31);
    small && a * a + fixed(square, 62) <= 1 << 62
}

/// `x * 2^places` rounded up, of a number in 0..=1; at most 62 places.
fn fixed(x: f32, places: u32) -> u64 {
    let (exponent, mantissa) = (x.to_bits() >> 23, x.to_bits() & 0x007F_FFFF);
    if exponent == 0 {
        return u64::from(mantissa != 0);
    }
    let mantissa = u64::from(mantissa | 0x0080_0000);
    let shift = (places + exponent).saturating_sub(150).min(39);
    let down = 150u32.saturating_sub(places + exponent).min(24);
    ((mantissa << shift) + (1 << down) - 1) >> down
}

/// Writes the frame that follows from `number` to `frame`, for known-answer tests. A state of 32 bits, at first
/// `number`, becomes `1664525 * state + 1013904223` (modulo 2^32) for each of the frame's numbers, which is the
/// state's high half, signed, divided by 2^13: between -4 and 4, and exact.
pub fn known_frame(number: u32, frame: &mut [f32]) {
    for (x, number) in frame.iter_mut().zip(known_numbers(number)) {
        *x = f32::from(number) / 8192.0;
    }
}

/// The numbers of [`known_frame`] times 2^13, without end.
pub(crate) fn known_numbers(number: u32) -> impl Iterator<Item = i16> {
    let mut state = number;
    core::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as u16 as i16
    })
}

/// CRC-32 (IEEE 802.3) of `bytes`, four bits at a time: 64 bytes of table instead of the usual
/// kilobyte, which matters more in flash than the time of one check at start-up.
pub fn crc32(bytes: &[u8]) -> u32 {
    const TABLE: [u32; 16] = {
        let mut table = [0; 16];
        let mut i = 0;
        while i < 16 {
            let mut c = i as u32;
            let mut bit = 0;
            while bit < 4 {
                c = if c & 1 != 0 {
                    0xEDB8_8320 ^ (c >> 1)
                } else {
                    c >> 1
                };
                bit += 1;
            }
            table[i] = c;
            i += 1;
        }
        table
    };
    let fold = |c: u32| TABLE[(c & 15) as usize] ^ (c >> 4);
    !bytes.iter().fold(!0, |c, &b| fold(fold(c ^ u32::from(b))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc_is_the_ieee_one() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn the_unit_disc_ends_where_it_should() {
        let below = |x: f32| f32::from_bits(x.to_bits() - 1);
        for (a, square, inside) in [
            (1.0, 0.0, true),
            (-1.0, 0.0, true),
            (0.0, 1.0, true),
            (0.0, 0.0, true),
            (0.6, below(0.64), true),
            (1.0, SMALLEST, false),
            (-1.0, f32::from_bits(1), false),
            (1.0 + f32::EPSILON, 0.0, false),
            (0.0, -SMALLEST, false),
            (f32::NAN, 0.0, false),
            (0.0, f32::INFINITY, false),
            (SMALLEST, 1.0, false),
            (SMALLEST, below(1.0), true),
        ] {
            assert_eq!(within_unit_disc(a, square), inside, "{a} {square}");
        }
        // a^2 + c = 1 + 2^-47, and just below 1
        let a = below(1.0);
        assert!(!within_unit_disc(a, f32::EPSILON));
        assert!(within_unit_disc(a, below(f32::EPSILON)));
    }

    #[test]
    fn smallest_is_two_to_the_minus_fifty() {
        assert_eq!(SMALLEST, libm::ldexpf(1.0, -50));
    }
}
