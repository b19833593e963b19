//! A converted model on recordings' features, as devices run it: one frame after another, asked every few of them.

use crate::blob::SessionMemory;
use toeplite::classifier::{Decay, Model};
use toeplite::{DecayError, InputError};
use toeplite_streams::Listening;

/// Why a model made no decisions.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ListenError {
    /// The model does not take such frames.
    #[error(transparent)]
    Frame(#[from] InputError),
    /// A half-life that cannot be, or for a model without a mean.
    #[error("half-life: {0}")]
    Decay(#[from] DecayError),
}

/// The logits `[decisions, classes]` of `model` on `features`, `[frames, frame_dim]`, from a state of rest.
///
/// # Errors
/// [`ListenError`].
pub fn decisions(
    model: &Model<'_>,
    features: &[f32],
    listening: &Listening,
) -> Result<Vec<f32>, ListenError> {
    let mut memory = SessionMemory::of_bytes(model.memory_needed());
    let session = model.session(memory.as_mut_slice());
    let mut session = session.expect("the memory is the size that the model asks for");
    if let Some(half_life) = listening.half_life {
        session.set_decay(Decay::half_life(half_life as f32)?)?;
    }
    let mut decisions = Vec::new();
    let frames = features.chunks(model.shape().frame_dim.max(1));
    for (number, frame) in frames.enumerate() {
        session.push_frame(frame)?;
        if (number + 1).is_multiple_of(listening.every) {
            decisions.extend_from_slice(session.logits());
        }
    }
    Ok(decisions)
}
