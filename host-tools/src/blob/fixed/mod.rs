//! A checkpoint and its recurrences as a blob of the contract `fixed`, whose numbers are documented in
//! [`toeplite::fixed`].

mod matrix;
mod recurrence;

use super::classifier;
use super::file::Blob;
use super::writer::{self, Contract, Section, Source, WriteError};
use crate::blob::WeightType;
use crate::checkpoint::Checkpoint;
use crate::checkpoint::config::{self, Config};
use crate::convert::modal::Modal;
use crate::quantize::MatrixName;
use crate::reference::Place;
use matrix::{Linear, Places, embedding, places_of_frames, stored_embedding};
use ndarray::{Array1, Array2, Axis, concatenate};
use toeplite::fixed::{ACTIVATION_BITS, FRAME_BITS, LOGIT_BITS, activation};
use toeplite::format::{self, ElementType, Packing, WeightOrder};
use toeplite::model::{Activation, Norm, NormPosition};

/// Writes `checkpoint`, its Toeplitz operators replaced by `layers`, as a blob of the contract
/// `fixed`: i16 taps, poles and residues, and weights of the type, int8 or int4, that `weights` names for
/// each matrix.
///
/// Nothing needs calibrating: vectors get their scales at every step. The blob's known-answer test is
/// computed by running the blob.
///
/// # Errors
/// [`WriteError`]; [`WriteError::NotInFixed`] names what the contract does not have.
pub fn write_fixed(
    checkpoint: &Checkpoint,
    layers: &[Modal],
    weights: impl Fn(MatrixName) -> WeightType,
) -> Result<Blob, WriteError> {
    let config = &checkpoint.config;
    can_be_fixed(config)?;
    writer::check(config, layers)?;
    without_decay(layers)?;
    let packing = |name| packing(weights(name));
    let source = Source { checkpoint };
    let Globals {
        mut sections,
        fraction,
        last,
    } = globals(&source, packing)?;
    for (index, modal) in layers.iter().enumerate() {
        let packing = |place| packing(MatrixName::Layer(index, place));
        sections.extend(layer(&source, packing, index, (modal, fraction))?);
    }
    sections.extend(last);
    let tokens = writer::self_test_numbers(config);
    let contract = Contract {
        number: format::CONTRACT_FIXED,
        order: WeightOrder::Portable,
        embed_scale: (fraction as u32).to_le_bytes(),
        tied: false,
        task: writer::task(config),
        window: 0,
    };
    writer::with_known_answer(config, &contract, &sections, &tokens, |draft| {
        Ok(draft.any()?.hash(&tokens))
    })
}

/// Taps, poles and residues of layer `layer`'s recurrence.
pub(super) fn recurrence_sections(modal: &Modal, layer: usize) -> Result<Vec<Section>, WriteError> {
    Ok(recurrence::Fixed::of(modal, layer)?.sections().into())
}

/// The recurrence of layer `layer` with its numbers as the contract `fixed` stores them: one more tap, for
/// the modes' share of the newest input, and modes that begin one lag later.
///
/// # Errors
/// [`WriteError::NotInFixed`], [`WriteError::TooLargeForFixed`].
pub fn fixed_recurrence(modal: &Modal, layer: usize) -> Result<Modal, WriteError> {
    Ok(recurrence::Fixed::of(modal, layer)?.stored())
}

/// The checkpoint's weights as [`write_fixed`] stores them, without the norms that are folded into them, in
/// the order of [`MatrixName::all`].
///
/// # Errors
/// As [`write_fixed`].
pub fn fixed_matrices(
    checkpoint: &Checkpoint,
    weights: impl Fn(MatrixName) -> WeightType,
) -> Result<Vec<(MatrixName, Array2<f32>)>, WriteError> {
    let source = Source { checkpoint };
    let config = &checkpoint.config;
    let scale = config.embed_scale;
    let stored = |name| {
        let packing = packing(weights(name))?;
        let values = match name {
            MatrixName::Embedding if config.frame_dim().is_some() => {
                frames(&source)?.stored(packing)?
            }
            MatrixName::Embedding => {
                let values = stored_embedding(&embedding_weights(&source)?, packing)?;
                values.mapv(|w| (w / scale) as f32)
            }
            MatrixName::Head => head(&source)?.stored(packing)?,
            MatrixName::Layer(index, place) => map(&source, index, place)?.stored(packing)?,
        };
        Ok((name, values))
    };
    let names = MatrixName::all(config);
    names.into_iter().map(stored).collect()
}

/// How weights of a type lie.
fn packing(weights: WeightType) -> Result<Packing, WriteError> {
    match weights {
        WeightType::Int8 => Ok(Packing::Rows),
        WeightType::Int4 => Ok(Packing::Groups),
        WeightType::F32 => Err(WriteError::NotInFixed {
            what: "weights that are not quantized".into(),
        }),
    }
}

