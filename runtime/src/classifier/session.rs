//! A sequence being classified.

use super::model::{Input, Model, Pooling};
use super::pool::{self, Decay};
use crate::error::{DecayError, InputError, MemoryError, SelfTestError, SnapshotError};
use crate::format::known_frame;
use crate::hash::LogitsHash;
use crate::memory;
use crate::norm::norm;
use crate::pass::copy;
use crate::probe::{Probe, Stage};
use crate::session::Token;
use crate::snapshot;

/// One sequence being streamed through a classifier.
///
/// Each input costs the same, the first and the ten millionth.
pub struct Session<'a, 'm> {
    model: Model<'a>,
    inner: crate::Session<'a, 'm>,
    /// What [`pool`] keeps.
    pooled: &'m mut [f32],
    decay: Decay,
}

impl<'a, 'm> Session<'a, 'm> {
    pub(super) fn new(model: Model<'a>, memory: &'m mut [u8]) -> Result<Self, MemoryError> {
        let needed = model.memory_needed();
        let words: &mut [f32] = memory::words(memory, needed)?;
        let (inner, pooled) = words
            .split_at_mut_checked(words.len().saturating_sub(model.pool_words()))
            .unwrap_or_default();
        pooled.fill(0.0);
        let inner = bytemuck::try_cast_slice_mut(inner).unwrap_or_default();
        Ok(Self {
            model,
            inner: crate::Session::new(model.inner, inner)?,
            pooled,
            decay: Decay::NONE,
        })
    }

    /// The model that runs.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// Takes one token.
    ///
    /// # Errors
    /// [`InputError::UnknownToken`], [`InputError::TakesFrames`].
    pub fn push(&mut self, token: impl Into<Token>) -> Result<(), InputError> {
        self.advance(token.into(), &mut ())
    }

    /// Takes one frame, of as many numbers as [`Model::input`] says, computed as in training.
    ///
    /// # Errors
    /// [`InputError::TakesTokens`], [`InputError::FrameLength`], [`InputError::FrameNumber`].
    pub fn push_frame(&mut self, frame: &[f32]) -> Result<(), InputError> {
        self.advance_frame(frame, &mut ())
    }

    /// [`push`](Self::push), with `probe` told of every stage, such as a [`Profile`](crate::profile::Profile).
    ///
    /// # Errors
    /// As of `push`.
    #[cfg(feature = "profile")]
    pub fn push_with(
        &mut self,
        token: impl Into<Token>,
        probe: &mut impl Probe,
    ) -> Result<(), InputError> {
        self.advance(token.into(), probe)
    }

    /// [`push_frame`](Self::push_frame), with `probe` told of every stage. The map of frames counts as the embedding.
    ///
    /// # Errors
    /// As of `push_frame`.
    #[cfg(feature = "profile")]
    pub fn push_frame_with(
        &mut self,
        frame: &[f32],
        probe: &mut impl Probe,
    ) -> Result<(), InputError> {
        self.advance_frame(frame, probe)
    }

    /// The logits `[classes]` of what was taken since the start, computed at each call: pooling and head. Zeros before the first
    /// input, of which nothing is known.
    pub fn logits(&mut self) -> &[f32] {
        let s = &mut self.inner.scratch.divide();
        pool::pooled(self.model.pooling(), self.pooled, s.branch);
        s.head_of_normed(&self.model.inner, &mut ());
        self.inner.scratch.work(self.model.classes())
    }

    /// Memory that calls of this session use, and that is the caller's between them: for the audio front end's spectrum, say.
    /// What is left there changes nothing, and is lost in the next call. [`Model::scratch_bytes`] of it, and all that the
    /// session's memory has beyond [`Model::memory_needed`].
    pub fn scratch(&mut self) -> &mut [u32] {
        self.inner.scratch.lend()
    }

    /// Makes the mean forget from here on; see the [module's docs](super#clips-and-listening-for-ever). The decay outlasts
    /// [`reset`](Self::reset). A session begins with [`Decay::NONE`].
    ///
    /// # Errors
    /// [`DecayError::LastPosition`] if the model has no mean, and `decay` is one.
    pub fn set_decay(&mut self, decay: Decay) -> Result<(), DecayError> {
        if self.model.pooling() == Pooling::Last && decay != Decay::NONE {
            return Err(DecayError::LastPosition);
        }
        self.decay = decay;
        Ok(())
    }

    /// What the mean forgets at each input.
    pub fn decay(&self) -> Decay {
        self.decay
    }

    /// Back to the start of a sequence.
    pub fn reset(&mut self) {
        self.inner.reset();
        self.pooled.fill(0.0);
    }

    /// Bytes of a [`save`](Self::save).
    pub fn snapshot_bytes(&self) -> usize {
        snapshot::HEADER + 4 * (2 + self.inner.state.len() + self.pooled.len())
    }

