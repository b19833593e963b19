//! A converted model on recordings' features, as devices run it: one frame after another, asked every few of them.

use crate::blob::{AnyModel, SessionMemory};
use toeplite::classifier::FrameSession;
use toeplite::{DecayError, InputError, Token, classifier, fixed};

/// Why a model made no decisions.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ListenError {
    /// The model does not take such frames.
    #[error(transparent)]
    Frame(#[from] InputError),
    /// A half-life that cannot be, or for a model without a mean.
    #[error("half-life: {0}")]
    Decay(#[from] DecayError),
    /// A language model, or a classifier of windows.
    #[error("the model is no classifier that streams")]
    NoListener,
}

/// A session of a classifier that streams, of any contract: it is given, and gives, floats.
pub enum Listener<'a, 'm> {
    /// Contract `f32`.
    F32(classifier::Session<'a, 'm>),
    /// Contract `fixed`.
    Fixed(fixed::classifier::Session<'a, 'm>),
}

const ENOUGH: &str = "the memory is the size that the model asks for";

impl<'a, 'm> Listener<'a, 'm> {
    /// A session in `memory`, which has the bytes that the model needs; nothing of other models.
    ///
    /// # Panics
    /// It has not.
    pub fn new(model: &AnyModel<'a>, memory: &'m mut [u8]) -> Option<Self> {
        match model {
            AnyModel::Classifier(model) => Some(Self::F32(model.session(memory).expect(ENOUGH))),
            AnyModel::FixedClassifier(model) => {
                Some(Self::Fixed(model.session(memory).expect(ENOUGH)))
            }
            AnyModel::F32(_)
            | AnyModel::Fixed(_)
            | AnyModel::Window(_)
            | AnyModel::WindowClassifier(_) => None,
        }
    }

    /// Makes the mean forget: what is `half_life` inputs old counts half.
    ///
    /// # Errors
    /// There is no mean, or no such half-life.
    pub fn set_half_life(&mut self, half_life: f32) -> Result<(), DecayError> {
        match self {
            Self::F32(session) => session.set_half_life(half_life),
            Self::Fixed(session) => session.set_half_life(half_life),
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// Those of the session.
    pub fn push(&mut self, token: u32) -> Result<(), InputError> {
        match self {
            Self::F32(session) => session.push(Token(token)),
            Self::Fixed(session) => session.push(Token(token)),
        }
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// Those of the session.
    pub fn push_frame(&mut self, frame: &[f32]) -> Result<(), InputError> {
        match self {
            Self::F32(session) => session.push_floats(frame),
            Self::Fixed(session) => session.push_floats(frame),
        }
    }

    /// The logits `[classes]` so far.
    pub fn logits(&mut self) -> Vec<f32> {
        match self {
            Self::F32(session) => session.float_logits().collect(),
            Self::Fixed(session) => session.float_logits().collect(),
        }
    }
}

/// The logits `[decisions, classes]` of `model` on `features`, `[frames, frame_dim]`, from a state of rest.
///
/// # Errors
/// [`ListenError`].
pub fn decisions(
    model: &AnyModel<'_>,
    features: &[f32],
    listening: &toeplite_streams::Listening,
) -> Result<Vec<f32>, ListenError> {
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let listener = Listener::new(model, memory.as_mut_slice());
    let mut listener = listener.ok_or(ListenError::NoListener)?;
    if let Some(half_life) = listening.half_life {
        listener.set_half_life(half_life as f32)?;
    }
    let mut decisions = Vec::new();
    let frames = features.chunks(model.shape().frame_dim.max(1));
    for (number, frame) in frames.enumerate() {
        listener.push_frame(frame)?;
        if (number + 1).is_multiple_of(listening.every) {
            decisions.extend(listener.logits());
        }
    }
    Ok(decisions)
}
