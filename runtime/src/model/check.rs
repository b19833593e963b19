//! Everything that must hold of a blob before it is used.

use super::{Activation, Model, Norm, NormPosition, Shape, known_answer, read_u16, read_u32};
use crate::classifier::Pooling;
use crate::error::ModelError;
use crate::format::{
    self, ALIGNMENT, ElementType, GLOBALS, Global, HEADER_BYTES, LANES, MAX_COLUMNS,
    MAX_COLUMNS_I4, MAX_DIMENSION, MAX_LAYERS, PER_LAYER, Packing, PerLayer, SMALLEST, WeightOrder,
    offset,
};
use crate::kernel::dense;
use crate::layer::{Recurrence, RecurrenceSections};

/// Magic, version, contract, length, alignment and checksum.
pub(crate) fn envelope(bytes: &[u8], contract: u16) -> Result<(), ModelError> {
    let found = bytes.len();
    let Some(magic) = bytes.first_chunk::<4>() else {
        return Err(ModelError::WrongLength {
            expected: HEADER_BYTES,
            found,
        });
    };
    if *magic != format::MAGIC {
        return Err(ModelError::BadMagic { found: *magic });
    }
    if found < HEADER_BYTES {
        return Err(ModelError::WrongLength {
            expected: HEADER_BYTES,
            found,
        });
    }
    match read_u16(bytes, offset::VERSION) {
        format::VERSION => {}
        found => return Err(ModelError::UnsupportedVersion { found }),
    }
    match read_u16(bytes, offset::CONTRACT) {
        found if found == contract => {}
        found => {
            return Err(ModelError::UnsupportedContract {
                found,
                expected: contract,
            });
        }
    }
    let expected = read_u32(bytes, offset::LENGTH) as usize;
    if expected != found {
        return Err(ModelError::WrongLength { expected, found });
    }
    let remainder = bytes.as_ptr().addr() % ALIGNMENT;
    if remainder != 0 {
        return Err(ModelError::Misaligned { remainder });
    }
    let expected = read_u32(bytes, offset::CRC);
    let found = format::crc32(bytes.get(offset::TASK..).unwrap_or(&[]));
    if expected != found {
        return Err(ModelError::Corrupt { expected, found });
    }
    Ok(())
}

/// The header's fields, as the contract `f32` has them for a task.
pub(super) fn shape(bytes: &[u8], task: u16) -> Result<Shape, ModelError> {
    let shape = header(bytes, task)?;
    let good = match shape.frame_dim {
        0 => in_range(shape.embed_scale),
        _ => shape.embed_scale == 1.0,
    };
    if !good {
        return Err(ModelError::BadField {
            offset: offset::EMBED_SCALE,
        });
    }
    Ok(shape)
}

/// Classes and numbers of a frame, as a classifier's own section has them.
fn classifier(bytes: &[u8], index: usize) -> Result<[usize; 2], ModelError> {
    let element = super::Entry::read(bytes, index).element;
    let numbers: &[u32] = super::section(bytes, index);
    let [classes, pooling, frame_dim, zero] = match numbers {
        [a, b, c, d] if element == ElementType::U32 as u8 => [*a, *b, *c, *d],
        _ => return Err(ModelError::BadSection { index }),
    };
    let (classes, frame_dim) = (classes as usize, frame_dim as usize);
    let good = [
        (1..=MAX_DIMENSION).contains(&classes),
        Pooling::from_number(pooling).is_some(),
        frame_dim <= MAX_COLUMNS,
        zero == 0,
    ];
    match good.iter().position(|good| !good) {
        Some(element) => Err(ModelError::BadNumber {
            section: index,
            element,
        }),
        None => Ok([classes, frame_dim]),
    }
}

