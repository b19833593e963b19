//! Classifiers of frames that stream, of either numeric contract, for code that does not care which.

use super::model::{Input, Model, Pooling};
use super::pool::Decay;
use super::session::Session;
use crate::error::{DecayError, InputError, MemoryError, ModelError, SelfTestError};
use crate::fixed::classifier::{
    Decay as IntegerDecay, Model as IntegerModel, Session as IntegerSession,
};
use crate::fixed::{FRAME_BITS, LOGIT_BITS};

/// A checked view of a classifier's blob, which takes frames: [`classifier::Model`](Model) or
/// [`fixed::classifier::Model`](crate::fixed::classifier::Model). A program that uses one of them links nothing of the other.
///
/// ```no_run
/// use toeplite::classifier::{FrameSession, FrameModel};
///
/// fn class<'a>(model: impl FrameModel<'a>, memory: &mut [u8], frames: &[[f32; 10]]) -> Option<usize> {
///     let mut session = model.session(memory).ok()?;
///     for frame in frames {
///         session.push_floats(frame).ok()?;
///     }
///     let mut logits = session.float_logits().enumerate();
///     logits.next().map(|first| logits.fold(first, |a, b| if b.1 > a.1 { b } else { a }).0)
/// }
/// ```
pub trait FrameModel<'a>: Copy {
    /// A sequence being classified.
    type Session<'m>: FrameSession<Model = Self>
    where
        'a: 'm;

    /// Checks `bytes`, and makes a view of them.
    ///
    /// # Errors
    /// [`ModelError`] says what is wrong and where.
    fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError>;

    /// What it is given.
    fn input(&self) -> Input;

    /// Number of classes.
    fn classes(&self) -> usize;

    /// What it looks at.
    fn pooling(&self) -> Pooling;

    /// Bytes of the blob.
    fn blob_bytes(&self) -> usize;

    /// A number that tells models apart.
    fn identity(&self) -> u32;

    /// Bytes of memory that a session needs.
    fn memory_needed(&self) -> usize;

    /// Bytes of that memory which a session lends between its calls.
    fn scratch_bytes(&self) -> usize;

    /// A session in `memory`, at the start of a sequence.
    ///
    /// # Errors
    /// [`MemoryError`] if `memory` is too small or not aligned.
    fn session<'m>(&self, memory: &'m mut [u8]) -> Result<Self::Session<'m>, MemoryError>
    where
        'a: 'm;
}

/// A sequence being classified, given and giving floats.
pub trait FrameSession {
    /// What runs.
    type Model;

    /// The model that runs.
    fn model(&self) -> &Self::Model;

    /// Takes one frame. With the contract `fixed` its numbers are rounded to `2^-`[`FRAME_BITS`].
    ///
    /// # Errors
    /// [`InputError`]; a number that the contract does not have is [`InputError::FrameNumber`].
    fn push_floats(&mut self, frame: &[f32]) -> Result<(), InputError>;

    /// The logits of what was taken since the start, a number a class.
    fn float_logits(&mut self) -> impl Iterator<Item = f32> + Clone;

    /// Makes the mean forget: what is so many inputs old counts half. With the contract `fixed` it is rounded to thousandths.
    ///
    /// # Errors
    /// [`DecayError`]: there is no mean, or no such half-life.
    fn set_half_life(&mut self, inputs: f32) -> Result<(), DecayError>;

    /// Memory that calls of this session use, and that is the caller's between them.
    fn scratch(&mut self) -> &mut [u32];

    /// Back to the start of a sequence.
    fn reset(&mut self);

    /// Runs the model's known-answer test. The session is at the start of a sequence afterwards.
    ///
    /// # Errors
    /// [`SelfTestError`] with both hashes.
    fn self_test(&mut self) -> Result<(), SelfTestError>;
}

