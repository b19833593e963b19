//! A checkpoint and its recurrences as the bytes of a blob.

use super::classifier;
use super::file::Blob;
use super::target::{Storage, Target};
use super::weights::{self, affine_sections, matrix_sections};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::config::{self, Config, Task};
use crate::convert::modal::Modal;
use crate::quantize::{Affine, Weights};
use ndarray::{Array2, ArrayView1, Ix2};
use toeplite::format::{self, ALIGNMENT, ElementType, GLOBALS, WeightOrder, offset};
use toeplite::model::{Activation, Norm, NormPosition};

/// Why a checkpoint cannot be written as a blob.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The network needs the whole sequence.
    #[error(
        "the checkpoint is bidirectional: it needs what comes after a token, too, and cannot stream; it runs over a window"
    )]
    NotCausal,
    /// The network needs no window.
    #[error("the checkpoint is causal: it streams any number of tokens, and takes no window")]
    Causal,
    /// A window of no tokens or of too many.
    #[error(
        "a window of {window} tokens is impossible: from 1 to {} can be had",
        format::MAX_DIMENSION
    )]
    Window {
        /// Its tokens.
        window: usize,
    },
    /// The network's task has no streaming form.
    #[error(
        "the checkpoint's task is {task:?}: causal-lm and classifier models can be converted, and bidirectional language models"
    )]
    Task {
        /// The task.
        task: Task,
    },
    /// Operators along the sides of an image.
    #[error(
        "the checkpoint is of images (toeplitz.image): the runtime does not compute a layer's operators along rows and columns; \
         one that is trained without toeplitz.image, on the pixels as a sequence, can be converted"
    )]
    Image,
    /// The operator's output is divided by a running sum of the kernel.
    #[error("the checkpoint sets toeplitz.normalize, which the runtime does not compute")]
    Normalized,
    /// A parameter is not in the checkpoint, or has another shape.
    #[error("tensor {name} should have shape {expected:?}, but has {found:?}")]
    Tensor {
        /// The tensor's name.
        name: String,
        /// The shape it should have.
        expected: Vec<usize>,
        /// The shape it has; nothing if it is missing.
        found: Option<Vec<usize>>,
    },
    /// There must be one recurrence a layer, with the layer's channels.
    #[error(
        "{found} recurrences of the layers' {channels} channels are needed, one a layer: {expected}"
    )]
    Recurrences {
        /// Layers.
        expected: usize,
        /// Recurrences that fit.
        found: usize,
        /// Channels of a layer.
        channels: usize,
    },
    /// The integer sums of a row must fit 32 bits.
    #[error(
        "a matrix has {columns} columns; with int4 weights it may have {} at most: take int8",
        format::MAX_COLUMNS_I4
    )]
    TooWide {
        /// The matrix's columns.
        columns: usize,
    },
    /// The matrices given are not those of the checkpoint.
    #[error("the matrices have other sizes than the checkpoint's: they were made of another one")]
    OtherWeights,
    /// Sizes in a blob are 32-bit numbers.
    #[error("the model would take {bytes} bytes; a blob has at most 4 GiB")]
    TooLarge {
        /// Bytes needed.
        bytes: usize,
    },
    /// The contract `fixed` does not have it.
    #[error(
        "the contract `fixed` has no {what}, which the checkpoint uses: convert with --contract f32"
    )]
    NotInFixed {
        /// What it does not have.
        what: String,
    },
    /// A number does not fit the integers of the contract `fixed`.
    #[error("{what} is too large for the contract `fixed`: convert with --contract f32")]
    TooLargeForFixed {
        /// Whose number.
        what: String,
    },
    /// The runtime refuses the result.
    #[error("the converted model cannot be run: {0}")]
    Refused(#[from] toeplite::ModelError),
}

/// How many tokens or frames the known-answer test has.
const SELF_TEST_INPUTS: u32 = 16;

/// Writes `checkpoint`, its Toeplitz operators replaced by `layers`, as a blob whose weights are rounded to
/// nearest.
///
/// The blob's known-answer test is computed by running the blob.
///
/// # Errors
/// [`WriteError`].
pub fn write(
    checkpoint: &Checkpoint,
    layers: &[Modal],
    storage: impl Into<Storage>,
) -> Result<Blob, WriteError> {
    let storage = storage.into();
    let weights = weights::nearest(checkpoint, |_| storage.weights)?;
    write_weights(checkpoint, layers, &weights, storage.target)
}