/// The header's fields of a classifier that depend on its own section.
fn classifier_fields(shape: &Shape) -> Result<(), ModelError> {
    let has_frames = shape.frame_dim > 0;
    let fields = [
        (offset::VOCABULARY, (shape.vocabulary == 0) == has_frames),
        (offset::TIED, !shape.tied),
    ];
    match fields.into_iter().find(|(_, good)| !good) {
        Some((offset, _)) => Err(ModelError::BadField { offset }),
        None => Ok(()),
    }
}

/// The section of a classifier's options, of a model with so many layers. That of the biases is the next.
pub(crate) fn options(layers: usize, task: u16) -> usize {
    format::sections(layers, task) - format::CLASSIFIER
}

/// The header's fields. The factor on the embedding is not looked at: not all contracts have one.
pub(crate) fn header(bytes: &[u8], task: u16) -> Result<Shape, ModelError> {
    match read_u16(bytes, offset::TASK) {
        found if found == task => {}
        found => {
            return Err(ModelError::UnsupportedTask {
                found,
                expected: task,
            });
        }
    }
    let order = weight_order(read_u16(bytes, offset::ORDER))?;
    let number = |offset, limit: usize| match read_u32(bytes, offset) as usize {
        0 => Err(ModelError::BadField { offset }),
        n if n > limit => Err(ModelError::BadField { offset }),
        n => Ok(n),
    };
    let byte = |offset: usize| bytes.get(offset).copied().unwrap_or(u8::MAX);
    let bad = |offset| ModelError::BadField { offset };
    let norm = |offset| Norm::from_byte(byte(offset)).ok_or(bad(offset));
    let activation = |offset| match Activation::from_byte(byte(offset)) {
        None => Err(bad(offset)),
        Some(Activation::Gelu) if !cfg!(feature = "gelu") => {
            Err(ModelError::FeatureNeeded { feature: "gelu" })
        }
        Some(activation) => Ok(activation),
    };
    let vocabulary = match read_u32(bytes, offset::VOCABULARY) {
        // of frames, for all that is known here
        0 if format::is_classifier(task) => 0,
        _ => number(offset::VOCABULARY, MAX_DIMENSION)?,
    };
    let window = match format::is_window(task) {
        true => number(offset::WINDOW, MAX_DIMENSION)?,
        _ if read_u32(bytes, offset::WINDOW) == 0 => 0,
        _ => return Err(bad(offset::WINDOW)),
    };
    let layers = number(offset::LAYERS, MAX_LAYERS)?;
    if read_u32(bytes, offset::SECTIONS) as usize != format::sections(layers, task) {
        return Err(bad(offset::SECTIONS));
    }
    let [outputs, frame_dim] = match format::is_classifier(task) {
        true => classifier(bytes, options(layers, task))?,
        false => [vocabulary, 0],
    };
    let shape = Shape {
        vocabulary,
        outputs,
        frame_dim,
        dim: number(offset::DIM, MAX_COLUMNS)?,
        channels: number(offset::CHANNELS, MAX_COLUMNS)?,
        glu_dim: number(offset::GLU_DIM, MAX_COLUMNS)?,
        layers,
        norm: norm(offset::NORM)?,
        norm_position: NormPosition::from_byte(byte(offset::NORM_POSITION))
            .ok_or(bad(offset::NORM_POSITION))?,
        final_norm: norm(offset::FINAL_NORM)?,
        gtu_norm: norm(offset::GTU_NORM)?,
        gtu_act: activation(offset::GTU_ACT)?,
        glu_act: activation(offset::GLU_ACT)?,
        glu_final_act: activation(offset::GLU_FINAL_ACT)?,
        tied: match byte(offset::TIED) {
            0 => false,
            1 => true,
            _ => return Err(bad(offset::TIED)),
        },
        embed_scale: f32::from_bits(read_u32(bytes, offset::EMBED_SCALE)),
        train_len: read_u32(bytes, offset::TRAIN_LEN) as usize,
        weight_order: order,
        window,
    };
    if format::is_classifier(task) {
        classifier_fields(&shape)?;
    }
    Ok(shape)
}