/// Whether the contract `fixed` has all that a network of this configuration uses; recurrences aside.
///
/// # Errors
/// [`WriteError::NotInFixed`].
pub fn can_be_fixed(config: &Config) -> Result<(), WriteError> {
    let refuse = |what: String| Err(WriteError::NotInFixed { what });
    if !config.causal {
        return refuse("backward recurrence".into());
    }
    if config.classifier.is_some() && writer::norm(config.final_norm) == Norm::None {
        return refuse("classifier without a final norm".into());
    }
    for (role, act) in [("GTU", config.gtu_act), ("GLU", config.glu_act)] {
        if !activation::is_supported(writer::activation(act)) {
            return refuse(format!("activation {act:?} ({role})"));
        }
    }
    if writer::activation(config.glu_final_act) != Activation::None {
        let act = config.glu_final_act;
        return refuse(format!("activation of the GLU's output ({act:?})"));
    }
    for norm in [config.norm, config.final_norm] {
        if writer::norm(norm) == Norm::GatedRms {
            return refuse("GatedRMSNorm".into());
        }
    }
    if writer::norm_position(config.norm_position()) != NormPosition::Pre {
        let position = config.norm_position();
        return refuse(format!("norm at position {position:?}"));
    }
    Ok(())
}

/// Whether no layer has a decay of each channel's own.
fn without_decay(layers: &[Modal]) -> Result<(), WriteError> {
    let decay = layers
        .iter()
        .position(|modal| modal.channel_decay.is_some());
    let refuse = |layer| {
        let what = format!("decay of a channel's own, as the recurrence of layer {layer} has");
        Err(WriteError::NotInFixed { what })
    };
    decay.map_or(Ok(()), refuse)
}

/// What does not belong to a layer.
struct Globals {
    /// The sections before those of layers but the known-answer test.
    sections: Vec<Section>,
    /// Places after the point of the residual stream.
    fraction: i32,
    /// The sections after those of layers.
    last: Vec<Section>,
}

fn globals(
    source: &Source<'_>,
    packing: impl Fn(MatrixName) -> Result<Packing, WriteError>,
) -> Result<Globals, WriteError> {
    let config = &source.checkpoint.config;
    let tied = config.tie_embeddings;
    let packed = packing(MatrixName::Embedding)?;
    let (input, bias, fraction) = if config.frame_dim().is_some() {
        let frames = frames(source)?;
        let output = places_of_frames(&frames)?;
        let input = FRAME_BITS;
        let [weights, scale, bias] = frames.sections(packed, Places { input, output })?;
        ([weights, scale], bias, output)
    } else {
        let (sections, fraction) = embedding(&embedding_weights(source)?, packed)?;
        (sections, Section::empty(), fraction)
    };
    let options = classifier::options(config);
    let last = options.map_or(Vec::new(), |options| vec![options, bias]);
    let head = head(source)?;
    let places = Places {
        input: if head.norm.is_some() { 0 } else { fraction },
        output: LOGIT_BITS,
    };
    let name = match tied {
        true => MatrixName::Embedding,
        false => MatrixName::Head,
    };
    let [head, scale, bias] = head.sections(packing(name)?, places)?;
    let [weights, weights_scale] = input;
    Ok(Globals {
        sections: vec![weights, weights_scale, bias, head, scale],
        fraction,
        last,
    })
}

/// The map of frames.
fn frames(source: &Source<'_>) -> Result<Linear, WriteError> {
    let c = &source.checkpoint.config;
    let columns = c.frame_dim().unwrap_or(0);
    stacked(source, &["frames".into()], c.dim, columns)
}

/// The embedding with its factor.
fn embedding_weights(source: &Source<'_>) -> Result<Array2<f64>, WriteError> {
    let c = &source.checkpoint.config;
    let weights = source.matrix("embed.weight", c.vocab_size, c.dim)?;
    Ok(weights.mapv(|w| f64::from((f64::from(w) * c.embed_scale) as f32)))
}

/// The map to logits, with the norm before it.
fn head(source: &Source<'_>) -> Result<Linear, WriteError> {
    let c = &source.checkpoint.config;
    let name = match c.tie_embeddings {
        true => "embed",
        false => "head",
    };
    let weights = source.matrix(&format!("{name}.weight"), c.outputs(), c.dim)?;
    let mut head = Linear {
        name: "head".into(),
        bias: Array1::zeros(c.outputs()),
        folded: Array1::ones(c.dim),
        norm: None,
        weights: weights.mapv(f64::from),
    };
    fold(source, c.final_norm, "final_norm", &mut head)?;
    Ok(head)
}