/// [`write`] with `weights` for the checkpoint's matrices and biases.
///
/// # Errors
/// [`WriteError`].
pub fn write_weights(
    checkpoint: &Checkpoint,
    layers: &[Modal],
    weights: &Weights,
    target: Target,
) -> Result<Blob, WriteError> {
    let config = &checkpoint.config;
    check(config, layers)?;
    let order = target.order();
    let mut sections = sections(checkpoint, layers, weights, order)?;
    sections.extend(classifier::sections(&Source { checkpoint })?);
    let contract = Contract::f32(config, order);
    let numbers = self_test_numbers(config);
    with_known_answer(config, &contract, &sections, &numbers, |draft| {
        Ok(draft.any()?.hash(&numbers))
    })
}

/// The sections of the contract `f32` but the known-answer test; of layers those of [`format::PerLayer`].
pub(super) fn sections(
    checkpoint: &Checkpoint,
    layers: &[Modal],
    weights: &Weights,
    order: WeightOrder,
) -> Result<Vec<Section>, WriteError> {
    weights::check(&checkpoint.config, weights)?;
    let source = Source { checkpoint };
    let mut sections = source.globals(weights, order)?;
    for (i, (modal, maps)) in layers.iter().zip(&weights.layers).enumerate() {
        sections.extend(source.layer(i, &modal.to_f32_safe(), maps, order)?);
    }
    Ok(sections)
}

/// The blob with the hash that `known_answer` finds, running a draft of it.
pub(super) fn with_known_answer(
    config: &Config,
    contract: &Contract,
    sections: &[Section],
    tokens: &[u32],
    known_answer: impl Fn(&Blob) -> Result<u64, WriteError>,
) -> Result<Blob, WriteError> {
    let assemble = |hash| {
        let bytes = assemble(config, contract, sections, tokens, hash)?;
        Ok::<_, WriteError>(Blob::from_bytes(&bytes))
    };
    let hash = known_answer(&assemble(0)?)?;
    let blob = assemble(hash)?;
    blob.any()?;
    Ok(blob)
}

/// What the header says of the numeric contract and the task.
pub(super) struct Contract {
    /// Its number.
    pub number: u16,
    /// How its integer matrices lie.
    pub order: WeightOrder,
    /// The field of the factor on the embedding.
    pub embed_scale: [u8; 4],
    /// Whether the head is the embedding's matrix.
    pub tied: bool,
    /// Number of the task.
    pub task: u16,
    /// Tokens of a window, 0 of models that stream.
    pub window: u32,
}

impl Contract {
    /// `f32`, of a model that streams.
    pub fn f32(config: &Config, order: WeightOrder) -> Self {
        let embed_scale = match config.frame_dim() {
            None => config.embed_scale as f32,
            Some(_) => 1.0,
        };
        Self {
            number: format::CONTRACT_F32,
            order,
            embed_scale: embed_scale.to_le_bytes(),
            tied: config.tie_embeddings,
            task: task(config),
            window: 0,
        }
    }
}

/// The task of a model that streams.
pub(super) fn task(config: &Config) -> u16 {
    match config.classifier {
        None => format::TASK_CAUSAL_LM,
        Some(_) => format::TASK_CLASSIFIER,
    }
}

/// Tokens of the known-answer test, or numbers that its frames follow from.
pub(super) fn self_test_numbers(config: &Config) -> Vec<u32> {
    let limit = match config.frame_dim() {
        None => config.vocab_size as u32,
        Some(_) => u32::MAX,
    };
    (0..SELF_TEST_INPUTS)
        .map(|i| (i * 97 + 13) % limit)
        .collect()
}

/// Whether a network of this configuration can be converted: to a model that streams if it is causal, else to
/// one that runs over a window.
///
/// # Errors
/// What stands in the way.
pub fn can_convert(config: &Config) -> Result<(), WriteError> {
    // a bidirectional network has logits at every token, whatever it was trained to tell there
    let possible = match config.task {
        Task::CausalLm => true,
        Task::MaskedLm => !config.causal,
        Task::Classifier => true,
    };
    if !possible {
        return Err(WriteError::Task { task: config.task });
    }
    if config.toeplitz.normalize {
        return Err(WriteError::Normalized);
    }
    if config.toeplitz.image.is_some() {
        return Err(WriteError::Image);
    }
    Ok(())
}