    /// Writes the state and the decay to the start of `out` and returns their size.
    ///
    /// # Errors
    /// [`SnapshotError::WrongLength`] if `out` has fewer than
    /// [`snapshot_bytes`](Self::snapshot_bytes) bytes.
    pub fn save(&self, out: &mut [u8]) -> Result<usize, SnapshotError> {
        let first = [*self.inner.visited, self.decay.factor().to_bits()];
        let states = self.inner.state.iter().chain(&*self.pooled);
        let words = first.into_iter().chain(states.map(|x| x.to_bits()));
        snapshot::write(out, self.snapshot_bytes(), self.model.identity(), words)
    }

    /// Takes over a state and a decay that [`save`](Self::save) wrote, on any device with the same model.
    ///
    /// # Errors
    /// [`SnapshotError`]; the session is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let body = snapshot::read(snapshot, self.snapshot_bytes(), self.model.identity())?;
        let mut words = snapshot::words(body);
        let visited = words.next().unwrap_or(u32::MAX);
        let decay = words.next().map(|bits| Decay::new(f32::from_bits(bits)));
        let states = words.map(f32::from_bits);
        let holds = (visited as usize) < self.model.shape().blocks();
        let Some(Ok(decay)) = decay.filter(|_| holds && states.clone().all(f32::is_finite)) else {
            return Err(SnapshotError::Corrupt);
        };
        self.decay = decay;
        *self.inner.visited = visited;
        let places = self.inner.state.iter_mut().chain(&mut *self.pooled);
        places.zip(states).for_each(|(to, from)| *to = from);
        Ok(())
    }

    /// Runs the model's known-answer test: the logits after each of a few inputs must hash to what the host
    /// computed when it wrote the model. The session is at the start of a sequence afterwards.
    ///
    /// # Errors
    /// [`SelfTestError`] with both hashes.
    pub fn self_test(&mut self) -> Result<(), SelfTestError> {
        let (expected, numbers) = self.model.known_answer();
        let found = self.hash_inputs(numbers.iter().copied());
        match expected == found {
            true => Ok(()),
            false => Err(SelfTestError { expected, found }),
        }
    }

    /// The hash of the logits after each input from the start of a sequence, without a decay: of the tokens
    /// `numbers`, or of the frames that follow from them ([`known_frame`]). The session
    /// is at the start of a sequence afterwards. Tokens that are not in the vocabulary are passed over.
    pub fn hash_inputs(&mut self, numbers: impl IntoIterator<Item = u32>) -> u64 {
        let decay = core::mem::replace(&mut self.decay, Decay::NONE);
        self.reset();
        let mut hash = LogitsHash::new();
        for number in numbers {
            let taken = match self.model.input() {
                Input::Tokens { .. } => self.push(number),
                Input::Frames { numbers } => {
                    self.advance_known_frame(number, numbers);
                    Ok(())
                }
            };
            if taken.is_ok() {
                hash.update(self.logits());
            }
        }
        self.reset();
        self.decay = decay;
        hash.finish()
    }

    fn advance<P: Probe>(&mut self, token: Token, probe: &mut P) -> Result<(), InputError> {
        if let Input::Frames { numbers } = self.model.input() {
            return Err(InputError::TakesFrames { numbers });
        }
        let unknown = InputError::UnknownToken {
            token: token.0,
            vocabulary: self.model.shape().vocabulary,
        };
        let advanced = self.inner.advance(token, probe);
        advanced.map_err(|_| unknown)?;
        self.take_in(probe);
        Ok(())
    }

    fn advance_frame<P: Probe>(&mut self, frame: &[f32], probe: &mut P) -> Result<(), InputError> {
        self.embed(frame, probe)?;
        self.run_layers(probe);
        Ok(())
    }

    /// The start of the residual stream of a frame.
    #[inline(never)] // its stack is to be free again when the layers begin
    fn embed<P: Probe>(&mut self, frame: &[f32], probe: &mut P) -> Result<(), InputError> {
        self.model.input().check_frame(frame)?;
        probe.enter(Stage::Embedding);
        let s = &mut self.inner.scratch.divide();
        self.model.frames().multiply(frame, s.quantized, s.x);
        Ok(())
    }

    fn advance_known_frame(&mut self, number: u32, numbers: usize) {
        let s = &mut self.inner.scratch.divide();
        let frame = s.work.get_mut(..numbers).unwrap_or_default();
        known_frame(number, frame);
        self.model.frames().multiply(frame, s.quantized, s.x);
        self.run_layers(&mut ());
    }

    /// From the start of the residual stream of a frame to the pooled vector.
    #[inline(never)]
    fn run_layers<P: Probe>(&mut self, probe: &mut P) {
        self.inner.run_layers(probe);
        self.take_in(probe);
    }

    /// The final norm, and pooling.
    fn take_in<P: Probe>(&mut self, probe: &mut P) {
        probe.enter(Stage::Norm);
        let s = &mut self.inner.scratch.divide();
        copy(s.x, s.branch);
        let model = &self.model.inner;
        norm(model.shape().final_norm, model.final_norm(), s.branch);
        pool::take_in(self.model.pooling(), self.decay, s.branch, self.pooled);
    }
}