/// The order of this number, if this build has kernels for it.
fn weight_order(found: u16) -> Result<WeightOrder, ModelError> {
    match WeightOrder::from_number(found) {
        None => Err(ModelError::UnsupportedOrder { found }),
        Some(order) if dense::can_read(order) => Ok(order),
        Some(order) => Err(ModelError::OtherTarget {
            packed_for: order.name(),
            target: dense::TARGET,
        }),
    }
}

/// Places, kinds, types, sizes and contents of all sections.
pub(super) fn sections(model: &Model<'_>, task: u16) -> Result<(), ModelError> {
    let layers = model.shape.layers;
    places(model.bytes, layers, task)?;
    for index in 0..GLOBALS {
        global(model, index)?;
    }
    for layer in 0..layers {
        recurrence(model, &RecurrenceSections::forward(layer))?;
        // known at compile time: programs that stream do not link it
        if format::is_window(task) {
            recurrence(model, &RecurrenceSections::backward(layer, layers))?;
        }
        for kind in 0..PER_LAYER {
            layer_section(model, layer, kind)?;
        }
    }
    if format::is_classifier(task) {
        let biases = match model.shape.frame_dim {
            0 => 0,
            _ => model.shape.dim,
        };
        normal_floats(model, options(layers, task) + 1, biases)?;
    }
    Ok(())
}

/// Sections lie one after the other in the table's order, with zeros between, up to the end.
pub(crate) fn places(bytes: &[u8], layers: usize, task: u16) -> Result<(), ModelError> {
    let sections = format::sections(layers, task);
    let mut end = HEADER_BYTES + format::ENTRY_BYTES * sections;
    for index in 0..sections {
        let bad = ModelError::BadSection { index };
        let entry = super::Entry::read(bytes, index);
        let (kind, layer) = format::kind_and_layer(index, layers, task);
        let start = end.next_multiple_of(ALIGNMENT);
        let expected = super::Entry {
            offset: start,
            kind,
            layer,
            zero: [0; 3],
            ..entry
        };
        let gap = bytes.get(end..start).ok_or(bad)?;
        if entry != expected || gap.iter().any(|b| *b != 0) {
            return Err(bad);
        }
        end = start
            .checked_add(entry.length)
            .filter(|end| *end <= bytes.len())
            .ok_or(bad)?;
        let element = ElementType::from_byte(entry.element).ok_or(bad)?;
        if !entry.length.is_multiple_of(element.bytes()) {
            return Err(bad);
        }
    }
    if end == bytes.len() {
        Ok(())
    } else {
        Err(ModelError::WrongLength {
            expected: end,
            found: bytes.len(),
        })
    }
}

fn global(model: &Model<'_>, index: usize) -> Result<(), ModelError> {
    let shape = &model.shape;
    let is = |kind: Global| index == kind as usize;
    let (rows, columns) = match shape.frame_dim {
        0 => (shape.vocabulary, shape.dim),
        frame => (shape.dim, frame),
    };
    if is(Global::Embedding) {
        matrix(model, index, rows, columns)
    } else if is(Global::EmbeddingScale) {
        scales(model, index, rows)
    } else if is(Global::Head) && !shape.tied {
        matrix(model, index, shape.outputs, shape.dim)
    } else if is(Global::HeadScale) {
        scales(model, index, shape.outputs)
    } else if is(Global::FinalNorm) {
        floats(model, index, shape.final_norm.parameters(shape.dim))
    } else if is(Global::SelfTest) {
        self_test(model.bytes, shape.vocabulary)
    } else {
        floats(model, index, 0)
    }
}

