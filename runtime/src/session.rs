//! A running sequence: state, step, prefill, save, restore.

use crate::block::{Pass, Undivided};
use crate::error::{MemoryError, SelfTestError, SnapshotError, StepError};
use crate::format::LANES;
use crate::hash::LogitsHash;
use crate::memory::{self, take};
use crate::model::Model;
use crate::pass::{self, Passage};
use crate::probe::{Probe, Stage};
use crate::snapshot;

/// A token, an index into the vocabulary. Byte-level models take bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token(pub u32);

impl From<u8> for Token {
    fn from(token: u8) -> Self {
        Self(token.into())
    }
}

impl From<u16> for Token {
    fn from(token: u16) -> Self {
        Self(token.into())
    }
}

impl From<u32> for Token {
    fn from(token: u32) -> Self {
        Self(token)
    }
}

/// One sequence being streamed through a model.
///
/// Each [`step`](Self::step) costs the same, at the first token and at the ten millionth.
pub struct Session<'a, 'm> {
    pub(crate) model: Model<'a>,
    /// The block of channels whose tiny states the next step makes zero.
    pub(crate) visited: &'m mut u32,
    /// Past inputs and modes of all layers.
    pub(crate) state: &'m mut [f32],
    /// Scratch space of a step; not part of the state. Its work holds the logits.
    pub(crate) scratch: Undivided<'m, f32>,
}

impl<'a, 'm> Session<'a, 'm> {
    /// In all of `memory`: what is more than needed lengthens the scratch.
    pub(crate) fn new(model: Model<'a>, memory: &'m mut [u8]) -> Result<Self, MemoryError> {
        let needed = model.memory_needed();
        let mut rest: &mut [f32] = memory::words(memory, needed)?;
        rest.fill(0.0);
        let state = take(&mut rest, model.state_words());
        let too_small = MemoryError::TooSmall {
            needed,
            found: needed,
        };
        let visited = rest.split_off_first_mut().ok_or(too_small)?;
        let visited = bytemuck::try_cast_mut(visited).map_err(|_| too_small)?;
        Ok(Self {
            model,
            visited,
            state,
            scratch: Undivided::new(model.shape(), model.longest(), rest),
        })
    }

    /// The model that runs.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// Takes one token and returns the logits of the next, `[vocabulary]`.
    ///
    /// # Errors
    /// [`StepError::UnknownToken`]; the session is then unchanged.
    pub fn step(&mut self, token: impl Into<Token>) -> Result<&[f32], StepError> {
        self.advance(token.into(), &mut ())?;
        Ok(self.head(&mut ()))
    }

    /// [`step`](Self::step), with `probe` told of every stage, such as a
    /// [`Profile`](crate::profile::Profile). The logits are those of `step`.
    ///
    /// # Errors
    /// [`StepError::UnknownToken`]; the session is then unchanged.
    #[cfg(feature = "profile")]
    pub fn step_with(
        &mut self,
        token: impl Into<Token>,
        probe: &mut impl Probe,
    ) -> Result<&[f32], StepError> {
        self.advance(token.into(), probe)?;
        Ok(self.head(probe))
    }

