//! What the same runtime computes on the host.

use crate::boards::{F32, FIXED};
use anyhow::{Context, Result, anyhow};
use std::fs;
use std::path::Path;
use toeplite::format::{CONTRACT_FIXED, ElementType, offset};
use toeplite::model::{Activation, Shape};
use toeplite::{Model, Token, fixed, sample};

/// Steps that the firmware hashes.
const HASHED_STEPS: usize = 256;

/// How tokens are drawn.
#[derive(Clone, Copy, Debug)]
pub struct Draw {
    /// Of the draws.
    pub seed: u64,
    /// Divides the logits, in thousandths.
    pub thousandths: u32,
    /// Draws from that many likeliest tokens; 0 from all.
    pub top_k: usize,
}

/// What a blob says of itself.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// Bytes of flash.
    pub blob_bytes: u64,
    /// Bytes of a session's memory.
    pub memory_bytes: u64,
    /// Bytes of a workspace for a prefill in blocks of two tokens.
    pub prefill_bytes: u64,
    /// Name of the numeric contract.
    pub contract: &'static str,
    /// Type of the weights.
    pub weights: &'static str,
    /// Dimensions.
    pub shape: Shape,
}

impl Facts {
    /// Features that a firmware needs for the model, as the runtime and the examples name them.
    pub fn features(&self) -> Vec<&'static str> {
        features(&self.shape, self.weights == "int4")
    }

    /// Those of the model in the file `blob`.
    ///
    /// # Errors
    /// The file is not a model.
    pub fn of(blob: &Path) -> Result<Self> {
        let bytes = Aligned::read(blob)?;
        let facts = match bytes.model()? {
            Any::F32(model) => Self {
                blob_bytes: model.blob_bytes() as u64,
                memory_bytes: model.memory_needed() as u64,
                prefill_bytes: model.prefill_memory_needed(2) as u64,
                contract: F32,
                weights: match () {
                    () if model.has(ElementType::I4) => "int4",
                    () if model.has(ElementType::I8) => "int8",
                    () => "f32",
                },
                shape: *model.shape(),
            },
            Any::Fixed(model) => Self {
                blob_bytes: model.blob_bytes() as u64,
                memory_bytes: model.memory_needed() as u64,
                prefill_bytes: model.prefill_memory_needed(2) as u64,
                contract: FIXED,
                weights: "int8",
                shape: *model.shape(),
            },
        };
        Ok(facts)
    }
}

/// Features of the runtime that a model needs.
pub(crate) fn features(shape: &Shape, has_int4: bool) -> Vec<&'static str> {
    let activations = [shape.gtu_act, shape.glu_act, shape.glu_final_act];
    let gelu = activations.contains(&Activation::Gelu).then_some("gelu");
    let int4 = has_int4.then_some("int4");
    gelu.into_iter().chain(int4).collect()
}

/// Hash of the logits of 256 steps over the tokens `(i * 97 + 13) % vocabulary`, as the firmware
/// prints it.
///
/// # Errors
/// The file is not a model.
pub fn logits_hash(blob: &Path) -> Result<String> {
    let bytes = Aligned::read(blob)?;
    let tokens = |vocabulary: usize| {
        (0..HASHED_STEPS).map(move |i| Token(((i * 97 + 13) % vocabulary) as u32))
    };
    let hash = match bytes.model()? {
        Any::F32(model) => {
            let mut memory = Aligned::zeros(model.memory_needed());
            let mut session = model.session(memory.as_mut_slice()).map_err(refused)?;
            session.hash_steps(tokens(model.vocab_size()))
        }
        Any::Fixed(model) => {
            let mut memory = Aligned::zeros(model.memory_needed());
            let mut session = model.session(memory.as_mut_slice()).map_err(refused)?;
            session.hash_steps(tokens(model.vocab_size()))
        }
    };
    Ok(format!("{hash:016x}"))
}

/// `prompt` and the `tokens` bytes that a byte-level model appends to it.
///
/// # Errors
/// The file is not a model, or not one of bytes.
pub fn generate(blob: &Path, prompt: &[u8], tokens: usize, draw: Draw) -> Result<Vec<u8>> {
    let bytes = Aligned::read(blob)?;
    let mut text = prompt.to_vec();
    let byte = |token: Token| u8::try_from(token.0).context("the vocabulary is not bytes");
    let prompt = prompt.iter().copied();
    match bytes.model()? {
        Any::F32(model) => {
            let mut memory = Aligned::zeros(model.memory_needed());
            let mut session = model.session(memory.as_mut_slice()).map_err(refused)?;
            let mut sampler = sample::Sampler::new(draw.seed)
                .with_temperature(draw.thousandths as f32 / 1000.0)
                .with_top_k(draw.top_k);
            let mut token = sampler.sample(session.prefill(prompt).map_err(refused)?);
            for _ in 0..tokens {
                text.push(byte(token)?);
                token = sampler.sample(session.step(token).map_err(refused)?);
            }
        }
        Any::Fixed(model) => {
            let mut memory = Aligned::zeros(model.memory_needed());
            let mut session = model.session(memory.as_mut_slice()).map_err(refused)?;
            let mut sampler = fixed::sample::Sampler::new(draw.seed)
                .with_temperature(draw.thousandths)
                .with_top_k(draw.top_k);
            let mut token = sampler.sample(session.prefill(prompt).map_err(refused)?);
            for _ in 0..tokens {
                text.push(byte(token)?);
                token = sampler.sample(session.step(token).map_err(refused)?);
            }
        }
    }
    Ok(text)
}

pub(crate) fn refused(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

/// A model of either contract.
enum Any<'a> {
    F32(Model<'a>),
    Fixed(fixed::Model<'a>),
}

/// Bytes at an address that blobs and session memory may have: u128 has their alignment.
pub(crate) struct Aligned {
    words: Vec<u128>,
    len: usize,
}

impl Aligned {
    pub(crate) fn zeros(len: usize) -> Self {
        let words = vec![0; len.div_ceil(16)];
        Self { words, len }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let mut aligned = Self::zeros(bytes.len());
        aligned.as_mut_slice().copy_from_slice(&bytes);
        Ok(aligned)
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.words)[..self.len]
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.words)[..self.len]
    }

    /// Whether they name the contract `fixed`.
    pub(crate) fn is_fixed(&self) -> bool {
        let contract = self.as_slice().get(offset::CONTRACT..offset::CONTRACT + 2);
        contract == Some(&CONTRACT_FIXED.to_le_bytes())
    }

    /// The length of the sequences that a model was trained on.
    pub(crate) fn train_len(&self) -> u32 {
        let bytes = self.as_slice().get(offset::TRAIN_LEN..);
        let bytes = bytes.and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    }

    /// The bytes as a model of the contract that they name.
    fn model(&self) -> Result<Any<'_>> {
        let bytes = self.as_slice();
        if self.is_fixed() {
            fixed::Model::from_bytes(bytes)
                .map(Any::Fixed)
                .map_err(refused)
        } else {
            Model::from_bytes(bytes).map(Any::F32).map_err(refused)
        }
    }
}
