//! A running sequence in integers.

use super::check::Bounds;
use super::dense::{finish, sums};
use super::model::Model;
use super::number::Factor;
use super::pass::Passage;
use super::recurrence::State;
use crate::block::{Pass, Undivided};
use crate::error::{MemoryError, SelfTestError, SnapshotError, StepError};
use crate::hash::LogitsHash;
use crate::memory::{self, take};
use crate::probe::{Probe, Stage};
use crate::session::Token;
use crate::snapshot;

/// One sequence being streamed through a model.
///
/// Each [`step`](Self::step) costs the same, at the first token and at the ten millionth.
pub struct Session<'a, 'm> {
    pub(super) model: Model<'a>,
    pub(super) kept: Kept<'m>,
    /// Scratch space of a step; not part of the state. Its work holds the logits.
    pub(super) scratch: Undivided<'m, i32>,
}

/// What lasts from step to step.
pub(super) struct Kept<'m> {
    /// Of each layer, the oldest row of its ring and the mode that rests next.
    places: &'m mut [[u32; 2]],
    /// States of the modes of all layers.
    modes: &'m mut [i32],
    /// Rings of all layers.
    rings: &'m mut [i16],
}

impl<'a, 'm> Session<'a, 'm> {
    /// In all of `memory`: what is more than needed lengthens the scratch.
    pub(super) fn new(model: Model<'a>, memory: &'m mut [u8]) -> Result<Self, MemoryError> {
        let mut rest: &mut [i32] = memory::words(memory, model.memory_needed())?;
        rest.fill(0);
        let modes = take(&mut rest, model.sizes().modes);
        let places = take(&mut rest, 2 * model.layers());
        let rings = take(&mut rest, model.ring_words());
        let places = bytemuck::try_cast_slice_mut(places).unwrap_or_default();
        let rings = bytemuck::try_cast_slice_mut(rings).unwrap_or_default();
        Ok(Self {
            model,
            kept: Kept {
                places,
                modes,
                rings,
            },
            scratch: Undivided::new(model.shape(), model.longest(), rest),
        })
    }

    /// The model that runs.
    pub fn model(&self) -> &Model<'a> {
        &self.model
    }

    /// Takes one token and returns the logits of the next, `[vocabulary]`, in units of
    /// `2^-`[`LOGIT_BITS`](super::LOGIT_BITS).
    ///
    /// # Errors
    /// [`StepError::UnknownToken`]; the session is then unchanged.
    pub fn step(&mut self, token: impl Into<Token>) -> Result<&[i32], StepError> {
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
    ) -> Result<&[i32], StepError> {
        self.advance(token.into(), probe)?;
        Ok(self.head(probe))
    }

    /// Takes several tokens and returns the logits after the last. The logits between are not
    /// computed.
    ///
    /// # Errors
    /// [`StepError::NoTokens`] if there are none; [`StepError::UnknownToken`] at the first unknown one, the
    /// session having taken those before it.
    pub fn prefill<T: Into<Token>>(
        &mut self,
        tokens: impl IntoIterator<Item = T>,
    ) -> Result<&[i32], StepError> {
        let mut any = Err(StepError::NoTokens);
        for token in tokens {
            if let Err(error) = self.advance(token.into(), &mut ()) {
                // what the layers left there are no logits
                self.scratch.divide().work.fill(0);
                return Err(error);
            }
            any = Ok(());
        }
        any?;
        Ok(self.head(&mut ()))
    }

    /// The logits that the last step or prefill returned; zeros before the first, after a failed
    /// prefill, [`reset`](Self::reset) and [`restore`](Self::restore).
    pub fn logits(&self) -> &[i32] {
        self.scratch.work(self.model.shape().outputs)
    }

    /// Back to the start of a sequence.
    pub fn reset(&mut self) {
        self.kept.places.fill([0; 2]);
        self.kept.modes.fill(0);
        self.kept.rings.fill(0);
        self.scratch.divide().work.fill(0);
    }

    /// Bytes of a [`save`](Self::save).
    pub fn snapshot_bytes(&self) -> usize {
        snapshot::HEADER + 4 * self.kept.count()
    }

    /// Writes the state to the start of `out` and returns its size. Logits are not saved.
    ///
    /// # Errors
    /// [`SnapshotError::WrongLength`] if `out` has fewer than
    /// [`snapshot_bytes`](Self::snapshot_bytes) bytes.
    pub fn save(&self, out: &mut [u8]) -> Result<usize, SnapshotError> {
        let words = self.kept.words();
        snapshot::write(out, self.snapshot_bytes(), self.model.identity(), words)
    }

    /// Takes over a state that [`save`](Self::save) wrote, on any device with the same model.
    ///
    /// # Errors
    /// [`SnapshotError`]; the session is then unchanged.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), SnapshotError> {
        let body = snapshot::read(snapshot, self.snapshot_bytes(), self.model.identity())?;
        let restored = self.kept.restore(&self.model, body);
        restored.ok_or(SnapshotError::Corrupt)?;
        self.scratch.divide().work.fill(0);
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
                hash.update_fixed(logits);
            }
        }
        self.reset();
        hash.finish()
    }

    /// Runs the embedding and all layers. Not inlined, here and below: once in flash is enough.
    #[inline(never)]
    pub(super) fn advance<P: Probe>(
        &mut self,
        token: Token,
        probe: &mut P,
    ) -> Result<(), StepError> {
        let shape = *self.model.shape();
        let row = shape.row(token)?;
        probe.enter(Stage::Embedding);
        self.model.embed(row, self.scratch.divide().x);
        self.run_layers(probe);
        Ok(())
    }

    /// Takes the residual stream through all layers.
    #[inline(always)]
    pub(super) fn run_layers<P: Probe>(&mut self, probe: &mut P) {
        let mut scratch = self.scratch.divide();
        let tokens = core::array::from_mut(&mut scratch);
        for (i, state) in self.kept.layers(&self.model).enumerate() {
            probe.enter(Stage::Norm);
            let layer = self.model.layer(i);
            let mut passage = Passage {
                model: &self.model,
                layer: &layer,
                state,
                probe,
            };
            passage.pass(tokens, &mut []);
        }
    }

    /// The final norm and the head.
    #[inline(never)]
    pub(super) fn head<P: Probe>(&mut self, probe: &mut P) -> &[i32] {
        let shape = *self.model.shape();
        let mut s = self.scratch.divide();
        probe.enter(Stage::Norm);
        let factor = s.input(&self.model, shape.final_norm);
        probe.enter(Stage::Head);
        self.head_of(factor)
    }

    /// The head of a quantized vector and its factor.
    pub(super) fn head_of(&mut self, factor: Factor) -> &[i32] {
        let (head, shape) = (self.model.head(), *self.model.shape());
        let s = self.scratch.divide();
        let logits = s.work.get_mut(..shape.outputs).unwrap_or(&mut []);
        sums(&head, shape.dim, s.quantized, logits);
        finish(&head, 0, factor, logits, |x| x);
        logits
    }
}