/// The methods of the models' own.
macro_rules! frame_model {
    ($model:ident, $session:ident) => {
        type Session<'m>
            = $session<'a, 'm>
        where
            'a: 'm;

        fn from_bytes(bytes: &'a [u8]) -> Result<Self, ModelError> {
            $model::from_bytes(bytes)
        }

        fn input(&self) -> Input {
            self.input()
        }

        fn classes(&self) -> usize {
            self.classes()
        }

        fn pooling(&self) -> Pooling {
            self.pooling()
        }

        fn blob_bytes(&self) -> usize {
            self.blob_bytes()
        }

        fn identity(&self) -> u32 {
            self.identity()
        }

        fn memory_needed(&self) -> usize {
            self.memory_needed()
        }

        fn scratch_bytes(&self) -> usize {
            self.scratch_bytes()
        }

        fn session<'m>(&self, memory: &'m mut [u8]) -> Result<Self::Session<'m>, MemoryError>
        where
            'a: 'm,
        {
            self.session(memory)
        }
    };
}

/// The methods of the sessions' own.
macro_rules! frame_session {
    ($model:ident) => {
        type Model = $model<'a>;

        fn model(&self) -> &$model<'a> {
            self.model()
        }

        fn scratch(&mut self) -> &mut [u32] {
            self.scratch()
        }

        fn reset(&mut self) {
            self.reset();
        }

        fn self_test(&mut self) -> Result<(), SelfTestError> {
            self.self_test()
        }
    };
}

impl<'a> FrameModel<'a> for Model<'a> {
    frame_model!(Model, Session);
}

impl<'a> FrameSession for Session<'a, '_> {
    frame_session!(Model);

    fn push_floats(&mut self, frame: &[f32]) -> Result<(), InputError> {
        self.push_frame(frame)
    }

    fn float_logits(&mut self) -> impl Iterator<Item = f32> + Clone {
        self.logits().iter().copied()
    }

    fn set_half_life(&mut self, inputs: f32) -> Result<(), DecayError> {
        self.set_decay(Decay::half_life(inputs)?)
    }
}

impl<'a> FrameModel<'a> for IntegerModel<'a> {
    frame_model!(IntegerModel, IntegerSession);
}

impl<'a> FrameSession for IntegerSession<'a, '_> {
    frame_session!(IntegerModel);

    fn push_floats(&mut self, frame: &[f32]) -> Result<(), InputError> {
        self.model().input().check_length(frame.len())?;
        let good = |x: &f32| x.abs() < LARGEST;
        if let Some(element) = frame.iter().position(|x| !good(x)) {
            return Err(InputError::FrameNumber { element });
        }
        self.push_numbers(frame.iter().map(|x| rounded(*x)))
    }

    fn float_logits(&mut self) -> impl Iterator<Item = f32> + Clone {
        const UNIT: f32 = 1.0 / (1u32 << LOGIT_BITS) as f32;
        self.logits().iter().map(|logit| *logit as f32 * UNIT)
    }

    fn set_half_life(&mut self, inputs: f32) -> Result<(), DecayError> {
        // what is no number of u32 saturates, and is out of range
        self.set_decay(IntegerDecay::half_life((inputs * 1000.0 + 0.5) as u32)?)
    }
}

/// Numbers of a frame are below it in magnitude.
const LARGEST: f32 = (1u64 << (31 - FRAME_BITS)) as f32;

/// In units of `2^-FRAME_BITS`, halves away from zero.
fn rounded(x: f32) -> i32 {
    /// From here on all numbers are whole.
    const WHOLE: f32 = (1 << 23) as f32;
    let scaled = x * (1u32 << FRAME_BITS) as f32;
    let half = if scaled.abs() < WHOLE {
        0.5f32.copysign(scaled)
    } else {
        0.0
    };
    (scaled + half) as i32
}

#[cfg(test)]
mod tests {
    use super::rounded;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_of_frames_are_rounded(x in -32_767f32..32_767.0, places in 0i32..30) {
            let x = libm::ldexpf(x, -places);
            let exact = f64::from(x) * 65_536.0;
            prop_assert!((f64::from(rounded(x)) - exact).abs() <= 0.500_001, "{} {}", x, exact);
        }
    }
}