    /// Takes several tokens and returns the logits after the last. The logits between are not
    /// computed; the state and the last logits are those of stepping, bit for bit.
    ///
    /// # Errors
    /// [`StepError::NoTokens`], or [`StepError::UnknownToken`] with all tokens before it taken.
    pub fn prefill<T: Into<Token>>(
        &mut self,
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<&[f32], StepError> {
        let mut any = Err(StepError::NoTokens);
        for token in tokens {
            if let Err(error) = self.advance(token.into(), &mut ()) {
                // what the layers left there are no logits
                self.scratch.divide().work.fill(0.0);
                return Err(error);
            }
            any = Ok(());
        }
        any?;
        Ok(self.head(&mut ()))
    }

    /// The logits that the last step or prefill returned; zeros before the first, after a failed
    /// prefill, [`reset`](Self::reset) and [`restore`](Self::restore).
    pub fn logits(&self) -> &[f32] {
        self.scratch.work(self.model.vocab_size())
    }

    /// Back to the start of a sequence.
    pub fn reset(&mut self) {
        self.state.fill(0.0);
        *self.visited = 0;
        self.scratch.divide().work.fill(0.0);
    }

    /// Bytes of a [`save`](Self::save).
    pub fn snapshot_bytes(&self) -> usize {
        snapshot::HEADER + 4 * (1 + self.state.len())
    }

    /// Writes the state to the start of `out` and returns its size. Logits are not saved.
    ///
    /// # Errors
    /// [`SnapshotError::WrongLength`] if `out` has fewer than
    /// [`snapshot_bytes`](Self::snapshot_bytes) bytes.
    pub fn save(&self, out: &mut [u8]) -> Result<usize, SnapshotError> {
        let states = self.state.iter().map(|x| x.to_bits());
        let words = core::iter::once(*self.visited).chain(states);
        snapshot::write(out, self.snapshot_bytes(), self.model.identity(), words)
    }

    /// Takes over a state that [`save`](Self::save) wrote, on any device with the same model.
    ///
    /// # Errors
    /// [`SnapshotError`]; the session is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let body = snapshot::read(snapshot, self.snapshot_bytes(), self.model.identity())?;
        let words = || snapshot::words(body);
        let visited = words().next().unwrap_or(u32::MAX);
        let finite = words().skip(1).all(|x| f32::from_bits(x).is_finite());
        let holds = (visited as usize) < self.model.shape().blocks();
        if !holds || !finite {
            return Err(SnapshotError::Corrupt);
        }
        *self.visited = visited;
        self.state
            .iter_mut()
            .zip(words().skip(1))
            .for_each(|(to, from)| *to = f32::from_bits(from));
        self.scratch.divide().work.fill(0.0);
        Ok(())
    }

    /// Runs the model's known-answer test: the logits of a few steps must hash to what the host
    /// computed when it wrote the model. The session is at the start of a sequence afterwards.
    ///
    /// # Errors
    /// [`SelfTestError`] with both hashes.
    pub fn self_test(&mut self) -> Result<(), SelfTestError> {
        let (expected, tokens) = self.model.known_answer();
        let found = self.hash_steps(tokens.iter().copied());
        if expected == found {
            Ok(())
        } else {
            Err(SelfTestError { expected, found })
        }
    }

    /// The hash of the logits of every step over `tokens` from the start of a sequence. The
    /// session is at the start of a sequence afterwards. Tokens that are not in the vocabulary
    /// are passed over.
    pub fn hash_steps<T: Into<Token>>(&mut self, tokens: impl IntoIterator<Item = T>) -> u64 {
        self.reset();
        let mut hash = LogitsHash::new();
        for token in tokens {
            if let Ok(logits) = self.step(token) {
                hash.update(logits);
            }
        }
        self.reset();
        hash.finish()
    }

    /// Runs the embedding and all layers.
    #[inline(never)]
    pub(crate) fn advance<P: Probe>(
        &mut self,
        token: Token,
        probe: &mut P,
    ) -> Result<(), StepError> {
        let shape = self.model.shape();
        let row = shape.row(token)?;
        probe.enter(Stage::Embedding);
        let embedding = self.model.embedding();
        embedding.row(row, shape.embed_scale, self.scratch.divide().x);
        self.run_layers(probe);
        Ok(())
    }

    /// Runs all layers, from a residual stream that has begun.
    #[inline(always)]
    pub(crate) fn run_layers<P: Probe>(&mut self, probe: &mut P) {
        let shape = self.model.shape();
        let s = &mut self.scratch.divide();
        let mut rest = &mut *self.state;
        let visited = *self.visited as usize;
        for i in 0..shape.layers {
            probe.enter(Stage::Norm);
            let layer = self.model.layer(i);
            let mut passage = Passage {
                shape,
                layer: &layer,
                visited,
                state: take(
                    &mut rest,
                    layer.recurrence.states() * LANES * shape.blocks(),
                ),
                probe,
            };
            passage.pass(core::array::from_mut(s), &mut []);
        }
        *self.visited = shape.visited_after(visited) as u32;
    }

    /// The final norm and the head.
    #[inline(never)]
    pub(crate) fn head<P: Probe>(&mut self, probe: &mut P) -> &[f32] {
        let s = &mut self.scratch.divide();
        probe.enter(Stage::Norm);
        pass::copy(s.x, s.branch);
        s.head(&self.model, probe);
        self.logits()
    }
}
