//! A sequence being classified, in integers.

use super::model::Model;
use super::pool::{self, Decay, Wide};
use crate::classifier::{Input, Pooling};
use crate::error::{DecayError, InputError, MemoryError, SelfTestError, SnapshotError};
use crate::fixed::dense::{finish, sums};
use crate::fixed::{self, FRAME_BITS, quantize};
use crate::format::known_numbers;
use crate::hash::LogitsHash;
use crate::memory;
use crate::model::Norm;
use crate::probe::{Probe, Stage};
use crate::session::Token;
use crate::snapshot;

/// One sequence being streamed through a classifier.
///
/// Each input costs the same, the first and the ten millionth.
pub struct Session<'a, 'm> {
    model: Model<'a>,
    inner: fixed::Session<'a, 'm>,
    /// What [`pool`] keeps.
    pooled: &'m mut [Wide],
    decay: Decay,
}

impl<'a, 'm> Session<'a, 'm> {
    pub(super) fn new(model: Model<'a>, memory: &'m mut [u8]) -> Result<Self, MemoryError> {
        let words: &mut [i32] = memory::words(memory, model.memory_needed())?;
        let (inner, pooled) = words
            .split_at_mut_checked(words.len().saturating_sub(model.pool_words()))
            .unwrap_or_default();
        pooled.fill(0);
        let inner = bytemuck::try_cast_slice_mut(inner).unwrap_or_default();
        Ok(Self {
            model,
            inner: model.inner.session(inner)?,
            pooled: pooled.as_chunks_mut().0,
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

    /// Takes one frame, of as many numbers as [`Model::input`] says, computed as in training, in units of
    /// `2^-`[`FRAME_BITS`].
    ///
    /// # Errors
    /// [`InputError::TakesTokens`], [`InputError::FrameLength`].
    pub fn push_frame(&mut self, frame: &[i32]) -> Result<(), InputError> {
        self.push_numbers(frame.iter().copied())
    }

    /// [`push_frame`](Self::push_frame) of numbers that lie nowhere yet.
    ///
    /// # Errors
    /// As of `push_frame`.
    pub fn push_numbers(
        &mut self,
        frame: impl ExactSizeIterator<Item = i32>,
    ) -> Result<(), InputError> {
        self.model.input().check_length(frame.len())?;
        self.place(frame);
        self.run_frame(&mut ());
        Ok(())
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
        frame: &[i32],
        probe: &mut impl Probe,
    ) -> Result<(), InputError> {
        self.model.input().check_length(frame.len())?;
        self.place(frame.iter().copied());
        self.run_frame(probe);
        Ok(())
    }

    /// The logits `[classes]` of what was taken since the start, in units of `2^-`[`LOGIT_BITS`](fixed::LOGIT_BITS),
    /// computed at each call: pooling and head. Zeros before the first input, of which nothing is known.
    pub fn logits(&mut self) -> &[i32] {
        let s = self.inner.scratch.divide();
        let Some(weight) = pool::pooled(self.pooled, s.branch) else {
            s.work.fill(0);
            return self.inner.logits();
        };
        let [mean, _] = &self.model.inner.means;
        let factor = quantize::quantize(Norm::None, mean, 0, s.branch, s.quantized);
        self.inner.head_of(factor.divided_by(weight))
    }

    /// Memory that calls of this session use, and that is the caller's between them, see
    /// [`classifier::Session::scratch`](crate::classifier::Session::scratch).
    pub fn scratch(&mut self) -> &mut [u32] {
        self.inner.scratch.lend()
    }

    /// Makes the mean forget from here on; see [`classifier`](crate::classifier#clips-and-listening-for-ever). The decay outlasts
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
        self.pooled.fill([0; 2]);
    }

    /// Bytes of a [`save`](Self::save).
    pub fn snapshot_bytes(&self) -> usize {
        snapshot::HEADER + 4 * (1 + self.inner.kept.count() + 2 * self.pooled.len())
    }

    /// Writes the state and the decay to the start of `out` and returns their size.
    ///
    /// # Errors
    /// [`SnapshotError::WrongLength`] if `out` has fewer than
    /// [`snapshot_bytes`](Self::snapshot_bytes) bytes.
    pub fn save(&self, out: &mut [u8]) -> Result<usize, SnapshotError> {
        let pooled = self.pooled.as_flattened().iter().map(|x| *x as u32);
        let states = pooled.chain(self.inner.kept.words());
        let words = [self.decay.lost()].into_iter().chain(states);
        snapshot::write(out, self.snapshot_bytes(), self.model.identity(), words)
    }

    /// Takes over a state and a decay that [`save`](Self::save) wrote, on any device with the same model.
    ///
    /// # Errors
    /// [`SnapshotError`]; the session is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let body = snapshot::read(snapshot, self.snapshot_bytes(), self.model.identity())?;
        let corrupt = SnapshotError::Corrupt;
        let [decay, body @ ..] = body else {
            return Err(corrupt);
        };
        let pooled = 2 * self.pooled.len();
        let (pooled, kept) = body.split_at_checked(pooled).ok_or(corrupt)?;
        let pooled = pooled.as_chunks::<2>().0.iter();
        let pooled = pooled.map(|pair| pair.map(i32::from_le_bytes));
        let decay = Decay::new(u32::from_le_bytes(*decay));
        let has_mean = self.model.pooling() == Pooling::Mean || decay == Decay::NONE;
        if !has_mean || !pool::holds(pooled.clone()) {
            return Err(corrupt);
        }
        let restored = self.inner.kept.restore(&self.model.inner, kept);
        restored.ok_or(corrupt)?;
        self.decay = decay;
        let places = self.pooled.iter_mut();
        places.zip(pooled).for_each(|(to, from)| *to = from);
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
    /// `numbers`, or of the frames that follow from them ([`known_frame`](crate::format::known_frame)). The session
    /// is at the start of a sequence afterwards. Tokens that are not in the vocabulary are passed over.
    pub fn hash_inputs(&mut self, numbers: impl IntoIterator<Item = u32>) -> u64 {
        let decay = core::mem::replace(&mut self.decay, Decay::NONE);
        self.reset();
        let mut hash = LogitsHash::new();
        for number in numbers {
            let taken = match self.model.input() {
                Input::Tokens { .. } => self.push(number),
                Input::Frames { .. } => {
                    // a 2^13th is the unit of known frames
                    let frame = known_numbers(number).map(|x| i32::from(x) << (FRAME_BITS - 13));
                    self.place(frame);
                    self.run_frame(&mut ());
                    Ok(())
                }
            };
            if taken.is_ok() {
                hash.update_fixed(self.logits());
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

    /// Puts a frame's numbers where [`run_frame`](Self::run_frame) takes them from.
    fn place(&mut self, frame: impl Iterator<Item = i32>) {
        let numbers = self.model.shape().frame_dim;
        let work = self.inner.scratch.divide().work.iter_mut().take(numbers);
        work.zip(frame).for_each(|(to, from)| *to = from);
    }

    /// From a frame's numbers to the pooled vector.
    #[inline(never)] // the layers once in flash
    fn run_frame<P: Probe>(&mut self, probe: &mut P) {
        probe.enter(Stage::Embedding);
        let numbers = self.model.shape().frame_dim;
        let s = self.inner.scratch.divide();
        let input = s.work.get_mut(..numbers).unwrap_or_default();
        let [mean, _] = &self.model.inner.means;
        let factor = quantize::quantize(Norm::None, mean, 0, input, s.quantized);
        let frames = self.model.frames();
        sums(&frames, numbers, s.quantized, s.x);
        finish(&frames, 0, factor, s.x, |x| x);
        self.inner.run_layers(probe);
        self.take_in(probe);
    }

    /// The final norm, and pooling.
    fn take_in<P: Probe>(&mut self, probe: &mut P) {
        probe.enter(Stage::Norm);
        let model = &self.model.inner;
        let s = self.inner.scratch.divide();
        for (to, from) in s.branch.iter_mut().zip(&*s.x) {
            *to = *from;
        }
        let [mean, _] = &model.means;
        quantize::normalize(model.shape.final_norm, mean, model.fraction(), s.branch);
        pool::take_in(self.model.pooling(), self.decay, s.branch, self.pooled);
    }
}
