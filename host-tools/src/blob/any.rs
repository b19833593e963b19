//! A model of any numeric contract.

use super::file::SessionMemory;
use toeplite::classifier::Pooling;
use toeplite::format::{self, ElementType, offset};
use toeplite::model::Shape;
use toeplite::{
    Model, ModelError, SelfTestError, StepError, Token, WindowError, classifier, fixed, window,
};

/// The runtime's view of a blob, by the contract that the blob names.
#[derive(Clone, Copy, Debug)]
pub enum AnyModel<'a> {
    /// Contract `f32`.
    F32(Model<'a>),
    /// Contract `fixed`.
    Fixed(fixed::Model<'a>),
    /// Contract `f32`, over a window.
    Window(window::Model<'a>),
    /// Contract `f32`, of a sequence's class.
    Classifier(classifier::Model<'a>),
    /// Contract `f32`, of a window's class.
    WindowClassifier(classifier::window::Model<'a>),
    /// Contract `fixed`, of a sequence's class.
    FixedClassifier(fixed::classifier::Model<'a>),
}

/// Why a model gave no logits after each token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// A token is not in the vocabulary; a window of no tokens or of too many.
    #[error(transparent)]
    Tokens(#[from] WindowError),
    /// The model has a class for a sequence, no logits of tokens.
    #[error(
        "the model is a classifier: it has one answer for a whole sequence, no logits after each token"
    )]
    Classifier,
}

impl From<StepError> for StreamError {
    fn from(error: StepError) -> Self {
        Self::Tokens(error.into())
    }
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

impl<'a> From<&window::Model<'a>> for AnyModel<'a> {
    fn from(model: &window::Model<'a>) -> Self {
        Self::Window(*model)
    }
}

impl<'a> From<&classifier::Model<'a>> for AnyModel<'a> {
    fn from(model: &classifier::Model<'a>) -> Self {
        Self::Classifier(*model)
    }
}

impl<'a> From<&classifier::window::Model<'a>> for AnyModel<'a> {
    fn from(model: &classifier::window::Model<'a>) -> Self {
        Self::WindowClassifier(*model)
    }
}

impl<'a> From<&fixed::classifier::Model<'a>> for AnyModel<'a> {
    fn from(model: &fixed::classifier::Model<'a>) -> Self {
        Self::FixedClassifier(*model)
    }
}

impl<'a> From<&AnyModel<'a>> for AnyModel<'a> {
    fn from(model: &AnyModel<'a>) -> Self {
        *model
    }
}

/// What `$model` of any kind gives.
macro_rules! each {
    ($any:expr, $model:ident => $what:expr) => {
        match $any {
            AnyModel::F32($model) => $what,
            AnyModel::Fixed($model) => $what,
            AnyModel::Window($model) => $what,
            AnyModel::Classifier($model) => $what,
            AnyModel::WindowClassifier($model) => $what,
            AnyModel::FixedClassifier($model) => $what,
        }
    };
}

