//! Everything that must hold of a blob of the contract `fixed`: places and sizes, and that no
//! number can overflow.

use super::activation;
use super::model::{Mode, Model};
use super::number::root64;
use crate::error::ModelError;
use crate::format::{
    self, ElementType, GLOBALS, Global, MAX_COLUMNS_I4, MAX_DIMENSION, PER_LAYER, Packing,
    PerLayer, offset,
};
use crate::kernel::dense::int4;
use crate::model::check::{envelope, header, options, places, self_test};
use crate::model::{Activation, Norm, NormPosition, Shape, read_u32};

/// Largest magnitude of an input of a recurrence.
const INPUT: u64 = 1 << 15;
/// States, outputs and products stay below it.
const LIMIT: u64 = 1 << 31;
/// Biases stay below it.
const BIAS: u32 = 1 << 30;

/// Envelope and header.
pub(super) fn shape(bytes: &[u8], task: u16) -> Result<Shape, ModelError> {
    envelope(bytes, format::CONTRACT_FIXED)?;
    let shape = Shape {
        embed_scale: 1.0,
        ..header(bytes, task)?
    };
    let has = |activation| activation::is_supported(activation);
    let fields = [
        (offset::NORM, shape.norm != Norm::GatedRms),
        (offset::FINAL_NORM, shape.final_norm != Norm::GatedRms),
        (offset::GTU_NORM, shape.gtu_norm != Norm::GatedRms),
        // the mean is taken of numbers that are at most 1
        (
            offset::FINAL_NORM,
            shape.final_norm != Norm::None || !format::is_classifier(task),
        ),
        (
            offset::NORM_POSITION,
            shape.norm_position == NormPosition::Pre,
        ),
        (offset::GTU_ACT, has(shape.gtu_act)),
        (offset::GLU_ACT, has(shape.glu_act)),
        (
            offset::GLU_FINAL_ACT,
            shape.glu_final_act == Activation::None,
        ),
        (offset::TIED, !shape.tied),
        (
            offset::ORDER,
            shape.weight_order == format::WeightOrder::Portable,
        ),
        (
            offset::EMBED_SCALE,
            read_u32(bytes, offset::EMBED_SCALE) <= 30,
        ),
    ];
    match fields.into_iter().find(|(_, good)| !good) {
        Some((offset, _)) => Err(ModelError::BadField { offset }),
        None => Ok(shape),
    }
}

/// Places, kinds, types, sizes and contents of all sections.
pub(super) fn sections(model: &Model<'_>, task: u16) -> Result<(), ModelError> {
    let shape = &model.shape;
    places(model.bytes, shape.layers, task)?;
    input(model, task)?;
    let [head, scale, bias] = [Global::Head, Global::HeadScale, Global::FinalNorm];
    let head = [head as usize, scale as usize, bias as usize];
    matrix(model, head, shape.outputs, shape.dim)?;
    self_test(model.bytes, shape.vocabulary)?;
    (0..shape.layers).try_for_each(|index| layer(model, index))
}

/// The embedding, or the map of frames, and its biases.
fn input(model: &Model<'_>, task: u16) -> Result<(), ModelError> {
    let shape = &model.shape;
    let [weights, scale] = [Global::Embedding as usize, Global::EmbeddingScale as usize];
    let bias = match format::is_classifier(task) {
        true => Some(options(shape.layers, task) + 1),
        false => None,
    };
    match bias {
        Some(bias) if shape.frame_dim > 0 => {
            return matrix(model, [weights, scale, bias], shape.dim, shape.frame_dim);
        }
        Some(index) if model.entry(index).length != 0 => {
            return Err(ModelError::BadSection { index });
        }
        _ => {}
    }
    self::weights(model, weights, shape.vocabulary, shape.dim)?;
    multipliers(model, scale, shape.vocabulary)
}

fn layer(model: &Model<'_>, layer: usize) -> Result<(), ModelError> {
    let shape = &model.shape;
    let section = |kind: PerLayer| GLOBALS + PER_LAYER * layer + kind as usize;
    let (dim, channels, glu) = (shape.dim, shape.channels, shape.glu_dim);
    for (kind, rows, columns) in [
        (PerLayer::GtuIn, 2 * channels, dim),
        (PerLayer::GtuOut, dim, channels),
        (PerLayer::GluIn, 2 * glu, dim),
        (PerLayer::GluOut, dim, glu),
    ] {
        let first = section(kind);
        matrix(model, [first, first + 1, first + 2], rows, columns)?;
    }
    for kind in [
        PerLayer::ChannelDecay,
        PerLayer::TokenNorm,
        PerLayer::FeatureNorm,
        PerLayer::GtuNorm,
    ] {
        let index = section(kind);
        if model.entry(index).length != 0 {
            return Err(ModelError::BadSection { index });
        }
    }
    recurrence(model, layer)
}