/// Whether a network of this configuration can stream, by `layers`.
pub(super) fn check(config: &Config, layers: &[Modal]) -> Result<(), WriteError> {
    if !config.causal {
        return Err(WriteError::NotCausal);
    }
    can_convert(config)?;
    check_recurrences(config, layers)
}

/// One recurrence a layer, of its channels.
pub(super) fn check_recurrences(config: &Config, layers: &[Modal]) -> Result<(), WriteError> {
    let channels = config.channels();
    let found = layers.iter().filter(|m| m.channels() == channels).count();
    if layers.len() != config.layers || found != config.layers {
        return Err(WriteError::Recurrences {
            expected: config.layers,
            found,
            channels,
        });
    }
    Ok(())
}

/// A section's contents.
pub(super) struct Section {
    pub element: ElementType,
    pub bytes: Vec<u8>,
}

impl Section {
    pub fn f32(numbers: impl IntoIterator<Item = f32>) -> Self {
        Self {
            element: ElementType::F32,
            bytes: numbers.into_iter().flat_map(f32::to_le_bytes).collect(),
        }
    }

    pub fn u32(numbers: impl IntoIterator<Item = u32>) -> Self {
        Self {
            element: ElementType::U32,
            bytes: numbers.into_iter().flat_map(u32::to_le_bytes).collect(),
        }
    }

    pub fn empty() -> Self {
        Self::f32([])
    }
}

/// Where sections come from.
pub(super) struct Source<'a> {
    pub checkpoint: &'a Checkpoint,
}

impl Source<'_> {
    /// The global sections but the last, the known-answer test.
    fn globals(&self, weights: &Weights, order: WeightOrder) -> Result<Vec<Section>, WriteError> {
        let c = &self.checkpoint.config;
        let [embedding, embedding_scale] = matrix_sections(&weights.embedding, order);
        let [head, head_scale] = match &weights.head {
            Some(head) => matrix_sections(head, order),
            None => [Section::empty(), Section::empty()],
        };
        let final_norm = self.norm(c.final_norm, "final_norm", c.dim)?;
        Ok(vec![
            embedding,
            embedding_scale,
            final_norm,
            head,
            head_scale,
        ])
    }

    /// The sections of layer `i`, in the format's order.
    fn layer(
        &self,
        i: usize,
        modal: &Modal,
        [gtu_in, gtu_out, glu_in, glu_out]: &[Affine; 4],
        order: WeightOrder,
    ) -> Result<Vec<Section>, WriteError> {
        let c = &self.checkpoint.config;
        let name = |s: &str| format!("layers.{i}.{s}");
        let mut out = vec![counts(modal)];
        out.extend(affine_sections(gtu_in, order));
        out.extend(recurrence(modal));
        for map in [gtu_out, glu_in, glu_out] {
            out.extend(affine_sections(map, order));
        }
        out.push(self.norm(c.norm, &name("token_norm"), c.dim)?);
        out.push(self.norm(c.norm, &name("feature_norm"), c.dim)?);
        let inside = if c.gtu_norm {
            c.norm
        } else {
            config::Norm::None
        };
        out.push(self.norm(inside, &name("token_mixer.norm"), c.channels())?);
        Ok(out)
    }

    fn norm(&self, norm: config::Norm, name: &str, width: usize) -> Result<Section, WriteError> {
        let parts: &[(&str, usize)] = match norm {
            config::Norm::None | config::Norm::SimpleRmsNorm => &[],
            config::Norm::RmsNorm => &[("scale", width)],
            config::Norm::GatedRmsNorm => &[("scale", width), ("gate", width)],
            config::Norm::ScaleNorm => &[("scala", 1)],
            config::Norm::LayerNorm => &[("weight", width), ("bias", width)],
        };
        let mut numbers = Vec::new();
        for (part, len) in parts {
            numbers.extend(self.vector(&format!("{name}.{part}"), *len)?);
        }
        Ok(Section::f32(numbers))
    }

    pub fn vector(&self, name: &str, len: usize) -> Result<Vec<f32>, WriteError> {
        let tensor = self.tensor(name, &[len])?;
        Ok(tensor.iter().copied().collect())
    }

    pub fn matrix(
        &self,
        name: &str,
        rows: usize,
        columns: usize,
    ) -> Result<Array2<f32>, WriteError> {
        let tensor = self.tensor(name, &[rows, columns])?;
        Ok(tensor
            .clone()
            .into_dimensionality::<Ix2>()
            .expect("two dimensions, as checked"))
    }

    fn tensor(&self, name: &str, shape: &[usize]) -> Result<&ndarray::ArrayD<f32>, WriteError> {
        let found = self.checkpoint.tensors.get(name);
        found
            .filter(|t| t.shape() == shape)
            .ok_or_else(|| WriteError::Tensor {
                name: name.into(),
                expected: shape.into(),
                found: found.map(|t| t.shape().to_vec()),
            })
    }
}