impl<'a> AnyModel<'a> {
    /// Checks `bytes`, which lie at a multiple of 16.
    ///
    /// # Errors
    /// What the runtime finds wrong.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
        let has = |at: usize, number: u16| bytes.get(at..at + 2) == Some(&number.to_le_bytes());
        let is_fixed = has(offset::CONTRACT, format::CONTRACT_FIXED);
        if is_fixed && has(offset::TASK, format::TASK_CLASSIFIER) {
            fixed::classifier::Model::from_bytes(bytes).map(Self::FixedClassifier)
        } else if is_fixed {
            fixed::Model::from_bytes(bytes).map(Self::Fixed)
        } else if has(offset::TASK, format::TASK_WINDOW_LM) {
            window::Model::from_bytes(bytes).map(Self::Window)
        } else if has(offset::TASK, format::TASK_CLASSIFIER) {
            classifier::Model::from_bytes(bytes).map(Self::Classifier)
        } else if has(offset::TASK, format::TASK_WINDOW_CLASSIFIER) {
            classifier::window::Model::from_bytes(bytes).map(Self::WindowClassifier)
        } else {
            Model::from_bytes(bytes).map(Self::F32)
        }
    }

    /// Name of the numeric contract.
    pub fn contract(&self) -> &'static str {
        match self.is_fixed() {
            true => "fixed",
            false => "f32",
        }
    }

    /// Whether it computes in integers.
    pub fn is_fixed(&self) -> bool {
        matches!(self, Self::Fixed(_) | Self::FixedClassifier(_))
    }

    /// Name of the type of the weights.
    pub fn weights(&self) -> &'static str {
        match self {
            _ if self.has(ElementType::I4) => "int4",
            _ if self.has(ElementType::I8) => "int8",
            _ => "f32",
        }
    }

    fn has(&self, element: ElementType) -> bool {
        each!(self, model => model.has(element))
    }

    /// Most tokens or frames that the model takes at a time; nothing if it streams.
    pub fn window(&self) -> Option<usize> {
        Some(self.shape().window).filter(|window| *window > 0)
    }

    /// Dimensions and options.
    pub fn shape(&self) -> &Shape {
        each!(self, model => model.shape())
    }

    /// Number of tokens that the model knows; 0 if it takes frames.
    pub fn vocab_size(&self) -> usize {
        self.shape().vocabulary
    }

    /// Number of logits: tokens, or classes.
    pub fn outputs(&self) -> usize {
        self.shape().outputs
    }

    /// Bytes of the blob.
    pub fn blob_bytes(&self) -> usize {
        each!(self, model => model.blob_bytes())
    }

    /// Bytes of memory that a session needs.
    pub fn memory_needed(&self) -> usize {
        each!(self, model => model.memory_needed())
    }

    /// What a session keeps of a layer between steps, whose recurrence has so many taps and states a channel;
    /// of a model that runs over a window, what it keeps of some channels at a time.
    pub fn state_bytes(&self, taps: usize, order: usize) -> StateBytes {
        let (tap, channels) = match self {
            Self::F32(_) | Self::Classifier(_) => (4, self.shape().channels),
            Self::Fixed(_) | Self::FixedClassifier(_) => (2, self.shape().channels),
            Self::Window(_) | Self::WindowClassifier(_) => (4, window::CHANNELS),
        };
        StateBytes {
            taps: tap * taps * channels,
            modes: 4 * order * channels,
        }
    }

    /// Bytes of a workspace for a prefill in blocks of `tokens`, at least two; nothing for models that are no
    /// streaming language models.
    pub fn prefill_memory_needed(&self, tokens: usize) -> Option<usize> {
        match self {
            Self::F32(model) => Some(model.prefill_memory_needed(tokens)),
            Self::Fixed(model) => Some(model.prefill_memory_needed(tokens)),
            Self::Window(_)
            | Self::Classifier(_)
            | Self::WindowClassifier(_)
            | Self::FixedClassifier(_) => None,
        }
    }

    /// What a session of a classifier that streams lends of its memory between its calls; nothing of other models.
    pub fn scratch_bytes(&self) -> Option<usize> {
        match self {
            Self::Classifier(model) => Some(model.scratch_bytes()),
            Self::FixedClassifier(model) => Some(model.scratch_bytes()),
            Self::F32(_) | Self::Fixed(_) | Self::Window(_) | Self::WindowClassifier(_) => None,
        }
    }

    /// Whether it has a class for a sequence.
    pub fn is_classifier(&self) -> bool {
        match self {
            Self::Classifier(_) | Self::WindowClassifier(_) | Self::FixedClassifier(_) => true,
            Self::F32(_) | Self::Fixed(_) | Self::Window(_) => false,
        }
    }

    /// What a classifier looks at; nothing of a language model.
    pub fn pooling(&self) -> Option<Pooling> {
        match self {
            Self::Classifier(model) => Some(model.pooling()),
            Self::WindowClassifier(model) => Some(model.pooling()),
            Self::FixedClassifier(model) => Some(model.pooling()),
            Self::F32(_) | Self::Fixed(_) | Self::Window(_) => None,
        }
    }

    /// A number that tells models apart.
    pub fn identity(&self) -> u32 {
        each!(self, model => model.identity())
    }

    /// Calls `each` with the logits after each of `tokens`, from the start of a sequence; at each of them, if
    /// the model sees them as one window.
    ///
    /// # Errors
    /// A token is not in the vocabulary; a window of no tokens or of too many; the model is a classifier.
    pub fn stream(
        &self,
        tokens: impl IntoIterator<Item = u32>,
        mut each: impl FnMut(Logits<'_>),
    ) -> Result<(), StreamError> {
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
            Self::Window(model) => {
                let mut session = model.session(memory).expect(ENOUGH);
                let tokens: Vec<u32> = tokens.into_iter().collect();
                session.run(&tokens)?;
                for position in 0..tokens.len() {
                    each(Logits::F32(session.logits(position)?));
                }
            }
            Self::Classifier(_) | Self::WindowClassifier(_) | Self::FixedClassifier(_) => {
                return Err(StreamError::Classifier);
            }
        }
        Ok(())
    }

    /// The hash that a known-answer test of `numbers` compares: tokens, or what frames follow from.
    pub(super) fn hash(&self, numbers: &[u32]) -> u64 {
        let mut memory = SessionMemory::of_bytes(self.memory_needed());
        let memory = memory.as_mut_slice();
        let numbers = numbers.iter().copied();
        match self {
            Self::F32(model) => model.session(memory).expect(ENOUGH).hash_steps(numbers),
            Self::Fixed(model) => model.session(memory).expect(ENOUGH).hash_steps(numbers),
            Self::Classifier(model) => model.session(memory).expect(ENOUGH).hash_inputs(numbers),
            Self::FixedClassifier(model) => {
                model.session(memory).expect(ENOUGH).hash_inputs(numbers)
            }
            Self::WindowClassifier(model) => {
                let mut session = model.session(memory).expect(ENOUGH);
                let hash = session.hash_inputs(&numbers.collect::<Vec<_>>());
                hash.expect("no more inputs than a window's, tokens of the vocabulary")
            }
            Self::Window(model) => {
                let mut session = model.session(memory).expect(ENOUGH);
                let hash = session.hash_run(&numbers.collect::<Vec<_>>());
                hash.expect("tokens of the vocabulary, no more than a window's")
            }
        }
    }

    /// Runs the known-answer test.
    ///
    /// # Errors
    /// The logits are others than those of the host that wrote the model.
    pub fn self_test(&self) -> Result<(), SelfTestError> {
        let mut memory = SessionMemory::of_bytes(self.memory_needed());
        let memory = memory.as_mut_slice();
        each!(self, model => model.session(memory).expect(ENOUGH).self_test())
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