/// The section at `index` as `count` numbers of type `element`.
fn numbers<'a, T: bytemuck::AnyBitPattern>(
    model: &Model<'a>,
    index: usize,
    element: ElementType,
    count: u64,
) -> Result<&'a [T], ModelError> {
    let found = model.section(index);
    if model.entry(index).element == element as u8 && found.len() as u64 == count {
        Ok(found)
    } else {
        Err(ModelError::BadSection { index })
    }
}

/// All numbers of a section are `good`.
fn all<T: Copy>(
    section: usize,
    numbers: &[T],
    mut good: impl FnMut(T) -> bool,
) -> Result<(), ModelError> {
    match numbers.iter().position(|x| !good(*x)) {
        Some(element) => Err(ModelError::BadNumber { section, element }),
        None => Ok(()),
    }
}

/// A matrix of bytes or of four bits.
fn weights(model: &Model<'_>, index: usize, rows: usize, columns: usize) -> Result<(), ModelError> {
    let entry = model.entry(index);
    if entry.element != ElementType::I4 as u8 {
        let count = rows as u64 * columns as u64;
        let weights = numbers(model, index, ElementType::I8, count)?;
        return all(index, weights, |w: i8| w != i8::MIN);
    }
    let packing = model.packing(index);
    if packing != Packing::Groups {
        return Err(ModelError::FeatureNeeded { feature: "int4" });
    }
    if columns > MAX_COLUMNS_I4 || entry.length != packing.bytes(rows, columns) {
        return Err(ModelError::BadSection { index });
    }
    match int4::fault(packing, model.section(index), rows, columns) {
        Some(element) => Err(ModelError::BadNumber {
            section: index,
            element,
        }),
        None => Ok(()),
    }
}

fn multipliers(model: &Model<'_>, index: usize, rows: usize) -> Result<(), ModelError> {
    numbers::<u16>(model, index, ElementType::U16, rows as u64).map(|_| ())
}

/// Weights, multipliers and biases; the sum of each row has at most 17 bits after its shift.
fn matrix(
    model: &Model<'_>,
    [weights, multipliers, bias]: [usize; 3],
    rows: usize,
    columns: usize,
) -> Result<(), ModelError> {
    self::weights(model, weights, rows, columns)?;
    self::multipliers(model, multipliers, rows)?;
    let biases: &[i32] = numbers(model, bias, ElementType::I32, rows as u64 + 2)?;
    let bad = |element| ModelError::BadNumber {
        section: bias,
        element,
    };
    let low = match biases {
        [low @ 0..=31, _, biases @ ..] => {
            if let Some(row) = biases.iter().position(|b| b.unsigned_abs() >= BIAS) {
                return Err(bad(row + 2));
            }
            *low as u32
        }
        _ => return Err(bad(0)),
    };
    let mut rows = 0..rows;
    match rows
        .position(|row| largest_sum(model, weights, row, columns).wrapping_shr(low) >> 16 != 0)
    {
        Some(row) => Err(ModelError::BadNumber {
            section: weights,
            element: row * columns,
        }),
        None => Ok(()),
    }
}

/// The largest sum that any activations have with a row of a matrix: the limits on columns keep it below 2^31.
fn largest_sum(model: &Model<'_>, index: usize, row: usize, columns: usize) -> u32 {
    let packing = model.packing(index);
    let weights = model.section::<i8>(index);
    let sum: u32 = if packing == Packing::Groups {
        let row = int4::row(packing, weights, row, columns);
        row.map(i32::unsigned_abs).sum()
    } else {
        let row = weights.get(row * columns..).unwrap_or(&[]);
        let row = row.iter().take(columns);
        row.map(|w| u32::from(w.unsigned_abs())).sum()
    };
    127 * sum
}