impl Kept<'_> {
    /// Words of a snapshot.
    pub(super) fn count(&self) -> usize {
        2 * self.places.len() + self.modes.len() + self.rings.len() / 2
    }

    /// All that is kept.
    pub(super) fn words(&self) -> impl Iterator<Item = u32> {
        let pair = |[low, high]: &[i16; 2]| u32::from(*low as u16) | u32::from(*high as u16) << 16;
        let places = self.places.iter().flatten().copied();
        let modes = self.modes.iter().map(|s| *s as u32);
        let rings = self.rings.as_chunks().0.iter().map(pair);
        places.chain(modes).chain(rings)
    }

    /// Takes over [`words`](Self::words), unless a session of `model` cannot have them: then nothing changes.
    pub(super) fn restore(&mut self, model: &Model<'_>, words: &[[u8; 4]]) -> Option<()> {
        let (places, rest) = words.split_at_checked(2 * self.places.len())?;
        let (modes, rings) = rest.split_at_checked(self.modes.len())?;
        if !holds(model, places, modes) {
            return None;
        }
        let to = self.places.iter_mut().flatten();
        to.zip(snapshot::words(places))
            .for_each(|(to, from)| *to = from);
        let to = self.modes.iter_mut();
        to.zip(snapshot::words(modes))
            .for_each(|(to, from)| *to = from as i32);
        let to = self.rings.as_chunks_mut().0.iter_mut();
        to.zip(snapshot::words(rings))
            .for_each(|(to, from)| *to = [from as i16, (from >> 16) as i16]);
        Some(())
    }

    /// The state of one layer after the other.
    pub(super) fn layers(&mut self, model: &Model<'_>) -> impl Iterator<Item = State<'_>> {
        let (mut modes, mut rings) = (&mut *self.modes, &mut *self.rings);
        let channels = model.shape().channels;
        self.places.iter_mut().enumerate().map(move |(i, places)| {
            let counts = model.counts(i);
            State {
                places,
                ring: take(&mut rings, counts.taps * channels),
                modes: take(&mut modes, counts.order() * channels),
            }
        })
    }
}

/// Whether the words of a snapshot are places and states that a session of `model` can have.
fn holds(model: &Model<'_>, places: &[[u8; 4]], modes: &[[u8; 4]]) -> bool {
    let (mut places, mut states) = (snapshot::words(places), snapshot::words(modes));
    let mut state = || u64::from((states.next().unwrap_or(0) as i32).unsigned_abs());
    let channels = model.shape().channels;
    (0..model.layers()).all(|layer| {
        let r = model.layer(layer).recurrence;
        let modes = r.counts.real + r.counts.complex;
        let rows = [r.counts.taps, modes].map(|rows| rows.max(1) as u32);
        let in_range = rows.iter().all(|rows| places.next().unwrap_or(0) < *rows);
        in_range
            && (0..modes).all(|index| {
                let bounds = r.mode(index).and_then(|mode| Bounds::of(&mode));
                let largest = bounds.map_or(0, |bounds| bounds.state);
                let real = index < r.counts.real;
                (0..channels).all(|_| {
                    let (re, im) = (state(), if real { 0 } else { state() });
                    re * re + im * im <= largest * largest
                })
            })
    })
}