/// The known-answer test: a hash and at least one token, all of them in the vocabulary. There is none where
/// the input is frames, which follow from any number.
pub(crate) fn self_test(bytes: &[u8], vocabulary: usize) -> Result<(), ModelError> {
    let index = Global::SelfTest as usize;
    let element = super::Entry::read(bytes, index).element;
    let (_, tokens) = known_answer(bytes);
    if element != ElementType::U32 as u8 || tokens.is_empty() {
        return Err(ModelError::BadSection { index });
    }
    let unknown = |token: &u32| vocabulary > 0 && *token as usize >= vocabulary;
    match tokens.iter().position(unknown) {
        Some(token) => Err(ModelError::BadNumber {
            section: index,
            element: token + 2,
        }),
        None => Ok(()),
    }
}

/// A section of a layer that is none of its recurrence's.
fn layer_section(model: &Model<'_>, layer: usize, kind: usize) -> Result<(), ModelError> {
    let shape = &model.shape;
    let index = GLOBALS + PER_LAYER * layer + kind;
    let (dim, channels, glu) = (shape.dim, shape.channels, shape.glu_dim);
    let is = |k: PerLayer| kind == k as usize;
    if is(PerLayer::GtuIn) {
        matrix(model, index, 2 * channels, dim)
    } else if is(PerLayer::GtuOut) {
        matrix(model, index, dim, channels)
    } else if is(PerLayer::GluIn) {
        matrix(model, index, 2 * glu, dim)
    } else if is(PerLayer::GluOut) {
        matrix(model, index, dim, glu)
    } else if is(PerLayer::GtuInScale) {
        scales(model, index, 2 * channels)
    } else if is(PerLayer::GluInScale) {
        scales(model, index, 2 * glu)
    } else if is(PerLayer::GtuOutScale) || is(PerLayer::GluOutScale) {
        scales(model, index, dim)
    } else if is(PerLayer::GtuInBias) {
        normal_floats(model, index, 2 * channels)
    } else if is(PerLayer::GluInBias) {
        normal_floats(model, index, 2 * glu)
    } else if is(PerLayer::GtuOutBias) || is(PerLayer::GluOutBias) {
        normal_floats(model, index, dim)
    } else if is(PerLayer::GtuNorm) {
        floats(model, index, shape.gtu_norm.parameters(channels))
    } else if is(PerLayer::TokenNorm) || is(PerLayer::FeatureNorm) {
        floats(model, index, shape.norm.parameters(dim))
    } else {
        Ok(())
    }
}

/// The sections of a recurrence.
#[inline(never)]
fn recurrence(model: &Model<'_>, at: &RecurrenceSections) -> Result<(), ModelError> {
    counts(model, at.counts)?;
    let r = Recurrence::read(model, at);
    // numbers are below 2^24 (counts, by `counts`) and 2^17 (channels): no product overflows a u64
    let padded = (LANES * model.shape.blocks()) as u64;
    let size = |rows: usize, index| {
        usize::try_from(rows as u64 * padded).map_err(|_| ModelError::BadSection { index })
    };
    let order = r.counts.order();
    let decays = usize::from(r.counts.has_channel_decay);
    normal_floats(model, at.taps, size(r.counts.taps, at.taps)?)?;
    normal_floats(model, at.poles, order)?;
    normal_floats(model, at.residues, size(order, at.residues)?)?;
    normal_floats(model, at.decay, size(decays, at.decay)?)?;
    poles(&r, at)
}

/// Four numbers, each small enough that sizes computed from them cannot overflow.
fn counts(model: &Model<'_>, index: usize) -> Result<(), ModelError> {
    let numbers: &[u32] = model.section(index);
    if model.entry(index).element != ElementType::U32 as u8 || numbers.len() != 4 {
        return Err(ModelError::BadSection { index });
    }
    let limits = [MAX_DIMENSION, MAX_DIMENSION, MAX_DIMENSION, 1];
    match numbers
        .iter()
        .zip(limits)
        .position(|(n, limit)| *n as usize > limit)
    {
        Some(element) => Err(ModelError::BadNumber {
            section: index,
            element,
        }),
        None => Ok(()),
    }
}