pub(super) fn counts(modal: &Modal) -> Section {
    let real = modal.poles.iter().filter(|p| p.im == 0.0).count();
    let complex = modal.poles.len() - real;
    let decay = u32::from(modal.channel_decay.is_some());
    Section::u32([
        modal.taps.nrows() as u32,
        real as u32,
        complex as u32,
        decay,
    ])
}

/// Taps, poles, residues and decay of a form whose numbers are the runtime's already
/// ([`Modal::to_f32_safe`]).
pub(super) fn recurrence(modal: &Modal) -> [Section; 4] {
    let (real, complex): (Vec<_>, Vec<_>) = modal
        .poles
        .iter()
        .enumerate()
        .partition(|(_, p)| p.im == 0.0);
    let poles = real
        .iter()
        .map(|(_, p)| p.re)
        .chain(complex.iter().flat_map(|(_, p)| [p.re, p.im * p.im]));
    let mut residues = Vec::new();
    for (k, _) in &real {
        residues.push(modal.residues.row(*k).mapv(|r| r.re));
    }
    for (k, pole) in &complex {
        residues.push(modal.residues.row(*k).mapv(|r| r.re));
        residues.push(modal.residues.row(*k).mapv(|r| -r.im * pole.im));
    }
    let decay: Vec<_> = modal.channel_decay.iter().map(ArrayView1::from).collect();
    let residues: Vec<_> = residues.iter().map(|row| row.view()).collect();
    let taps: Vec<_> = modal.taps.rows().into_iter().collect();
    [
        Section::f32(blocks(&taps, modal.channels())),
        Section::f32(poles.map(|x| flushed(x as f32))),
        Section::f32(blocks(&residues, modal.channels())),
        Section::f32(blocks(&decay, modal.channels())),
    ]
}