/// Counts, taps, modes and residues of a layer, and the largest output of each channel.
fn recurrence(model: &Model<'_>, layer: usize) -> Result<(), ModelError> {
    let section = |kind: PerLayer| GLOBALS + PER_LAYER * layer + kind as usize;
    let index = section(PerLayer::Recurrence);
    let counts: &[u32] = numbers(model, index, ElementType::U32, 5)?;
    let most = MAX_DIMENSION as u32;
    let mut limits = [most, most, most, 0, 30].into_iter();
    all(index, counts, |n| {
        limits.next().is_some_and(|limit| n <= limit)
    })?;

    let channels = model.shape.channels as u64;
    let counts = model.counts(layer);
    let modes = counts.real as u64 + counts.complex as u64;
    let taps = counts.taps as u64 + u64::from(modes > 0);
    let sizes = [
        (PerLayer::Taps, taps * channels),
        (PerLayer::Poles, 8 * modes),
    ];
    for (kind, count) in sizes {
        numbers::<i16>(model, section(kind), ElementType::I16, count)?;
    }
    let residues = section(PerLayer::Residues);
    let numbers: &[i32] = numbers(model, residues, ElementType::I32, modes * channels)?;
    let reals = numbers.get(..counts.real * model.shape.channels);
    all(residues, reals.unwrap_or(&[]), |r| i32::from(r as i16) == r)?;
    let r = model.layer(layer).recurrence;
    for index in 0..counts.real + counts.complex {
        let mode = r
            .mode(index)
            .filter(|mode| (index >= counts.real || mode.im == 0) && Bounds::of(mode).is_some());
        if mode.is_none() {
            return Err(ModelError::BadNumber {
                section: section(PerLayer::Poles),
                element: 8 * index,
            });
        }
    }
    match (0..model.shape.channels).find(|channel| largest_output(model, layer, *channel) >= LIMIT)
    {
        Some(channel) => Err(ModelError::BadNumber {
            section: section(PerLayer::Taps),
            element: channel,
        }),
        None => Ok(()),
    }
}

/// A bound on all partial sums of a channel's output.
fn largest_output(model: &Model<'_>, layer: usize, channel: usize) -> u64 {
    // never 0; said again for the compiler, for steps of 0 would panic
    let channels = model.shape.channels.max(1);
    let r = model.layer(layer).recurrence;
    let size = |x: i16| u64::from(x.unsigned_abs());
    let taps = r.taps.get(channel..).unwrap_or(&[]);
    let taps = taps.iter().step_by(channels).map(|tap| size(*tap));
    let mut sum = taps.sum::<u64>() * INPUT;
    let residues = r.residues.get(channel..).unwrap_or(&[]);
    for (index, residue) in residues.iter().step_by(channels).enumerate() {
        let im = if index < r.counts.real {
            0
        } else {
            residue >> 16
        };
        let parts = size(*residue as i16) + size(im as i16);
        let high = r.mode(index).map_or(LIMIT, |mode| mode.high.into());
        sum = sum.saturating_add(parts.saturating_mul(high));
    }
    sum
}

/// How large a mode's numbers can become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Modulus of the state.
    pub state: u64,
    /// A part of the state without its low places.
    pub high: u64,
    /// Modulus that rounding can keep alive in silence, which the state comes to rest from.
    pub alive: u64,
}

impl Bounds {
    /// Nothing if the mode's pole is not inside the unit circle, if its state could leave 31 bits or
    /// its `high`, a product 32 bits, or if rounding could keep alive what does not come to rest.
    ///
    /// A step is `s' = pole * s + x + d` with `|d| <= sqrt(2) (|e| / 2^down + 1)`: the low places
    /// of the state, and of the products. So `|s| <= (|x| + |d|) / (1 - |pole|)`, and in silence
    /// it falls to `|d| / (1 - |pole|)`.
    pub fn of(mode: &Mode) -> Option<Self> {
        let Mode { low, down, .. } = *mode;
        let in_range =
            low <= 16 && down <= 30 && low + down <= 30 && mode.rest <= 30 && mode.input <= 15;
        if !in_range {
            return None;
        }
        let unit = 1u64 << (low + down);
        let re = (unit as i64 + i64::from(mode.re)).unsigned_abs();
        let [im, less] = [mode.im, mode.re].map(|x| u64::from(x.unsigned_abs()));
        let above = |square: u64| root64(square) + 1;
        let modulus = above(re * re + im * im);
        let gap = unit.checked_sub(modulus).filter(|gap| *gap > 0)?;
        let step = above(less * less + im * im);
        // 3 / 2 is above the root of 2
        let rounding = ((3 * step) >> (down + 1)) + 3;
        let input = INPUT << mode.input;
        let state = ((input + rounding) << (low + down)) / gap + 1;
        let alive = (rounding << (low + down)) / gap + 2;
        let high = (state >> low) + 2;
        let fits = state < LIMIT
            && step * high < LIMIT
            && alive <= 1 << mode.rest
            && high <= mode.high.into();
        fits.then_some(Self { state, high, alive })
    }
}