/// Every pole of every channel is inside the unit circle or on it.
fn poles(r: &Recurrence<'_>, at: &RecurrenceSections) -> Result<(), ModelError> {
    let (real, complex) = r
        .modes
        .poles
        .split_at_checked(r.counts.real)
        .unwrap_or_default();
    let inside = format::within_unit_disc;
    let real = real.iter().position(|p| !inside(*p, 0.0));
    let mut complex = complex.as_chunks::<2>().0.iter();
    let complex = complex
        .position(|[a, square]| !inside(*a, *square))
        .map(|i| r.counts.real + 2 * i);
    if let Some(element) = real.or(complex) {
        return Err(ModelError::BadNumber {
            section: at.poles,
            element,
        });
    }
    match r
        .modes
        .decay
        .as_flattened()
        .iter()
        .position(|g| !(0.0..=1.0).contains(g))
    {
        Some(element) => Err(ModelError::BadNumber {
            section: at.decay,
            element,
        }),
        None => Ok(()),
    }
}

/// A `[rows, columns]` matrix of floats or integers.
#[inline(never)]
fn matrix(model: &Model<'_>, index: usize, rows: usize, columns: usize) -> Result<(), ModelError> {
    let bad = ModelError::BadSection { index };
    let entry = model.entry(index);
    if entry.element == ElementType::I4 as u8 && !cfg!(feature = "int4") {
        return Err(ModelError::FeatureNeeded { feature: "int4" });
    }
    if let Some(packing) = model.packing(index) {
        let too_long = entry.element == ElementType::I4 as u8 && columns > MAX_COLUMNS_I4;
        if too_long || entry.length != packing.bytes(rows, columns) {
            return Err(bad);
        }
        let fault = match packing {
            _ if !dense::is_read(packing) => Some(0),
            Packing::Rows => {
                let mut integers = model.section::<i8>(index).iter();
                integers.position(|w| *w == i8::MIN)
            }
            Packing::Dual => dense::dual::fault(model.section(index), rows, columns),
            Packing::Groups | Packing::Quad => {
                dense::int4::fault(packing, model.section(index), rows, columns)
            }
        };
        return match fault {
            Some(element) => Err(ModelError::BadNumber {
                section: index,
                element,
            }),
            None => Ok(()),
        };
    }
    let size = usize::try_from(rows as u64 * columns as u64).map_err(|_| bad)?;
    floats(model, index, size)
}

/// Scales of the matrix in the section before: one a row for integers, none for f32.
#[inline(never)]
fn scales(model: &Model<'_>, index: usize, rows: usize) -> Result<(), ModelError> {
    let rows = match model.packing(index.wrapping_sub(1)) {
        Some(_) => rows,
        None => 0,
    };
    normal_floats(model, index, rows)
}

/// `count` floats of ordinary size.
#[inline(never)]
fn floats(model: &Model<'_>, index: usize, count: usize) -> Result<(), ModelError> {
    all(model, index, count, in_range)
}

/// `count` floats of ordinary size that are zero or not too small.
#[inline(never)]
fn normal_floats(model: &Model<'_>, index: usize, count: usize) -> Result<(), ModelError> {
    all(model, index, count, |x| {
        in_range(x) && (x == 0.0 || x.abs() >= SMALLEST)
    })
}

fn all(
    model: &Model<'_>,
    index: usize,
    count: usize,
    ok: impl Fn(f32) -> bool,
) -> Result<(), ModelError> {
    let entry = model.entry(index);
    let numbers: &[f32] = model.section(index);
    if entry.element != ElementType::F32 as u8 || numbers.len() != count {
        return Err(ModelError::BadSection { index });
    }
    match numbers.iter().position(|x| !ok(*x)) {
        Some(element) => Err(ModelError::BadNumber {
            section: index,
            element,
        }),
        None => Ok(()),
    }
}

/// Finite, and small enough that no sum of products of two such numbers overflows.
fn in_range(x: f32) -> bool {
    x.abs() <= 1e15
}