/// Rows of `channels` numbers as `[blocks][rows][4]`.
fn blocks(rows: &[ArrayView1<'_, f64>], channels: usize) -> Vec<f32> {
    let mut out = Vec::new();
    for start in (0..channels).step_by(format::LANES) {
        for row in rows {
            let number = |c: usize| row.get(c).map_or(0.0, |x| flushed(*x as f32));
            out.extend((start..start + format::LANES).map(number));
        }
    }
    out
}

/// The contract has no numbers below 2^-50.
pub(super) fn flushed(x: f32) -> f32 {
    if x.abs() < format::SMALLEST { 0.0 } else { x }
}

/// Header, section table and sections.
pub(super) fn assemble(
    config: &Config,
    contract: &Contract,
    sections: &[Section],
    tokens: &[u32],
    hash: u64,
) -> Result<Vec<u8>, WriteError> {
    let self_test = Section::u32(
        [hash as u32, (hash >> 32) as u32]
            .into_iter()
            .chain(tokens.iter().copied()),
    );
    let (globals, layers) = sections.split_at(GLOBALS - 1);
    let all: Vec<&Section> = globals.iter().chain([&self_test]).chain(layers).collect();
    let mut table = Vec::new();
    let mut body = Vec::new();
    let base = format::HEADER_BYTES + format::ENTRY_BYTES * all.len();
    for (index, section) in all.iter().enumerate() {
        body.resize((base + body.len()).next_multiple_of(ALIGNMENT) - base, 0);
        let (kind, layer) = format::kind_and_layer(index, config.layers, contract.task);
        table.extend(((base + body.len()) as u32).to_le_bytes());
        table.extend((section.bytes.len() as u32).to_le_bytes());
        table.extend(kind.to_le_bytes());
        table.extend(layer.to_le_bytes());
        table.extend([section.element as u8, 0, 0, 0]);
        body.extend(&section.bytes);
    }
    let bytes = base + body.len();
    let length = u32::try_from(bytes).map_err(|_| WriteError::TooLarge { bytes })?;
    let mut blob = header(config, contract, length, all.len() as u32);
    blob.extend(table);
    blob.extend(body);
    let crc = crc32fast::hash(&blob[offset::TASK..]);
    blob[offset::CRC..][..4].copy_from_slice(&crc.to_le_bytes());
    Ok(blob)
}

fn header(config: &Config, contract: &Contract, length: u32, sections: u32) -> Vec<u8> {
    let mut h = vec![0; format::HEADER_BYTES];
    let mut put = |offset: usize, bytes: &[u8]| h[offset..][..bytes.len()].copy_from_slice(bytes);
    put(offset::MAGIC, &format::MAGIC);
    put(offset::VERSION, &format::VERSION.to_le_bytes());
    put(offset::CONTRACT, &contract.number.to_le_bytes());
    put(offset::LENGTH, &length.to_le_bytes());
    put(offset::TASK, &contract.task.to_le_bytes());
    put(offset::WINDOW, &contract.window.to_le_bytes());
    put(offset::ORDER, &(contract.order as u16).to_le_bytes());
    let vocabulary = match config.frame_dim() {
        None => config.vocab_size as u32,
        Some(_) => 0,
    };
    put(offset::VOCABULARY, &vocabulary.to_le_bytes());
    put(offset::DIM, &(config.dim as u32).to_le_bytes());
    put(offset::CHANNELS, &(config.channels() as u32).to_le_bytes());
    put(offset::GLU_DIM, &(config.glu_dim as u32).to_le_bytes());
    put(offset::LAYERS, &(config.layers as u32).to_le_bytes());
    let inside = if config.gtu_norm {
        config.norm
    } else {
        config::Norm::None
    };
    put(offset::NORM, &[norm(config.norm) as u8]);
    put(
        offset::NORM_POSITION,
        &[norm_position(config.norm_position()) as u8],
    );
    put(offset::FINAL_NORM, &[norm(config.final_norm) as u8]);
    put(offset::GTU_NORM, &[norm(inside) as u8]);
    put(offset::GTU_ACT, &[activation(config.gtu_act) as u8]);
    put(offset::GLU_ACT, &[activation(config.glu_act) as u8]);
    put(
        offset::GLU_FINAL_ACT,
        &[activation(config.glu_final_act) as u8],
    );
    put(offset::TIED, &[u8::from(contract.tied)]);
    put(offset::EMBED_SCALE, &contract.embed_scale);
    put(offset::SECTIONS, &sections.to_le_bytes());
    put(offset::TRAIN_LEN, &(config.train_len as u32).to_le_bytes());
    h
}

pub(super) fn norm(norm: config::Norm) -> Norm {
    match norm {
        config::Norm::None => Norm::None,
        config::Norm::SimpleRmsNorm => Norm::SimpleRms,
        config::Norm::RmsNorm => Norm::Rms,
        config::Norm::GatedRmsNorm => Norm::GatedRms,
        config::Norm::ScaleNorm => Norm::Scale,
        config::Norm::LayerNorm => Norm::Layer,
    }
}

pub(super) fn norm_position(position: config::NormPosition) -> NormPosition {
    match position {
        config::NormPosition::Pre => NormPosition::Pre,
        config::NormPosition::PostBranch => NormPosition::PostBranch,
        config::NormPosition::PostResidual => NormPosition::PostResidual,
    }
}

pub(super) fn activation(activation: config::Activation) -> Activation {
    match activation {
        config::Activation::None => Activation::None,
        config::Activation::Silu => Activation::Silu,
        config::Activation::Relu => Activation::Relu,
        config::Activation::Gelu => Activation::Gelu,
        config::Activation::Elu => Activation::Elu,
        config::Activation::Sigmoid => Activation::Sigmoid,
        config::Activation::Exp => Activation::Exp,
        config::Activation::LeakyRelu => Activation::LeakyRelu,
        config::Activation::OnePlusElu => Activation::OnePlusElu,
        config::Activation::TwoPlusElu => Activation::TwoPlusElu,
    }
}
