//! A model of any numeric contract.

use super::file::SessionMemory;
use toeplite::format::{self, ElementType, offset};
use toeplite::model::Shape;
use toeplite::{Model, ModelError, SelfTestError, StepError, Token, fixed};

/// The runtime's view of a blob, by the contract that the blob names.
#[derive(Clone, Copy, Debug)]
pub enum AnyModel<'a> {
    /// Contract `f32`.
    F32(Model<'a>),
    /// Contract `fixed`.
    Fixed(fixed::Model<'a>),
}

/// Bytes of a layer's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBytes {
    /// The last inputs, for taps.
    pub taps: usize,
    /// States of modes.
    pub modes: usize,
}

impl<'a> From<&Model<'a>> for AnyModel<'a> {
    fn from(model: &Model<'a>) -> Self {
        Self::F32(*model)
    }
}

impl<'a> From<&fixed::Model<'a>> for AnyModel<'a> {
    fn from(model: &fixed::Model<'a>) -> Self {
        Self::Fixed(*model)
    }
}

impl<'a> From<&AnyModel<'a>> for AnyModel<'a> {
    fn from(model: &AnyModel<'a>) -> Self {
        *model
    }
}

/// What `$model` of either contract gives.
macro_rules! either {
    ($any:expr, $model:ident => $what:expr) => {
        match $any {
            AnyModel::F32($model) => $what,
            AnyModel::Fixed($model) => $what,
        }
    };
}

impl<'a> AnyModel<'a> {
    /// Checks `bytes`, which lie at a multiple of 16.
    ///
    /// # Errors
    /// What the runtime finds wrong.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let contract = bytes.get(offset::CONTRACT..offset::CONTRACT + 2);
        if contract == Some(&format::CONTRACT_FIXED.to_le_bytes()) {
            fixed::Model::from_bytes(bytes).map(Self::Fixed)
        } else {
            Model::from_bytes(bytes).map(Self::F32)
        }
    }

    /// Name of the numeric contract.
    pub fn contract(&self) -> &'static str {
        match self {
            Self::F32(_) => "f32",
            Self::Fixed(_) => "fixed",
        }
    }

    /// Name of the type of the weights.
    pub fn weights(&self) -> &'static str {
        match self {
            Self::F32(model) if model.has(ElementType::I4) => "int4",
            Self::Fixed(model) if model.has(ElementType::I4) => "int4",
            Self::F32(model) if !model.has(ElementType::I8) => "f32",
            _ => "int8",
        }
    }

    /// Dimensions and options.
    pub fn shape(&self) -> &Shape {
        either!(self, model => model.shape())
    }

    /// Number of tokens that the model knows.
    pub fn vocab_size(&self) -> usize {
        self.shape().vocabulary
    }

    /// Bytes of the blob.
    pub fn blob_bytes(&self) -> usize {
        either!(self, model => model.blob_bytes())
    }

    /// Bytes of memory that a session needs.
    pub fn memory_needed(&self) -> usize {
        either!(self, model => model.memory_needed())
    }

    /// What a session keeps of `layer` between steps.
    ///
    /// # Panics
    /// If there is no such layer.
    pub fn state_bytes(&self, layer: usize) -> StateBytes {
        let (counts, tap) = match self {
            Self::F32(model) => (model.layer(layer).recurrence.counts, 4),
            Self::Fixed(model) => (model.layer(layer).recurrence.counts, 2),
        };
        let channels = self.shape().channels;
        StateBytes {
            taps: tap * counts.taps * channels,
            modes: 4 * counts.order() * channels,
        }
    }

    /// Bytes of a workspace for a prefill in blocks of `tokens`, at least two.
    pub fn prefill_memory_needed(&self, tokens: usize) -> usize {
        either!(self, model => model.prefill_memory_needed(tokens))
    }

    /// A number that tells models apart.
    pub fn identity(&self) -> u32 {
        either!(self, model => model.identity())
    }

    /// Calls `each` with the logits after each of `tokens`, from the start of a sequence.
    ///
    /// # Errors
    /// A token is not in the vocabulary.
    pub fn stream(
        &self,
        tokens: impl IntoIterator<Item = u32>,
        mut each: impl FnMut(Logits<'_>),
    ) -> Result<(), StepError> {
        let mut memory = SessionMemory::of_bytes(self.memory_needed());
        let memory = memory.as_mut_slice();
        match self {
            Self::F32(model) => {
                let mut session = model.session(memory).expect(ENOUGH);
                for token in tokens {
                    each(Logits::F32(session.step(Token(token))?));
                }
            }
            Self::Fixed(model) => {
                let mut session = model.session(memory).expect(ENOUGH);
                for token in tokens {
                    each(Logits::Fixed(session.step(Token(token))?));
                }
            }
        }
        Ok(())
    }

    /// Runs the known-answer test.
    ///
    /// # Errors
    /// The logits are others than those of the host that wrote the model.
    pub fn self_test(&self) -> Result<(), SelfTestError> {
        let mut memory = SessionMemory::of_bytes(self.memory_needed());
        let memory = memory.as_mut_slice();
        either!(self, model => model.session(memory).expect(ENOUGH).self_test())
    }
}

const ENOUGH: &str = "the memory is the size that the model asks for";

/// Logits as a contract has them.
#[derive(Clone, Copy, Debug)]
pub enum Logits<'l> {
    /// As they are.
    F32(&'l [f32]),
    /// In units of `2^-`[`LOGIT_BITS`](fixed::LOGIT_BITS).
    Fixed(&'l [i32]),
}

impl Logits<'_> {
    /// Logit `index` as a float; those of `fixed` are rounded to it.
    pub fn get(&self, index: usize) -> f32 {
        match self {
            Self::F32(logits) => logits[index],
            Self::Fixed(logits) => {
                let unit = (-f64::from(fixed::LOGIT_BITS)).exp2();
                (f64::from(logits[index]) * unit) as f32
            }
        }
    }
}