/// The sections of layer `index`, in the format's order.
fn layer(
    source: &Source<'_>,
    packing: impl Fn(Place) -> Result<Packing, WriteError>,
    index: usize,
    (modal, fraction): (&Modal, i32),
) -> Result<Vec<Section>, WriteError> {
    let recurrence = recurrence::Fixed::of(modal, index)?;
    let gated = 2 * ACTIVATION_BITS + recurrence.fraction;
    let sections = |place: Place, input: i32, output: i32| {
        let map = map(source, index, place)?;
        let input = if map.norm.is_some() { 0 } else { input };
        map.sections(packing(place)?, Places { input, output })
    };
    let mut out = vec![recurrence.counts()];
    out.extend(sections(Place::GtuIn, fraction, ACTIVATION_BITS)?);
    out.extend(recurrence.sections());
    out.push(Section::empty()); // no decay of a channel's own
    out.extend(sections(Place::GtuOut, gated, fraction)?);
    out.extend(sections(Place::GluIn, fraction, ACTIVATION_BITS)?);
    out.extend(sections(Place::GluOut, 2 * ACTIVATION_BITS, fraction)?);
    out.extend([Section::empty(), Section::empty(), Section::empty()]);
    Ok(out)
}

/// The maps of a place in layer `index`, one below the other, with the norm before them.
fn map(source: &Source<'_>, index: usize, place: Place) -> Result<Linear, WriteError> {
    let c = &source.checkpoint.config;
    let (dim, channels, glu) = (c.dim, c.channels(), c.glu_dim);
    let inside = if c.gtu_norm {
        c.norm
    } else {
        config::Norm::None
    };
    let (rows, columns, norm, norm_name) = match place {
        Place::GtuIn => (channels, dim, c.norm, "token_norm"),
        Place::GtuOut => (dim, channels, inside, "token_mixer.norm"),
        Place::GluIn => (glu, dim, c.norm, "feature_norm"),
        Place::GluOut => (dim, glu, config::Norm::None, ""),
    };
    let name = |s: &str| format!("layers.{index}.{s}");
    let names: Vec<String> = place.maps().iter().map(|map| name(map)).collect();
    let mut linear = stacked(source, &names, rows, columns)?;
    fold(source, norm, &name(norm_name), &mut linear)?;
    Ok(linear)
}

/// The linear maps `names`, one below the other, each `[rows, columns]`.
fn stacked(
    source: &Source<'_>,
    names: &[String],
    rows: usize,
    columns: usize,
) -> Result<Linear, WriteError> {
    let mut weights: Vec<Array2<f64>> = Vec::new();
    let mut bias = Vec::new();
    for name in names {
        let matrix = source.matrix(&format!("{name}.weight"), rows, columns)?;
        weights.push(matrix.mapv(f64::from));
        if source.checkpoint.config.bias {
            let vector = source.vector(&format!("{name}.bias"), rows)?;
            bias.extend(vector.into_iter().map(f64::from));
        } else {
            bias.extend(vec![0.0; rows]);
        }
    }
    let views: Vec<_> = weights.iter().map(|w| w.view()).collect();
    Ok(Linear {
        name: names.join(" and "),
        weights: concatenate(Axis(0), &views).expect("all have the same columns"),
        bias: bias.into(),
        folded: Array1::ones(columns),
        norm: None,
    })
}

/// Takes the parameters of the norm before a linear map into it.
fn fold(
    source: &Source<'_>,
    norm: config::Norm,
    name: &str,
    linear: &mut Linear,
) -> Result<(), WriteError> {
    let width = linear.weights.ncols();
    let vector = |part: &str, len: usize| -> Result<Array1<f64>, WriteError> {
        let numbers = source.vector(&format!("{name}.{part}"), len)?;
        Ok(numbers.into_iter().map(f64::from).collect())
    };
    match norm {
        config::Norm::None => return Ok(()),
        config::Norm::SimpleRmsNorm | config::Norm::GatedRmsNorm => {}
        config::Norm::RmsNorm => linear.folded = vector("scale", width)?,
        config::Norm::ScaleNorm => linear.folded.fill(vector("scala", 1)?[0]),
        config::Norm::LayerNorm => {
            linear.bias += &linear.weights.dot(&vector("bias", width)?);
            linear.folded = vector("weight", width)?;
        }
    }
    linear.weights *= &linear.folded;
    linear.norm = Some((width as f64).sqrt());
    Ok(())
}

/// A section of 32-bit numbers.
fn section_i32(numbers: impl IntoIterator<Item = i32>) -> Section {
    Section {
        element: ElementType::I32,
        bytes: numbers.into_iter().flat_map(i32::to_le_bytes).collect(),
    }
}

/// A section of 16-bit numbers.
fn section_i16(numbers: impl IntoIterator<Item = i16>) -> Section {
    Section {
        element: ElementType::I16,
        bytes: numbers.into_iter().flat_map(i16::to_le_bytes).collect(),
    }
}
